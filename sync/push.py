"""What to send for a row of the outbox: decided from the catalog alone, again each time, inside the sending
transaction.

A row is sent only when the remote can take it: its folder exists there, its name is free there or about to be
replaced by this very request, what it held has left. Otherwise it waits for the row that it depends on. Order thus
follows dependency, not time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import items, journal, tree
from cache.model import Aspect, ChangeState, Ino, Item, ItemId, Kind, LocalChange, Node, Version
from sync.planner import removal_stands
from sync.remote import Replaced

if TYPE_CHECKING:
    import sqlite3


class Superseded(Exception):  # not an error: the plan is made anew
    """What was planned is no longer what the catalog says."""


@dataclass(frozen=True, slots=True)
class Void:
    """Nothing to send any more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Another row comes first."""

    reason: str


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


Push = Void | Wait | Clash | Create | Overwriting | Move | SetAttributes | Remove | Find | EditWins


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
        case Remove(item):
            return item.item_id, item.metadata_version
    return ()


def plan(connection: sqlite3.Connection, change: LocalChange) -> Push:
    """The request for this row as things stand."""
    if change.aspect is Aspect.REMOVE:
        return _removal(connection, change)
    node = tree.by_ino(connection, change.ino)
    if node is None:
        return Void()
    item = None if node.item_id is None else items.get(connection, node.item_id)
    if change.aspect is not Aspect.CREATE and item is not None:
        if change.aspect is Aspect.CONTENT:
            return _content(change, node, item)
        if change.aspect is Aspect.ATTRIBUTES:
            return _attributes(connection, node, item)
    return _named(connection, change, node, item)


def _named(connection: sqlite3.Connection, change: LocalChange, node: Node, item: Item | None) -> Push:
    """A row that needs the node's place in the tree."""
    parent = None if node.parent is None else tree.by_ino(connection, node.parent)
    if parent is None:
        return Void() if node.item_id is None else Wait("its place is being looked up")
    if change.aspect is Aspect.CREATE:
        return _creation(connection, change, node, parent)
    if item is None:
        return Wait("its creation comes first")
    return _place(connection, change, node, parent, item)


def _attributes(connection: sqlite3.Connection, node: Node, item: Item) -> Push:
    if journal.get(connection, node.ino, Aspect.CONTENT) is not None:
        return Wait("it goes with the content")
    return SetAttributes(node, item)


def _content(change: LocalChange, node: Node, item: Item) -> Push:
    if item.content_version is None or item.content_version != change.base_content:
        return Clash(node, item)
    return Overwriting(node, item, item.content_version)


def _creation(connection: sqlite3.Connection, change: LocalChange, node: Node, parent: Node) -> Push:
    parent_id, name = _sent_place(connection, change) or (parent.item_id, node.name)
    if parent_id is None:
        return Wait("its folder comes first")
    if journal.unanswered_at(connection, parent_id, name, change.ino):
        return Wait("what an earlier creation may have made there is found out first")
    occupant = items.at_place(connection, parent_id, name)
    if occupant is None:
        return Create(node, parent_id, name)
    return _leaving(connection, occupant) or Clash(node, occupant)


def _sent_place(connection: sqlite3.Connection, change: LocalChange) -> tuple[ItemId, str] | None:
    """Where a creation whose answer is not known was sent: it is settled there, and moved to its place after that.

    What a local change takes away from there is known as something else, and may itself wait for this creation.
    """
    if not change.in_doubt or change.sent_parent_id is None or change.sent_name is None:
        return None
    occupant = items.at_place(connection, change.sent_parent_id, change.sent_name)
    if occupant is not None and _leaving(connection, occupant) is not None:
        return None
    return change.sent_parent_id, change.sent_name


def _leaving(connection: sqlite3.Connection, occupant: Item) -> Wait | None:
    """The name is still held at the remote by something that a pending change takes away."""
    if journal.removal_of(connection, occupant.item_id) is not None:
        return Wait("what held the name goes first")
    holder = tree.by_item(connection, occupant.item_id)
    if holder is not None and journal.get(connection, holder.ino, Aspect.PLACE) is not None:
        return Wait("what held the name moves first")
    return None


