"""Idempotency keys: how they are written, and what makes two requests the same one. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_MAX_CHARS: Final = 255
_STRING: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is to take effect once: token, key, and the fingerprint of what it asks."""

    token_id: str
    key: str
    fingerprint: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, as it is sent and as it is replayed."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


def parse_key(field: str | None) -> str | None:
    """The key inside an `Idempotency-Key` structured string (RFC 8941 §3.3.3); None without a field.

    Problem invalid_request for anything else: a key that is read in two ways protects nobody.
    """
    if field is None:
        return None
    match = _STRING.fullmatch(field.strip())
    if match is None or not match[1] or len(match[1]) > KEY_MAX_CHARS:
        raise Problem("invalid_request", 'Idempotency-Key is a quoted string, 1 to 255 characters: "…"')
    return re.sub(r'\\(["\\])', r"\1", match[1])


def fingerprint(method: str, target: str, parts: Iterable[str | None], body_sha256: str) -> str:
    """What two requests under one key must have in common; absent parts differ from empty ones."""
    digest = hashlib.sha256()
    for part in (method, target, *parts, body_sha256):
        encoded = b"" if part is None else part.encode("utf-8", "surrogateescape")
        digest.update(b"%d:" % (-1 if part is None else len(encoded)))
        digest.update(encoded)
    return digest.hexdigest()
