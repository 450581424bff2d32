"""Anchors and cursors: opaque to clients, exact inside. Pure.

An anchor is (epoch, sequence), so that another state, or an older copy of this one, is never mistaken for it
(epochs.py). The leading byte is the format; a scoped anchor may become another format later.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final, TypeVar

import msgspec

EPOCH_BYTES: Final = 8
_FORMAT: Final = 1
_LAYOUT: Final = struct.Struct(">B8sQ")
_SEQ_MAX: Final = (1 << 63) - 1
_TEXT_MAX_CHARS: Final = 4096  # a name of 255 control characters is 1,530 in JSON, and 2,040 here

T = TypeVar("T")


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a listing stands: the anchor taken before its first page, and the last name told."""

    anchor: str
    after: str


def encode_anchor(epoch: bytes, seq: int) -> str:
    """The anchor after change `seq`."""
    return base64.urlsafe_b64encode(_LAYOUT.pack(_FORMAT, epoch, seq)).decode().rstrip("=")


def decode_anchor(text: str) -> tuple[bytes, int] | None:
    """(epoch, seq), or None for anything that no server of this kind ever handed out."""
    raw = _decode(text)
    if raw is None or len(raw) != _LAYOUT.size:
        return None
    form, epoch, seq = _LAYOUT.unpack(raw)
    return (epoch, seq) if form == _FORMAT and seq <= _SEQ_MAX else None


def encode_opaque(position: msgspec.Struct) -> str:
    """Opaque text of a position in a listing."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_opaque(text: str, shape: type[T]) -> T | None:
    """The position, or None when the text is not of this shape, so not ours."""
    raw = _decode(text)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def encode_cursor(cursor: Cursor) -> str:
    """Opaque text of a listing position."""
    return encode_opaque(cursor)


def decode_cursor(text: str) -> Cursor | None:
    """The position, or None when the text is not ours."""
    return decode_opaque(text, Cursor)


def _decode(text: str) -> bytes | None:
    if len(text) > _TEXT_MAX_CHARS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw
