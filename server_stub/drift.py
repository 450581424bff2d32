"""What the steps on the tree have in common: telling that it is not what the index says, and undoing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.values import Evidence, Item, Kind

if TYPE_CHECKING:
    from server_stub.tree import Place

Undo = Callable[[], None]

_TICKS_NS: Final = (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)  # in which disks count time


class Drift(Exception):
    """The tree at this place is not what the row says: somebody else wrote there. Nothing is overwritten."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


def ino_of(folder_fd: int, name: str) -> int | None:
    """The inode of a name in an open folder; None when nothing is there."""
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


def as_we_left_it(item: Item, found: Evidence) -> Evidence:
    """What to remember of a file that we have just put or changed: what is found, when that is ours. Others may have
    written to it since; then it is what we left, by which the next look tells theirs from ours.
    """
    if item.kind is not Kind.FILE:
        return found
    ours = {item.modified_ns - item.modified_ns % tick for tick in _TICKS_NS}
    if item.evidence is not None and item.evidence.ino == found.ino:
        ours.add(item.evidence.mtime_ns)
    if found.size == item.size and found.mtime_ns in ours:
        return found
    return msgspec.structs.replace(found, size=item.size, mtime_ns=item.modified_ns, ctime_ns=0)
