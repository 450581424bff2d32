"""Tokens and passwords: where they come from, and where `anchorfs login` keeps them.

Looked for in this order: a private file that was named, ANCHORFS_TOKEN (or, for an address with a user,
ANCHORFS_PASSWORD), the desktop's keyring, our own private file.
Never in an argument that `ps` shows, in the configuration file, or in a log. A stored credential is a document with a
`kind`, so that other kinds (a token that is renewed, say) can stand beside it.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cache.private import make_private
from sync.remotes.address import parse_address
from vfs.config import ConfigError, state_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

SERVICE = "anchorfs"
_VARIABLES = frozenset({"ANCHORFS_TOKEN", "ANCHORFS_PASSWORD"})


class Bearer(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="bearer"):
    """A token that is sent as it is."""

    token: str


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    credentials: dict[str, Bearer] = {}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables for a process that needs no credential of ours, or is told it in another way."""
    return {name: value for name, value in environment.items() if name not in _VARIABLES}


def find_token(url: str, token_file: str | None, environment: dict[str, str]) -> str | None:
    """The token for a drive, or the password where the address names a user; ConfigError when others can read it."""
    token = read_token(token_file, environment, password=parse_address(url).user is not None)
    return token if token is not None or token_file is not None else stored_token(url, environment)


def read_token(token_file: str | None, environment: dict[str, str], *, password: bool = False) -> str | None:
    """The token of the file, else of the environment, else none; ConfigError when others can read the file.

    `password`: one may hold blanks, and is looked for in ANCHORFS_PASSWORD first.
    """
    if token_file is None:
        told = environment.get("ANCHORFS_PASSWORD") if password else None
        return told or environment.get("ANCHORFS_TOKEN", "").strip() or None
    path = Path(token_file).expanduser()
    try:
        token = _private(path, f"token file {token_file}").strip("\r\n" if password else None)
    except FileNotFoundError as error:
        raise ConfigError(f"token file {token_file}: {error.strerror}") from None
    if not token or (len(token.splitlines()) if password else len(token.split())) != 1:
        raise ConfigError(f"token file {token_file} holds no token: one line with nothing else is expected")
    return token


def stored_token(url: str, environment: dict[str, str]) -> str | None:
    """What `login` kept for this address, or none."""
    keyring = _keyring(environment)
    kept = None if keyring is None else keyring.get_password(SERVICE, url)
    if kept is not None:
        return msgspec.json.decode(kept, type=Bearer).token
    credential = _load(_path(environment)).get(url)
    return None if credential is None else credential.token


def store_token(url: str, token: str, environment: dict[str, str]) -> str:
    """Keep a token for an address; says where."""
    credential = Bearer(token=token)
    keyring = _keyring(environment)
    if keyring is not None:
        keyring.set_password(SERVICE, url, msgspec.json.encode(credential).decode())
        return "the keyring"
    path = _path(environment)
    _save(path, {**_load(path), url: credential})
    return str(path)


def forget_token(url: str, environment: dict[str, str]) -> bool:
    """Forget it everywhere; whether there was one."""
    found = False
    keyring = _keyring(environment)
    if keyring is not None and keyring.get_password(SERVICE, url) is not None:
        keyring.delete_password(SERVICE, url)
        found = True
    path = _path(environment)
    kept = _load(path)
    if url in kept:
        _save(path, {each: credential for each, credential in kept.items() if each != url})
        found = True
    return found


def _keyring(environment: dict[str, str]) -> ModuleType | None:
    """The desktop's keyring: where the library is installed, and a session runs in which a person can unlock it."""
    if not environment.get("DBUS_SESSION_BUS_ADDRESS") and not environment.get("PYTHON_KEYRING_BACKEND"):
        return None
    try:
        import keyring  # noqa: PLC0415 - optional: `pip install anchorfs[keyring]`
    except ImportError:
        return None
    return keyring if keyring.get_keyring().priority > 0 else None


def _path(environment: dict[str, str]) -> Path:
    return state_home(environment) / "credentials.json"


def _load(path: Path) -> dict[str, Bearer]:
    try:
        return msgspec.json.decode(_private(path, str(path)), type=_Stored).credentials
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is damaged: {error}; log in again after removing it") from None


def _save(path: Path, credentials: dict[str, Bearer]) -> None:
    """Whole or not at all, and 0600 from its first moment on."""
    make_private(path.parent)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(_Stored(credentials=credentials)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _private(path: Path, named: str) -> str:
    """A text that nobody else can read. ConfigError says why not; FileNotFoundError is left to the caller."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no plain text"
        raise ConfigError(f"{named}: {reason}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{named} can be read by others; make it private: chmod 600 {path}")
    return text
