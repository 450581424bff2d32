"""What to send for a row of the outbox: decided from the catalog alone, again each time, inside the sending
transaction.

A row is sent only when the remote can take it: its folder exists there, its name is free there or about to be
replaced by this very request, what it held has left. Otherwise it waits for the rows that it depends on. Order thus
follows dependency, not time. Rows that wait for one another (a folder is replaced by what it held) would do so for
ever: one of them, that waits for a name, goes by a passing name first.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from cache import folded, items, journal, tree, xattrs
from cache.model import Aspect, ChangeState, Item, ItemId, Kind, LocalChange, Node
from sync.planner import removal_stands
from sync.remote import Replaced
from sync.requests import (
    Clash,
    Create,
    EditWins,
    Find,
    Move,
    Overwriting,
    Push,
    Remove,
    Row,
    SetAttributes,
    SetXattrs,
    Superseded,
    Void,
    Wait,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator


HELD_ROWS = 16  # of a folder that is left by many: enough to see what it waits for, as those that can go do
RING_ROWS_MAX = 256


def plan(connection: sqlite3.Connection, change: LocalChange) -> Push:
    """The request for this row as things stand."""
    action = _look(connection, change)
    if isinstance(action, Wait) and action.aside is not None and _waits_for_itself(connection, change, action):
        return action.aside
    return action


def stands(connection: sqlite3.Connection, change: LocalChange, planned: Push) -> LocalChange:
    """The row as it is now; Superseded when it would be planned otherwise by now, or was changed since it was
    approved."""
    row = journal.get(connection, change.ino, change.aspect)
    if row is None or row.state is ChangeState.HELD or plan(connection, row) != planned:
        raise Superseded
    return row


def passing_name(change: LocalChange, name: str) -> str:
    """What something is called on its way to a name that is not free yet."""
    return f".{name[:64]}.anchorfs-{change.key[:8]}"


def _waits_for_itself(connection: sqlite3.Connection, change: LocalChange, wait: Wait) -> bool:
    """Whether what a row waits for waits, in the end, for this row."""
    row, seen, queue = (change.ino, change.aspect), set[Row](), list(wait.behind)
    while queue and len(seen) < RING_ROWS_MAX:
        other = queue.pop()
        if other == row:
            return True
        if other in seen:
            continue
        seen.add(other)
        first = journal.get(connection, *other)
        if first is not None and first.state in {ChangeState.PENDING, ChangeState.HELD}:
            blocked = _look(connection, first)
            queue += blocked.behind if isinstance(blocked, Wait) else ()
    return False


def _rows(changes: Iterable[LocalChange]) -> tuple[Row, ...]:
    return tuple((each.ino, each.aspect) for each in changes)


def _look(connection: sqlite3.Connection, change: LocalChange) -> Push:
    """The request, or what is to be waited for."""
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
        if change.aspect is Aspect.XATTRS:
            return _xattrs(connection, node, item)
    return _named(connection, change, node, item)


def _named(connection: sqlite3.Connection, change: LocalChange, node: Node, item: Item | None) -> Push:
    """A row that needs the node's place in the tree."""
    parent = None if node.parent is None else tree.by_ino(connection, node.parent)
    if parent is None:
        return Void() if node.item_id is None else Wait("its place is being looked up")
    if change.aspect is Aspect.CREATE:
        return _creation(connection, change, node, parent)
    if item is None:
        return Wait("its creation comes first", ((node.ino, Aspect.CREATE),))
    return _place(connection, change, node, parent, item)


def _attributes(connection: sqlite3.Connection, node: Node, item: Item) -> Push:
    if journal.get(connection, node.ino, Aspect.CONTENT) is not None:
        return Wait("it goes with the content", ((node.ino, Aspect.CONTENT),))
    return SetAttributes(node, item)