def _place(connection: sqlite3.Connection, change: LocalChange, node: Node, parent: Node, item: Item) -> Push:
    if parent.item_id is None:
        return Wait("its folder comes first")
    if remote_below(connection, parent.item_id, item.item_id):
        return Wait("its new folder leaves it first")
    name = item.name if items.shown_as(item, node.name) else node.name
    if parent.item_id == item.parent_id and name == item.name and not change.in_doubt:
        return Void()
    occupant = items.at_place(connection, parent.item_id, node.name)
    if occupant is None or occupant.item_id == item.item_id:
        return Move(node, item, parent.item_id, name, None, None)
    removal = journal.removal_of(connection, occupant.item_id)
    if removal is not None:
        return _replacing(connection, node, item, occupant, removal, name)
    if _leaving(connection, occupant) is None:
        return _met_standing(connection, node, occupant)
    if _in_ring(connection, node, occupant):
        return Move(node, item, parent.item_id, f".{node.name[:64]}.anchorfs-{change.key[:8]}", None, None)
    return Wait("what holds the name moves first")


def _met_standing(connection: sqlite3.Connection, node: Node, occupant: Item) -> Wait | Clash:
    """What holds the name stays there; it may be what another node was sent as, which then has its own place."""
    sent = journal.unanswered_at(connection, occupant.parent_id, occupant.name, node.ino)
    return Wait("what an earlier creation may have made there is found out first") if sent else Clash(node, occupant)


def _replacing(  # noqa: PLR0917
    connection: sqlite3.Connection, node: Node, item: Item, occupant: Item, removal: LocalChange, name: str
) -> Push:
    """Rename over an item: one request takes its place and removes it."""
    if not removal_stands(occupant, removal):
        return Wait("the edit of what it replaces wins first")
    if occupant.kind is Kind.FOLDER and journal.removals_in(connection, occupant.item_id):
        return Wait("what the replaced folder held goes first")
    if occupant.parent_id is None or removal.state is ChangeState.RUNNING or not _replaceable(node, occupant):
        return Wait("what held the name goes first")
    replaced = Replaced(item_id=occupant.item_id, content_version=occupant.content_version)
    return Move(node, item, occupant.parent_id, name, replaced, removal.ino)


def _replaceable(node: Node, occupant: Item) -> bool:
    """Whether one rename may put `node` in the occupant's place: a folder only over a folder (rename(2))."""
    return (node.kind is Kind.FOLDER) is (occupant.kind is Kind.FOLDER)


def _in_ring(connection: sqlite3.Connection, node: Node, occupant: Item) -> bool:
    """Whether the names that wait for each other form a ring that comes back to `node` (a swap)."""
    for _ in range(64):
        holder = tree.by_item(connection, occupant.item_id)
        if holder is None or holder.parent is None:
            return False
        if holder.ino == node.ino:
            return True
        folder = tree.by_ino(connection, holder.parent)
        if folder is None or folder.item_id is None:
            return False
        following = items.at_place(connection, folder.item_id, holder.name)
        if following is None or following.item_id == occupant.item_id:
            return False
        occupant = following
    return False


def remote_below(connection: sqlite3.Connection, folder: ItemId, ancestor: ItemId) -> bool:
    """Whether the remote has a folder in `ancestor`, or it is that."""
    current: ItemId | None = folder
    while current is not None:
        if current == ancestor:
            return True
        known = items.get(connection, current)
        current = None if known is None else known.parent_id
    return False


def _removal(connection: sqlite3.Connection, change: LocalChange) -> Push:
    if change.item_id is None:
        if change.base_parent_id is None or change.base_name is None:
            return Void()
        return Find(change.base_parent_id, change.base_name)
    item = items.get(connection, change.item_id)
    if item is None:
        return Void()
    if not removal_stands(item, change):
        return EditWins(item)
    if item.kind is Kind.FOLDER and journal.removals_in(connection, item.item_id):
        return Wait("what it held goes first")
    if _taken_over(connection, item):
        return Wait("what takes its place removes it")
    return Remove(item)


def _taken_over(connection: sqlite3.Connection, item: Item) -> bool:
    """Whether a move into this item's place is pending: it removes the item in the same request."""
    folder = None if item.parent_id is None else tree.by_item(connection, item.parent_id)
    heir = None if folder is None else tree.child(connection, folder.ino, items.shown_name(item))
    if heir is None or heir.item_id is None or not _replaceable(heir, item):
        return False
    row = journal.get(connection, heir.ino, Aspect.PLACE)
    return row is not None and row.state not in {ChangeState.PARKED, ChangeState.HELD}  # a person decides when
