"""What is in doubt and when to look: a burst for one entry is one doubt, looked at once it is quiet. Pure.

Bounded: a folder with very many entries in doubt is doubted as a whole, and when there are too many doubts altogether,
everything is. Doubts never vanish: they are taken, or a coarser one stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from server_stub.watching.notices import FolderKey, Notice, Pace, Rename

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL: Final = None  # in place of a name: every entry of the folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long after its last notice an entry is looked at, and how long at most after its first one."""

    now_s: float = 0.01  # the second half of whatever it was is under way
    opening_s: float = 0.1
    writing_s: float = 0.5
    writing_max_s: float = 10.0  # somebody who writes for hours: every so often

    def of(self, pace: Pace) -> tuple[float, float]:
        """Quiet and at most, in seconds."""
        if pace is Pace.NOW:
            return self.now_s, self.now_s
        if pace is Pace.OPENING:
            return self.opening_s, self.opening_s
        return self.writing_s, self.writing_max_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is remembered."""

    names_of_folder: int = 2_000
    names: int = 50_000
    renames: int = 10_000


@dataclass(slots=True)
class _Doubt:
    due_s: float
    last_s: float  # when it is due at the latest
    pace: Pace


@dataclass(slots=True)
class Taken:
    """What is due: names by folder (ALL: all of it), what was renamed, and inodes without a name."""

    folders: dict[FolderKey, set[str | None]]
    renames: list[Rename]
    inodes: set[int]


class Pending:
    """The doubts that wait. Times are seconds of one clock, given by the caller."""

    def __init__(self, delays: Delays | None = None, bounds: Bounds | None = None) -> None:
        self._delays = delays or Delays()
        self._bounds = bounds or Bounds()
        self._folders: dict[FolderKey, dict[str | None, _Doubt]] = {}
        self._renames: list[Rename] = []
        self._inodes: dict[int, _Doubt] = {}
        self._count = 0
        self._soonest_s: float | None = None  # nothing is due before; kept low, and put right by `take`
        self.is_everything = False

    def __len__(self) -> int:
        return self._count + len(self._inodes)

    def note(self, notice: Notice, now_s: float) -> None:
        """One more reason to look at an entry."""
        names = self._folders.setdefault(notice.folder, {})
        if ALL in names and notice.name is not ALL:
            return
        before = names.get(notice.name)
        if before is None:
            self._count += 1
        names[notice.name] = self._hurried(self._joined(before, notice.pace, now_s))
        if notice.name is ALL or len(names) > self._bounds.names_of_folder:
            self._count -= len(names) - 1
            self._folders[notice.folder] = {ALL: self._hurried(self._joined(None, Pace.NOW, now_s))}
        if len(self) > self._bounds.names:
            self.note_everything()

    def note_inode(self, ino: int, now_s: float) -> None:
        """A file that changed under a name that nobody told."""
        self._inodes[ino] = self._hurried(self._joined(self._inodes.get(ino), Pace.NOW, now_s))
        if len(self) > self._bounds.names:
            self.note_everything()

    def note_rename(self, rename: Rename) -> None:
        """A hint for whoever looks; beyond the bound there is none, and evidence has to do."""
        if len(self._renames) < self._bounds.renames:
            self._renames.append(rename)

    def note_everything(self) -> None:
        """All that is known by name is forgotten: a scan stands for it."""
        self._folders.clear()
        self._inodes.clear()
        self._renames.clear()
        self._count = 0
        self._soonest_s = None
        self.is_everything = True

    def take_everything(self) -> bool:
        """Whether a scan is due; then it is the caller's."""
        due, self.is_everything = self.is_everything, False
        return due

    def due_s(self) -> float | None:
        """When to look next, at the soonest: it may be too early for anything. None: there is nothing to look at."""
        return self._soonest_s

    def take(self, now_s: float, limit: int) -> Taken:
        """What is due by now, `limit` entries at most; it is no doubt any more."""
        taken = Taken(folders={}, renames=self._renames, inodes=set())
        self._renames = []
        for key in list(self._folders):
            names = self._folders[key]
            due = [name for name, doubt in names.items() if doubt.due_s <= now_s][:limit]
            if due:
                taken.folders[key] = set(due)
                limit -= len(due)
                self._forget(key, due)
        taken.inodes = {ino for ino, doubt in self._inodes.items() if doubt.due_s <= now_s}
        for ino in taken.inodes:
            del self._inodes[ino]
        left = [doubt.due_s for names in self._folders.values() for doubt in names.values()]
        self._soonest_s = min([*left, *(doubt.due_s for doubt in self._inodes.values())], default=None)
        return taken

    def _forget(self, key: FolderKey, due: Iterable[str | None]) -> None:
        names = self._folders[key]
        for name in due:
            del names[name]
            self._count -= 1
        if not names:
            del self._folders[key]

    def _hurried(self, doubt: _Doubt) -> _Doubt:
        if self._soonest_s is None or doubt.due_s < self._soonest_s:
            self._soonest_s = doubt.due_s
        return doubt

    def _joined(self, before: _Doubt | None, pace: Pace, now_s: float) -> _Doubt:
        quiet_s, most_s = self._delays.of(pace)
        fresh = _Doubt(now_s + quiet_s, now_s + most_s, pace)
        if before is None or pace < before.pace:
            return fresh
        if pace > before.pace:
            return before
        return _Doubt(min(fresh.due_s, before.last_s), before.last_s, pace)
