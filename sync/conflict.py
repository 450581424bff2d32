"""Names of conflict copies. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import NAME_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable


def conflict_name(name: str, host: str, date: str, taken: Callable[[str], bool]) -> str:
    """`name (conflict HOST DATE[ N]).ext`: the first that is not taken, within 255 bytes.

    `date` is ISO 8601 (`2026-11-21`); a leading dot does not start an extension.
    """
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    host = host.replace("/", "-") or "host"
    number = 1
    while True:
        mark = f" (conflict {host} {date}{f' {number}' if number > 1 else ''})"
        room = NAME_MAX_BYTES - len((mark + dot + extension).encode())
        if room < 1:  # an "extension" that fills the name is no extension
            stem, dot, extension = name, "", ""
            room = NAME_MAX_BYTES - len(mark.encode())
        candidate = stem.encode()[:room].decode(errors="ignore") + mark + dot + extension
        if not taken(candidate):
            return candidate
        number += 1
