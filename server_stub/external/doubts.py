"""The seam between whoever notices changes made behind the server's back and the reconciliation with the index.

A watcher calls `await service.reconcile(Doubts(...))` and needs to know nothing else. A doubt is a path: "this
entry, or (when it is a folder) one of its entries, may not be what the index says". Doubts may be wrong, late,
doubled and out of order: what the tree says now decides, so reconciling twice is harmless. The cost is in the
number of doubts. A folder that is new below a doubt is walked whole. `service.scan()` is the same over everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Names = tuple[str, ...]  # a path as the names below the drive's root, decoded as os.fsdecode does; (): the root


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, as far as the watcher was told."""

    user: str
    protocol: str  # "smb", "nfs", "local"
    machine: str = ""  # the client's name or address


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What may have changed, to be looked at together: a move is seen as one when both its ends are in here."""

    paths: frozenset[Names] = frozenset()
    renames: tuple[tuple[Names, Names], ...] = ()  # old → new in the order they happened; both ends are doubts too
    actors: Mapping[Names, Actor] = field(default_factory=dict)  # by path; the newest end of a rename

    def every(self) -> frozenset[Names]:
        """All paths in doubt."""
        return self.paths | {end for rename in self.renames for end in rename}


class Outcome(StrEnum):
    """What became of an item."""

    ADDED = "added"
    CHANGED = "changed"  # content, mode or time
    MOVED = "moved"  # or renamed: the same item_id under another name
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One change that was found and is in the feed now."""

    outcome: Outcome
    item_id: str
    names: Names  # where it is now; of a removed one: where it was
    actor: Actor | None = None
