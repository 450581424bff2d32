"""How a remote's name is shown on Linux. Pure.

A remote may hold names that a Linux folder cannot: with '/' or NUL, '.' and '..', longer than 255 bytes. They are shown
with look-alike characters; a name that already contains one of these is quoted, so that two different names never look
the same. The catalog keeps the remote's own name beside the shown one: nothing is ever translated back by guessing.
"""

from __future__ import annotations

import hashlib

from cache.errors import NameInvalid, NameTooLong
from cache.model import NAME_MAX_BYTES

QUOTE = "\u201b"  # the single high-reversed-9 quotation mark: next to unused in file names
_SHOWN = {"/": "\uff0f", "\0": "\u2400"}
_RESERVED = {QUOTE, *_SHOWN.values()}
_DOTS = {".": "\uff0e", "..": "\uff0e\uff0e", "": "\u2423"}


def shown(name: str) -> str:
    """The name as Linux can hold it: identical for every ordinary name, injective for all others."""
    if name in _DOTS:
        return QUOTE + _DOTS[name]
    if not _RESERVED.isdisjoint(name) or "/" in name or "\0" in name:
        name = "".join(_shown_character(character) for character in name)
    encoded = name.encode()
    if len(encoded) <= NAME_MAX_BYTES:
        return name
    mark = f"{QUOTE}{hashlib.sha256(encoded).hexdigest()[:16]}"
    head = encoded[: NAME_MAX_BYTES - len(mark.encode())].decode(errors="ignore")
    return head + mark


def _shown_character(character: str) -> str:
    if character in _RESERVED:
        return QUOTE + character
    return _SHOWN.get(character, character)


def check(name: str) -> None:
    """Raise NameInvalid or NameTooLong for a name that no folder here may hold."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise NameInvalid(name=name)
    if len(name.encode()) > NAME_MAX_BYTES:
        raise NameTooLong(name=name)
