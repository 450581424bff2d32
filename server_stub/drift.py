"""What the steps on the tree have in common: telling that it is not what the index says, and undoing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server_stub.tree import Place

Undo = Callable[[], None]


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
