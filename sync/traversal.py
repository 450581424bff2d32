"""Recognises programs that open the files of a folder, or of a tree, in order. Pure: events in, wishes out.

A walk is believed at its second file, goes by inode numbers (the order of readdir) or by names, and follows into other
folders once it went from one to the next. It is fed in batches that double while everything fetched is opened, and
shrink when it is not; nothing is fetched without a further open, so a walk that stops leaves at most what lies ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache.ahead import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cache.model import Ino

    Lineage = Callable[[Ino], tuple[Ino, ...]]  # a folder and those above it, up to the root

STEPS_KNOWN = 2  # files opened in order until a walk is believed
BATCH_MIN, BATCH_MAX = 16, 128  # files
RUNNING_MAX = 2  # batches of one walk under way
MISSES_MAX = 3  # in a row: what is fetched is not what is opened
IDLE_S = 10.0  # a walk that opened nothing for so long is over
WALKS_MAX = 16


@dataclass(frozen=True, slots=True)
class FileOpened:
    """A program opened a file; `local`: all its bytes are here."""

    ino: Ino
    folder: Ino
    name: str
    local: bool


@dataclass(slots=True, eq=False)
class Walk:
    """One program's way, as far as it is known."""

    last: FileOpened
    seen_s: float
    frontier: Place  # what lies behind it was not fetched yet
    top: Ino | None = None  # the walk goes on into the folders below
    by_ino: bool = True
    by_name: bool = True
    steps: int = 1
    batch: int = BATCH_MIN
    running: int = 0
    fed: int = 0  # batches
    misses: int = 0  # in a row
    moved: bool = True  # opened a file since the last batch was planned
    exhausted: bool = False  # nothing more lies ahead, as things are known
    ahead: set[Ino] = field(default_factory=set)  # fetched or being fetched, not opened yet

    @property
    def hungry(self) -> bool:
        """Whether another batch is to be fetched now."""
        known = self.steps >= STEPS_KNOWN and not self.exhausted and self.misses < MISSES_MAX
        return known and self.moved and self.running < RUNNING_MAX and len(self.ahead) <= self.batch


class Traversal:
    """All walks of a mount."""

    def __init__(self) -> None:
        self.walks: list[Walk] = []  # the one seen last is the last; without any, files that are here begin none

    def opened(self, seen: FileOpened, lineage: Lineage, now_s: float) -> Walk | None:
        """A file was opened; the walk that it belongs to, if one is known or begins here."""
        self.walks = [walk for walk in self.walks if now_s - walk.seen_s < IDLE_S or walk.running]
        walk = next((each for each in self.walks if seen.ino in each.ahead), None)
        if walk is not None:
            _hit(walk, seen)
        elif (walk := self._of_folder(seen.folder)) is not None:
            _went_on(walk, seen)
        elif not seen.local:
            walk = self._related(seen, lineage) or self._begun(seen, now_s)
        if walk is not None:
            walk.seen_s, walk.moved = now_s, True
            self.walks.remove(walk)
            self.walks.append(walk)
        return walk

    def _of_folder(self, folder: Ino) -> Walk | None:
        return next((each for each in reversed(self.walks) if each.last.folder == folder), None)

    def _begun(self, seen: FileOpened, now_s: float) -> Walk:
        walk = Walk(last=seen, seen_s=now_s, frontier=Place(seen.folder, seen.ino))
        self.walks.append(walk)
        del self.walks[:-WALKS_MAX]
        return walk

    def _related(self, seen: FileOpened, lineage: Lineage) -> Walk | None:
        """A walk that came from a folder above, below or beside this one."""
        mine = lineage(seen.folder)
        for walk in reversed(self.walks):
            theirs = lineage(walk.last.folder)
            meeting = next((each for each in mine if each in theirs), None)
            if meeting is not None and (meeting == walk.last.folder or mine.index(meeting) <= 1):
                walk.top = meeting if walk.top is None or walk.top not in mine else walk.top
                walk.steps += 1
                _miss(walk, seen)
                return walk
        return None


def planned(walk: Walk, inos: Iterable[Ino], frontier: Place | None) -> None:
    """A batch is being fetched; frontier None: nothing lies beyond it."""
    if walk.fed and not walk.misses:
        walk.batch = min(walk.batch * 2, BATCH_MAX)
    walk.fed += 1
    walk.moved = False
    walk.ahead.update(inos)
    walk.exhausted = frontier is None
    walk.frontier = frontier or walk.frontier


def _hit(walk: Walk, seen: FileOpened) -> None:
    walk.ahead.discard(seen.ino)
    walk.last, walk.misses = seen, 0
    walk.steps += 1


def _went_on(walk: Walk, seen: FileOpened) -> None:
    """A file of the walk's folder that was not fetched for it: here already, before its beginning, or out of order."""
    if seen.ino == walk.last.ino:
        return
    walk.by_ino = walk.by_ino and seen.ino > walk.last.ino
    walk.by_name = walk.by_name and seen.name > walk.last.name
    if not (walk.by_ino or walk.by_name):
        walk.by_ino = walk.by_name = True
        walk.steps, walk.batch, walk.fed = 0, BATCH_MIN, 0
    walk.steps += 1
    if seen.local:
        walk.last = seen
    else:
        _miss(walk, seen)


def _miss(walk: Walk, seen: FileOpened) -> None:
    """The walk is somewhere else than where it was expected: what was fetched in vain is forgotten."""
    if walk.fed:
        walk.misses += 1
        walk.batch = max(walk.batch // 2, BATCH_MIN)
    if walk.misses >= MISSES_MAX:
        walk.ahead.clear()
        walk.misses, walk.steps, walk.fed = 0, 1, 0
    walk.last, walk.exhausted = seen, False
    walk.frontier = Place(seen.folder, seen.ino if walk.by_ino else seen.name)