def _xattrs(connection: sqlite3.Connection, node: Node, item: Item) -> Push:
    if journal.get(connection, node.ino, Aspect.CONTENT) is not None:
        # What was sent for a file before this one cannot arrive any more then.
        return Wait("the content goes first", ((node.ino, Aspect.CONTENT),))
    changes = xattrs.changes(connection, node.ino)
    return SetXattrs(node, item, changes) if changes else Void()


def _content(change: LocalChange, node: Node, item: Item) -> Push:
    if item.content_version is None or item.content_version != change.base_content:
        return Clash(node, item) if node.parent is not None else Wait("its place is being looked up")
    return Overwriting(node, item, item.content_version)


def _creation(connection: sqlite3.Connection, change: LocalChange, node: Node, parent: Node) -> Push:
    parent_id, name = _sent_place(connection, change) or (parent.item_id, node.name)
    if parent_id is None:
        return Wait("its folder comes first", ((parent.ino, Aspect.CREATE),))
    aside = Create(node, parent_id, passing_name(change, name))
    if earlier := journal.unanswered_at(connection, parent_id, name, change.ino):
        return Wait("what an earlier creation may have made there is found out first", _rows(earlier), aside)
    occupant = occupant_of(connection, change, parent_id, name)
    if occupant is None:
        return Create(node, parent_id, name)
    goes = leaving(connection, occupant)
    return Clash(node, occupant) if goes is None else Wait("what held the name goes first", _rows([goes]), aside)


def _sent_place(connection: sqlite3.Connection, change: LocalChange) -> tuple[ItemId, str] | None:
    """Where a creation whose answer is not known was sent: it is settled there, and moved to its place after that.

    What is there and is shown, or taken away by a local change, is known as something else, and may itself wait for
    this creation.
    """
    if not change.in_doubt or change.sent_parent_id is None or change.sent_name is None:
        return None
    occupant = items.at_place(connection, change.sent_parent_id, change.sent_name)
    if occupant is not None and (_is_shown(connection, occupant) or leaving(connection, occupant) is not None):
        return None
    return change.sent_parent_id, change.sent_name


def occupant_of(connection: sqlite3.Connection, change: LocalChange, parent_id: ItemId, name: str) -> Item | None:
    """What has a name at the remote; or another that the remote takes for it, until a local change took it away."""
    if (found := items.at_place(connection, parent_id, name)) is not None:
        return found
    found = folded.occupant(connection, change, parent_id, name)
    return None if found is None or leaving(connection, found) is None else found


def _is_shown(connection: sqlite3.Connection, item: Item) -> bool:
    holder = tree.by_item(connection, item.item_id)
    return holder is not None and holder.parent is not None


def leaving(connection: sqlite3.Connection, occupant: Item) -> LocalChange | None:
    """The pending change that takes away what holds a name at the remote."""
    removal = journal.removal_of(connection, occupant.item_id)
    if removal is not None:
        return removal
    holder = tree.by_item(connection, occupant.item_id)
    return None if holder is None else journal.get(connection, holder.ino, Aspect.PLACE)


def _place(connection: sqlite3.Connection, change: LocalChange, node: Node, parent: Node, item: Item) -> Push:
    if parent.item_id is None:
        return Wait("its folder comes first", ((parent.ino, Aspect.CREATE),))
    if remote_below(connection, parent.item_id, item.item_id):
        return Wait("its new folder leaves it first", _moves_above(connection, parent.item_id, item.item_id))
    name = item.name if items.shown_as(item, node.name) else node.name
    if parent.item_id == item.parent_id and name == item.name and not change.in_doubt:
        return Void()
    occupant = occupant_of(connection, change, parent.item_id, node.name)
    if occupant is None or occupant.item_id == item.item_id:
        return Move(node, item, parent.item_id, name, None, None)
    passing = passing_name(change, node.name)
    there = (item.parent_id, item.name) == (parent.item_id, passing)  # and waits no more for who waits for it
    aside = None if there else Move(node, item, parent.item_id, passing, None, None)
    removal = journal.removal_of(connection, occupant.item_id)
    if removal is not None:
        return _replacing(connection, Move(node, item, parent.item_id, name, None, None), occupant, removal, aside)
    goes = leaving(connection, occupant)
    if goes is None:
        return _met_standing(connection, node, occupant, aside)
    return Wait("what holds the name moves first", _rows([goes]), aside)


