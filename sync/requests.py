"""What can be done about a row of the outbox: the requests, and the reasons to send none. Pure values.

Two that are equal are the same request, planned at two moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Aspect, Ino

if TYPE_CHECKING:
    from cache.model import Item, ItemId, Node, Version, XattrChanges
    from sync.remote import Replaced

Row = tuple[Ino, Aspect]
"""Names a row of the outbox."""


class Superseded(Exception):  # not an error: the plan is made anew
    """What was planned is no longer what the catalog says."""


@dataclass(frozen=True, slots=True)
class Void:
    """Nothing to send any more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Other rows come first: `behind` names them, where they are known.

    `aside`: the same under a passing name, for the case that those it waits for wait for it.
    """

    reason: str
    behind: tuple[Row, ...] = ()
    aside: Create | Move | None = None


@dataclass(frozen=True, slots=True)
class Clash:
    """The remote is not where this change was made: `told` stands against it; the conflict table decides."""

    node: Node
    told: Item


@dataclass(frozen=True, slots=True)
class Create:
    """A new file, folder or symlink `name` under `parent_id`."""

    node: Node
    parent_id: ItemId
    name: str


@dataclass(frozen=True, slots=True)
class Overwriting:
    """New content for an item that must still be at `base`."""

    node: Node
    item: Item
    base: Version


@dataclass(frozen=True, slots=True)
class Move:
    """Another place; with `replaced`, in the place of that item, whose pending removal is done with it."""

    node: Node
    item: Item
    parent_id: ItemId
    name: str
    replaced: Replaced | None
    removal_ino: Ino | None


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Mode and times."""

    node: Node
    item: Item


@dataclass(frozen=True, slots=True)
class SetXattrs:
    """Extended attributes, those that were changed here."""

    node: Node
    item: Item
    changes: XattrChanges


@dataclass(frozen=True, slots=True)
class Remove:
    """To the trash."""

    item: Item


@dataclass(frozen=True, slots=True)
class Find:
    """A creation without a known answer, deleted here since: look whether it happened."""

    parent_id: ItemId
    name: str


@dataclass(frozen=True, slots=True)
class EditWins:
    """The item that was removed here has new content: the removal is void."""

    item: Item


Push = Void | Wait | Clash | Create | Overwriting | Move | SetAttributes | SetXattrs | Remove | Find | EditWins


def told(action: Push) -> tuple[object, ...]:
    """All that the remote is told by a request, but for a file's bytes: what makes it the same request."""
    match action:
        case Create(node, parent_id, name):
            return parent_id, name, node.kind, node.mode, node.symlink_target, node.mtime_ns
        case Overwriting(node, item, base):
            return item.item_id, base, node.mode, node.mtime_ns
        case Move(_, item, parent_id, name, replaced):
            return item.item_id, item.metadata_version, parent_id, name, replaced
        case SetAttributes(node, item):
            return item.item_id, item.metadata_version, node.mode, node.mtime_ns
        case SetXattrs(_, item, changes):
            return item.item_id, item.metadata_version, changes
        case Remove(item):
            return item.item_id, item.metadata_version
    return ()
