"""Which names the drive holds. Pure. A name is one path component of valid UTF-8, at most 255 bytes."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from server_stub.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_MAX_BYTES: Final = 255
FOLD_NAMES: Final = "fold_names"  # the note that is "1" while names that differ in case or Unicode form only are one
SYMLINK_TARGET_MAX_BYTES: Final = 4095
HIDDEN_FOLDER: Final = ".anchorfs"  # the server's own room in the exported root; never part of the drive


def check_name(name: str) -> str:
    """Return the name, or raise Problem name_invalid / name_too_long."""
    encoded = encode(name)
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise Problem("name_invalid", "a name is one path component, not '.' or '..'")
    if len(encoded) > NAME_MAX_BYTES:
        raise Problem("name_too_long", f"{len(encoded)} bytes; at most {NAME_MAX_BYTES}")
    return name


def check_target(target: str) -> str:
    """Return a symlink's target, or raise Problem name_invalid / name_too_long. It is stored, never
    followed.
    """
    encoded = encode(target)
    if not encoded or b"\0" in encoded:
        raise Problem("name_invalid", "a symlink's target is not empty and holds no NUL")
    if len(encoded) > SYMLINK_TARGET_MAX_BYTES:
        raise Problem("name_too_long", f"a target of {len(encoded)} bytes; at most {SYMLINK_TARGET_MAX_BYTES}")
    return target


def encode(name: str) -> bytes:
    """UTF-8 bytes; Problem name_invalid for lone surrogates."""
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise Problem("name_invalid", "not valid UTF-8") from None


def holdable(name: str) -> bool:
    """Whether a name found in the exported tree can be told on the wire."""
    try:
        check_name(name)
    except Problem:
        return False
    return True


def is_path_of_drive(names: Sequence[str]) -> bool:
    """Whether a path below the root can lead to an item: names that can be told, outside of the server's own room."""
    return tuple(names[:1]) != (HIDDEN_FOLDER,) and all(holdable(name) for name in names)


def folded(name: str) -> str:
    """Equal for names that differ in letter case or Unicode form only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def numbered(name: str, number: int) -> str:
    """`a.txt` → `a (2).txt`, shortened by whole characters to stay within the limit."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem or len(suffix.encode()) > 16:
        stem, suffix = name, ""
    tail = f" ({number})" + (f".{suffix}" if suffix else "")
    room = NAME_MAX_BYTES - len(tail.encode())
    return stem.encode()[:room].decode(errors="ignore") + tail
