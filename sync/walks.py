"""Recognises programs that list folder after folder (find, ls -R, tar), and where their walk began. Pure.

Two folders in a row that nobody knew yet, below one that was listed as well: the rest below that one is worth a stream.
A walk that leaves it is recognised again at its next unknown folder, further up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache.model import Ino

IDLE_S = 5.0
SEEN_MAX = 256


class FolderWalks:
    """Folders listed of late."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Ino, float] = OrderedDict()  # listed, or above one that was; the oldest first
        self._cold: tuple[tuple[Ino, ...], float] | None = None

    def opened(self, lineage: tuple[Ino, ...], *, cold: bool, now_s: float) -> Ino | None:
        """A folder (the first of `lineage`, the root is the last) is listed; `cold`: its children were not known.

        Returns the folder below which everything should be fetched.
        """
        self._note(lineage, now_s)
        if not cold:
            return None
        before, self._cold = self._cold, (lineage, now_s)
        if before is None or now_s - before[1] > IDLE_S or before[0][0] == lineage[0]:
            return None
        meeting = next((each for each in lineage if each in before[0]), None)
        return meeting if meeting in self._seen else None

    def _note(self, lineage: tuple[Ino, ...], now_s: float) -> None:
        while self._seen and now_s - next(iter(self._seen.values())) > IDLE_S:
            self._seen.popitem(last=False)
        for folder in reversed(lineage):
            if folder in self._seen or folder == lineage[0]:
                self._seen[folder] = now_s
                self._seen.move_to_end(folder)
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
