"""Bearer tokens: kept as SHA-256 in a file of mode 0600, compared in constant time, read again when the
file changes.

A secret has 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "anchor"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the tokens file."""

    token_id: str
    name: str
    sha256: str
    root: str = "/"
    read_only: bool = False
    created_s: int = 0


class TokensFile(msgspec.Struct, frozen=True):
    """The whole file."""

    tokens: tuple[Token, ...] = ()


class TokensUnusable(Exception):
    """The tokens file is missing, damaged or readable by others."""


def load_tokens(path: Path) -> tuple[Token, ...]:
    """Read the file. TokensUnusable."""
    try:
        mode = path.stat().st_mode
        body = path.read_bytes()
    except OSError as error:
        raise TokensUnusable(f"cannot read {path}: {error.strerror}") from error
    if mode & 0o077:
        raise TokensUnusable(f"{path} is open to others; run: chmod 600 {path}")
    try:
        return msgspec.json.decode(body, type=TokensFile).tokens
    except msgspec.DecodeError as error:
        raise TokensUnusable(f"{path} is not a tokens file: {error}") from error


def save_tokens(path: Path, tokens: tuple[Token, ...]) -> None:
    """Replace the file atomically, mode 0600."""
    write_private(path, msgspec.json.format(msgspec.json.encode(TokensFile(tokens))))


def write_private(path: Path, body: bytes) -> None:
    """A file of mode 0600 that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def create_token(path: Path, *, name: str, root: str = "/", read_only: bool = False) -> str:
    """Add a token and return its secret, which is nowhere else. TokensUnusable."""
    tokens = load_tokens(path) if path.exists() else ()
    token, secret = new_token(name, root=root, read_only=read_only)
    save_tokens(path, (*tokens, token))
    return secret


def new_token(name: str, *, root: str = "/", read_only: bool = False) -> tuple[Token, str]:
    """A token that is in no file yet, and its secret."""
    token_id = secrets.token_hex(6)
    secret = f"{_PREFIX}_{token_id}_{secrets.token_urlsafe(32)}"
    token = Token(
        token_id=token_id,
        name=name,
        sha256=_hash(secret),
        root="/" + root.strip("/"),
        read_only=read_only,
        created_s=int(time.time()),
    )
    return token, secret


def revoke_token(path: Path, token_id: str) -> bool:
    """Remove a token by id or name; False when there is none. TokensUnusable."""
    tokens = load_tokens(path)
    left = tuple(token for token in tokens if token_id not in {token.token_id, token.name})
    save_tokens(path, left)
    return len(left) != len(tokens)


class TokenBook:
    """The tokens as they stand in the file; a revoked token stops at its next request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._by_id: dict[str, Token] = {}
        self._refresh()

    def find(self, secret: str) -> Token | None:
        """The token of this secret, or None."""
        self._refresh()
        prefix, _, rest = secret.partition("_")
        token = self._by_id.get(rest.partition("_")[0]) if prefix == _PREFIX else None
        expected = token.sha256 if token is not None else "0" * 64
        matches = hmac.compare_digest(_hash(secret), expected)
        return token if matches else None

    def knows(self, token_id: str) -> bool:
        """Whether a token of this id is in the file."""
        self._refresh()
        return token_id in self._by_id

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            try:
                tokens = load_tokens(self._path)
            except TokensUnusable:
                if self._stamp is None:
                    raise
                tokens = ()  # locked out is the safe side of a damaged file
            self._by_id = {token.token_id: token for token in tokens}
            self._stamp = stamp or (0, 0)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
