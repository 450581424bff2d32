"""Digest header fields (RFC 9530) for SHA-256. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from server_stub.problems import Problem

_MEMBER: Final = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)\s*=\s*:([A-Za-z0-9+/]*={0,2}):\s*", re.ASCII)


def repr_digest(hex_digest: str) -> str:
    """The value of a Repr-Digest field."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(hex_digest)).decode()}:"


def wire_digest(hex_digest: str | None) -> str | None:
    """How an item tells its digest."""
    return None if hex_digest is None else f"sha-256:{hex_digest}"


def parse_digests(field: str) -> str | None:
    """The SHA-256 of a Content-Digest or Repr-Digest field in hex; None when it names only other
    algorithms.

    Problem invalid_request when the field is malformed: a digest that cannot be checked must not look
    checked.
    """
    found: str | None = None
    for member in field.split(","):
        match = _MEMBER.fullmatch(member)
        if match is None:
            raise Problem("invalid_request", "malformed digest field (RFC 9530)")
        if match[1] == "sha-256":
            found = _hex_of(match[2])
    return found


def _hex_of(encoded: str) -> str:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise Problem("invalid_request", "a sha-256 digest has 32 bytes")
    return raw.hex()
