"""What a kernel interface tells: entries that may have changed. The seam between it and the watcher.

Law: a notice names its folder by a key that stays with the folder when it is renamed; only `Source.names` turns it
into a path, as late as possible. A notice is a reason to look, never a fact.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

FolderKey = Hashable
FolderNames = tuple[str, ...]


class WatchUnavailable(Exception):
    """This interface cannot watch this tree here; the text says why."""


class Pace(IntEnum):
    """How soon a look is worth it; the lower comes first."""

    NOW = 0  # done: closed after writing, renamed, deleted, attributes set
    OPENING = 1  # a file came into being: whoever made it is most likely about to fill and close it
    WRITING = 2  # bytes changed and somebody still holds it open


class Notice(NamedTuple):
    """An entry of a folder. Without a name: all entries of it."""

    folder: FolderKey
    name: str | None
    pace: Pace = Pace.NOW


class Rename(NamedTuple):
    """One entry, before and after."""

    source: FolderKey
    source_name: str
    target: FolderKey
    target_name: str


@dataclass(slots=True)
class Batch:
    """What one read of the kernel's queue brought."""

    notices: list[Notice] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    inodes: set[int] = field(default_factory=set)  # changed through a handle: nobody knows by which name
    events: int = 0
    is_overflow: bool = False  # the kernel dropped events: everything is in doubt
    folders_moved: bool = False  # paths that `names` told before may be old
    is_gone: str | None = None  # why nothing will be told any more


class Source(Protocol):
    """A kernel interface that watches one tree. Its calls block, and never run two at a time."""

    kind: str

    def fileno(self) -> int:
        """What becomes readable when there are events."""
        ...

    def start(self) -> None:
        """Begin to watch; what happens from its return on is told. WatchUnavailable."""
        ...

    def read(self) -> Batch:
        """What the queue holds, a bounded part of it; never waits. OSError when the interface is broken."""
        ...

    def names(self, key: FolderKey) -> FolderNames | None:
        """Where the folder lies now; None when it is no (longer a) folder of the tree."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...
