"""How often the kernel holds each inode: what it was told of and has not forgotten.

The kernel counts one reference for each lookup, creation and listing entry that it was answered, and gives
them back by forget. An inode with a count may be asked for at any time, also when its last name is gone. The
root is always held. Names that the kernel was told do not exist are remembered per folder, up to a bound; beyond
it, any name may have been. Owned by the trio thread.
"""

from __future__ import annotations

from cache.model import ROOT_INO, Ino

ABSENCES_KEPT = 100_000  # about 10 MB; more only costs needless notifications


class Inodes:
    """The lookup counts of one mount."""

    def __init__(self) -> None:
        self._counts: dict[Ino, int] = {}
        self._absences: dict[Ino, set[str]] = {}
        self._room = ABSENCES_KEPT

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
        self._room += len(self._absences.pop(ino, ()))
        return self._counts.pop(ino, None) is not None and ino != ROOT_INO

    def remember_absence(self, folder: Ino, name: str) -> None:
        """The kernel was told that a folder has no such name."""
        names = self._absences.setdefault(folder, set())
        if self._room > 0 and name not in names:
            names.add(name)
            self._room -= 1

    def may_miss(self, folder: Ino, name: str) -> bool:
        """Whether the kernel may believe that a folder has no such name."""
        return self._room <= 0 or name in self._absences.get(folder, ())

    def knows(self, ino: Ino) -> bool:
        """Whether the kernel may hold anything about `ino`."""
        return ino == ROOT_INO or ino in self._counts

    def forget_all(self) -> list[Ino]:
        """What the kernel still held when the mount ended: it does not give those back one by one."""
        held = [ino for ino in self._counts if ino != ROOT_INO]
        self._counts.clear()
        self._absences.clear()
        self._room = ABSENCES_KEPT
        return held
