"""From what a source tells to paths to look at, while the tree goes on changing under both.

A doubt becomes a path as late as possible. When a folder was renamed between that moment and the look, its entries were
looked for in vain under the old path: what was looked at is remembered for a few seconds, and doubted again once the
rename is told. `Looks` belongs to the event loop, `resolve` to the thread of the source.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from server_stub.names import HIDDEN_FOLDER
from server_stub.watching.notices import FolderKey, FolderNames, Notice, Pace
from server_stub.watching.pending import ALL, Pending, Taken

if TYPE_CHECKING:
    from server_stub.watching.notices import Batch, Source

_LOOK_MAX: Final = 2_000  # doubts of one look
_RECENT_S: Final = 5.0  # how long a rename may take from the tree to the source's reader
_RECENT_NAMES_MAX: Final = 50_000


@dataclass(slots=True)
class Look:
    """What to look at: an entry, or, when it is a folder, its entries. Ends of a rename are among the paths."""

    paths: set[FolderNames] = field(default_factory=set)
    renames: list[tuple[FolderNames, FolderNames]] = field(default_factory=list)
    inodes: set[int] = field(default_factory=set)  # of files whose path nobody knows

    def __len__(self) -> int:
        return len(self.paths) + len(self.inodes)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be resolved: doubts, and folders whose path may have changed since they were looked at."""

    taken: Taken
    before: dict[FolderKey, FolderNames]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Paths as they were a moment ago; `moved` are folders of `Due.before` that lie elsewhere now."""

    look: Look
    folders: dict[FolderKey, FolderNames]
    moved: set[FolderKey]


@dataclass(frozen=True, slots=True)
class _Looked:
    at_s: float
    folders: dict[FolderKey, FolderNames]
    names: dict[FolderKey, set[str | None]]

    @property
    def count(self) -> int:
        return sum(len(names) for names in self.names.values())


class Looks:
    """The doubts of one source. Times are seconds of one clock, given by the caller."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._recent: deque[_Looked] = deque()
        self._recent_names = 0
        self._is_recent_whole = True
        self._folders_moved = False

    def note(self, batch: Batch, now_s: float) -> None:
        """Everything that one read brought."""
        for notice in batch.notices:
            self._pending.note(notice, now_s)
        for rename in batch.renames:
            self._pending.note_rename(rename)
        for ino in batch.inodes:
            self._pending.note_inode(ino, now_s)
        self._folders_moved |= batch.folders_moved

    def take(self, now_s: float) -> Due:
        """What is due; it is no doubt any more."""
        before: dict[FolderKey, FolderNames] = {}
        if self._folders_moved and not self._is_recent_whole:
            self._is_recent_whole = True
            self._pending.note_everything()
        elif self._folders_moved:
            before = {key: names for looked in self._recent for key, names in looked.folders.items()}
        self._folders_moved = False
        return Due(self._pending.take(now_s, _LOOK_MAX), before)

    def looked(self, due: Due, resolved: Resolved, now_s: float) -> None:
        """Before the look is taken: what may yet turn out to have moved is remembered, what did is doubted again."""
        for looked in self._recent:
            for key in resolved.moved & looked.names.keys():
                for name in looked.names[key]:
                    self._pending.note(Notice(key, name), now_s)
        latest = _Looked(now_s, resolved.folders, due.taken.folders)
        self._recent.append(latest)
        self._recent_names += latest.count
        while now_s - self._recent[0].at_s > _RECENT_S:
            self._recent_names -= self._recent.popleft().count
        while len(self._recent) > 1 and self._recent_names > _RECENT_NAMES_MAX:
            self._recent_names -= self._recent.popleft().count
            self._is_recent_whole = False

    def put_back(self, due: Due, now_s: float) -> None:
        """The look could not be taken; it is due again in a while."""
        for key, names in due.taken.folders.items():
            for name in names:
                self._pending.note(Notice(key, name, Pace.WRITING), now_s)
        for ino in due.taken.inodes:
            self._pending.note_inode(ino, now_s)


def resolve(source: Source, due: Due) -> Resolved:
    """Paths as they are now; what lies in the server's own folder, or nowhere in the tree, is no doubt."""
    look = Look(inodes=due.taken.inodes)
    folders: dict[FolderKey, FolderNames] = {}
    for key, names in due.taken.folders.items():
        folder = source.names(key)
        if folder is not None and folder[:1] != (HIDDEN_FOLDER,):
            folders[key] = folder
            look.paths.update(_path(folder, name) for name in names)
    for rename in due.taken.renames:
        before, after = source.names(rename.source), source.names(rename.target)
        if before is not None and after is not None:
            look.renames.append(((*before, rename.source_name), (*after, rename.target_name)))
    moved = {key for key, names in due.before.items() if source.names(key) != names}
    return Resolved(look, folders, moved)


def _path(folder: FolderNames, name: str | None) -> FolderNames:
    """`.` is the folder itself, in the words of fanotify."""
    return folder if name is ALL or name == "." else (*folder, name)