def _met_standing(connection: sqlite3.Connection, node: Node, occupant: Item, aside: Move | None) -> Wait | Clash:
    """What holds the name stays there; it may be what another node was sent as, which then has its own place."""
    sent = journal.unanswered_at(connection, occupant.parent_id, occupant.name, node.ino)
    if sent:
        return Wait("what an earlier creation may have made there is found out first", _rows(sent), aside)
    return Clash(node, occupant)


def _replacing(
    connection: sqlite3.Connection, move: Move, occupant: Item, removal: LocalChange, aside: Move | None
) -> Push:
    """Rename over an item: one request takes its place and removes it."""
    if not removal_stands(occupant, removal):
        return Wait("the edit of what it replaces wins first", _rows([removal]))
    held = journal.leaving(connection, occupant.item_id, HELD_ROWS) if occupant.kind is Kind.FOLDER else []
    if held:
        return Wait("what the replaced folder held goes first", _rows(held), aside)
    running = removal.state is ChangeState.RUNNING
    if occupant.parent_id is None or running or not _replaceable(move.node, occupant):
        return Wait("what held the name goes first", _rows([removal]), aside)
    replaced = Replaced(item_id=occupant.item_id, content_version=occupant.content_version)
    return Move(move.node, move.item, occupant.parent_id, move.name, replaced, removal.ino)


def _replaceable(node: Node, occupant: Item) -> bool:
    """Whether one rename may put `node` in the occupant's place: a folder only over a folder (rename(2)), and only what
    has the very name, not one that the remote takes for it."""
    return (node.kind is Kind.FOLDER) is (occupant.kind is Kind.FOLDER) and node.name == occupant.name


def remote_below(connection: sqlite3.Connection, folder: ItemId, ancestor: ItemId) -> bool:
    """Whether the remote has a folder in `ancestor`, or it is that."""
    return any(current == ancestor for current in _upwards(connection, folder))


def _upwards(connection: sqlite3.Connection, folder: ItemId) -> Iterator[ItemId]:
    """A folder of the remote and all above it that are known. A remote may tell of a ring: that is gone round once."""
    current: ItemId | None = folder
    seen: set[ItemId] = set()
    while current is not None and current not in seen:
        yield current
        seen.add(current)
        known = items.get(connection, current)
        current = None if known is None else known.parent_id


def _moves_above(connection: sqlite3.Connection, folder: ItemId, ancestor: ItemId) -> tuple[Row, ...]:
    """Pending moves of a folder that the remote has below `ancestor`, and of those between."""
    found: list[Row] = []
    for current in takewhile(lambda each: each != ancestor, _upwards(connection, folder)):
        node = tree.by_item(connection, current)
        found += [] if node is None else [(node.ino, Aspect.PLACE)]
    return tuple(found)


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
    held = journal.leaving(connection, item.item_id, HELD_ROWS) if item.kind is Kind.FOLDER else []
    if held:
        return Wait("what it held goes first", _rows(held))
    heir = _heir(connection, item)
    if heir is not None:
        return Wait("what takes its place removes it", _rows([heir]))
    return Remove(item)


def _heir(connection: sqlite3.Connection, item: Item) -> LocalChange | None:
    """A pending move into this item's place: it removes the item in the same request."""
    folder = None if item.parent_id is None else tree.by_item(connection, item.parent_id)
    heir = None if folder is None else tree.child(connection, folder.ino, items.shown_name(item))
    if heir is None or heir.item_id is None or not _replaceable(heir, item):
        return None
    row = journal.get(connection, heir.ino, Aspect.PLACE)
    return None if row is None or row.state in {ChangeState.PARKED, ChangeState.HELD} else row  # a person decides when
