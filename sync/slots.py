"""How many rows of the outbox are under way at a time: few while programs work, and never only large files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from cache.model import Ino

PARALLEL = 6
PARALLEL_LARGE = 2  # of them, large files; one slot at the least is left to all others
PARALLEL_BUSY = 2  # while programs are changing names and files: they share this thread, and go first
BUSY_S = 0.1  # how long after a local change that holds
PAUSE_S = 0.02  # after a local change nothing begins: another one mostly follows within a millisecond,
PAUSED_MAX_S = 1.0  # and its program would wait while a request is made; unless changes have come for so long


class Slots:
    """`busy` are the nodes that have a row under way, or whose row goes with one."""

    def __init__(self) -> None:
        self.busy: set[Ino] = set()
        self._large: set[Ino] = set()
        self._changed_at = self._busy_since = -math.inf
        self._put_off = False  # a large file, only because programs work

    def changed(self) -> None:
        """A local change was made."""
        now = trio.current_time()
        if now - self._changed_at >= BUSY_S:
            self._busy_since = now
        self._changed_at = now

    @property
    def _parallel(self) -> int:
        if self._pause_s > 0:
            return 0
        return PARALLEL if trio.current_time() - self._changed_at >= BUSY_S else PARALLEL_BUSY

    @property
    def _pause_s(self) -> float:
        """For how long nothing begins; 0 or less: no more."""
        return min(self._changed_at + PAUSE_S, self._busy_since + PAUSED_MAX_S) - trio.current_time()

    def all_taken(self) -> bool:
        """Whether nothing may start now."""
        return len(self.busy) >= self._parallel

    def begin_look(self) -> None:
        """What is due is about to be looked through."""
        self._put_off = False

    def quiet_in_s(self) -> float | None:
        """When more may start without anything having ended, because programs are quiet then; None: it makes no
        difference."""
        if (pause_s := self._pause_s) > 0:
            return pause_s
        return BUSY_S if len(self.busy) < PARALLEL and (self.all_taken() or self._put_off) else None

    def take(self, ino: Ino, *, large: bool) -> bool:
        """Have one, if there is one for this kind."""
        if large and len(self._large) >= min(PARALLEL_LARGE, self._parallel - 1):
            self._put_off = len(self._large) < PARALLEL_LARGE
            return False
        self.busy.add(ino)
        if large:
            self._large.add(ino)
        return True

    def release(self, ino: Ino) -> None:
        """Give it back."""
        self.busy.discard(ino)
        self._large.discard(ino)
