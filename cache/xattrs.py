"""User extended attributes of a node: what its item tells, and over it what was changed here and the remote has not.

Only the changes have rows, and each row is in the outbox (`Aspect.XATTRS`): so news about an attribute that was not
changed here shows at once, and of two machines that change different ones neither undoes the other's. A node that
parts with its item takes along what it showed (`keep`); one that takes over an item hides what is not its own (`hide`).
Plain functions over a connection, as in `cache.tree`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import items, journal, tree
from cache.changing import existing, permit
from cache.errors import NoAttribute, NoSpaceLeft, NotSupported
from cache.model import ROOT_INO, XATTRS_MAX_BYTES, Aspect, Capability

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from cache.changing import Clock
    from cache.model import Ino, Item, Node, XattrChanges


def of_node(connection: sqlite3.Connection, node: Node) -> dict[str, bytes]:
    """All attributes of a node, by name."""
    item = None if node.item_id is None else items.get(connection, node.item_id)
    return _shown(connection, node.ino, item)


def value(connection: sqlite3.Connection, node: Node, name: str) -> bytes:
    """One attribute; NoAttribute."""
    found = of_node(connection, node).get(name)
    if found is None:
        raise NoAttribute(name=name)
    return found


def changes(connection: sqlite3.Connection, ino: Ino) -> XattrChanges:
    """What was changed here and the remote has not, by name; None: removed."""
    rows = connection.execute("SELECT name, value FROM xattr WHERE ino = ? ORDER BY name", (ino,))
    return tuple(rows.fetchall())


def change(connection: sqlite3.Connection, ino: Ino, name: str, new: bytes | None, clock: Clock) -> None:
    """setxattr, and with None removexattr; raises NoAttribute, NoSpaceLeft, NotPermitted, NotSupported.

    Those of the root stay here, as its mode does.
    """
    node = existing(connection, ino)
    permit(connection, node, Capability.WRITE)
    root = tree.by_ino(connection, ROOT_INO)
    told = None if root is None or root.item_id is None else items.get(connection, root.item_id)
    if told is None or told.xattrs is None:
        raise NotSupported("the remote keeps no extended attributes", ino=ino, name=name)
    item = None if node.item_id is None else items.get(connection, node.item_id)
    shown = _shown(connection, ino, item)
    if new is None and name not in shown:
        raise NoAttribute(name=name)
    if new is not None:
        _check_room(shown | {name: new})
    _put(connection, ino, {name: new})
    tree.stamp(connection, ino, clock.now_ns)
    if ino != ROOT_INO and (node.parent is not None or node.item_id is not None):
        journal.record(connection, ino, Aspect.XATTRS, item, clock.now_s, not_before_ms=clock.push_after_ms)


def differ(connection: sqlite3.Connection, ino: Ino, before: Item, after: Item) -> bool:
    """Whether a node shows others when the remote tells `after` instead of `before`."""
    return before.xattrs != after.xattrs and _shown(connection, ino, before) != _shown(connection, ino, after)


def keep(connection: sqlite3.Connection, node: Node, item: Item | None, heir: Ino | None = None) -> bool:
    """The node will be without its item: what it shows becomes its own, or that of `heir`. Whether it has any."""
    if not ((item is not None and item.xattrs) or changes(connection, node.ino)):
        return False  # most have none: one question is all that it costs
    shown = _shown(connection, node.ino, item)
    forget(connection, node.ino if heir is None else heir)
    _put(connection, node.ino if heir is None else heir, shown)
    return bool(shown)


def names(connection: sqlite3.Connection, ino: Ino | None, item: Item) -> set[str]:
    """Names that an item has, or gets by what was changed on its node and may be under way."""
    changed = () if ino is None else changes(connection, ino)
    return {name for name, _ in (*(item.xattrs or ()), *changed)}


def hide(
    connection: sqlite3.Connection, ino: Ino, item: Item, theirs: set[str], clock: Clock, *, held: bool | None = None
) -> None:
    """The node takes over an item of which it shows nothing, as a file that is renamed over another: of `theirs`, the
    names of the item before that, what the node has not itself is removed."""
    own = dict(changes(connection, ino))
    _put(connection, ino, {name: None for name in theirs if name not in own})
    record(connection, ino, item, clock, held=held)


def record(
    connection: sqlite3.Connection, ino: Ino, item: Item | None, clock: Clock, *, held: bool | None = None
) -> None:
    """Note in the outbox that there are changes, if there are; `held`: as `journal.record`."""
    if changes(connection, ino):
        journal.record(connection, ino, Aspect.XATTRS, item, clock.now_s, held=held)


def forget(connection: sqlite3.Connection, ino: Ino) -> None:
    """Nothing is changed here any more: the remote has it, or it was given up."""
    connection.execute("DELETE FROM xattr WHERE ino = ?", (ino,))


def _shown(connection: sqlite3.Connection, ino: Ino, item: Item | None) -> dict[str, bytes]:
    shown = {} if item is None else dict(item.xattrs or ())
    for name, new in changes(connection, ino):
        if new is None:
            shown.pop(name, None)
        else:
            shown[name] = new
    return shown


def _put(connection: sqlite3.Connection, ino: Ino, new: Mapping[str, bytes | None]) -> None:
    connection.executemany("INSERT OR REPLACE INTO xattr VALUES (?, ?, ?)", [(ino, *each) for each in new.items()])


def _check_room(shown: Mapping[str, bytes]) -> None:
    size_bytes = sum(len(name.encode()) + len(each) for name, each in shown.items())
    if size_bytes > XATTRS_MAX_BYTES:
        raise NoSpaceLeft("too many extended attributes", size_bytes=size_bytes)
