"""How often the kernel holds each inode: what it was told of and has not forgotten.

The kernel counts one reference for each lookup, creation and listing entry that it was answered, and gives
them back by forget. An inode with a count may be asked for at any time, also when its last name is gone. The
root is always held. Owned by the trio thread.
"""

from __future__ import annotations

from cache.model import ROOT_INO, Ino


class Inodes:
    """The lookup counts of one mount."""

    def __init__(self) -> None:
        self._counts: dict[Ino, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def remember(self, ino: Ino) -> None:
        """The kernel was answered `ino` once more."""
        self._counts[ino] = self._counts.get(ino, 0) + 1

    def forget(self, ino: Ino, count: int) -> bool:
        """The kernel gives `count` references back. True when it no longer holds the inode, told once."""
        left = self._counts.get(ino, 0) - count
        if left > 0:
            self._counts[ino] = left
            return False
        return self._counts.pop(ino, None) is not None and ino != ROOT_INO

    def knows(self, ino: Ino) -> bool:
        """Whether the kernel may hold anything about `ino`."""
        return ino == ROOT_INO or ino in self._counts

    def forget_all(self) -> list[Ino]:
        """What the kernel still held when the mount ended: it does not give those back one by one."""
        held = [ino for ino in self._counts if ino != ROOT_INO]
        self._counts.clear()
        return held
