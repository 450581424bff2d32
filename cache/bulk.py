"""Many rows of the tree and of the items at once: what a page of news needs to know, and to write.

The same rows as in `cache.tree` and `cache.items`, one statement per hundreds of rows instead of several per row. Every
query finds its rows by an index; a test reads the plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cache.model import ROOT_INO, ContentId, Ino, ItemId, Version
from cache.tree import DEEPEST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

STANDING = """
    SELECT n.ino, n.parent, n.name, n.size, n.mode, n.mtime_ns, n.ctime_ns, n.writable, n.symlink_target,
           n.content_id, c.version,
           i.item_id, i.parent_id, i.name, i.kind, i.size, i.mode, i.mtime_ns, i.ctime_ns, i.content_version,
           i.metadata_version, i.digest, i.symlink_target, i.capabilities, i.xattrs, i.shown_name
    FROM json_each(?) AS asked JOIN node n ON n.item_id = asked.value JOIN item i ON i.item_id = n.item_id
         LEFT JOIN content c ON c.content_id = n.content_id"""
PLACED = "SELECT n.item_id FROM json_each(?) AS asked JOIN node n ON n.item_id = asked.value"
TOLD = "SELECT i.item_id FROM json_each(?) AS asked JOIN item i ON i.item_id = asked.value"
FOLDERS = """SELECT n.item_id, n.ino, n.listed FROM json_each(?) AS asked JOIN node n ON n.item_id = asked.value
    WHERE n.kind = 'folder'"""
TAKEN = """SELECT n.parent, n.name FROM json_each(?) AS asked
    JOIN node n ON n.parent = json_extract(asked.value, '$[0]') AND n.name = json_extract(asked.value, '$[1]')"""
ITEMS_IN = "SELECT item_id FROM node WHERE parent = ? AND item_id IS NOT NULL"
HIDDEN = """SELECT f.ino, i.shown_name FROM json_each(?) AS asked
    JOIN node f ON f.ino = json_extract(asked.value, '$[0]')
    JOIN item i ON i.parent_id = f.item_id AND i.shown_name = json_extract(asked.value, '$[1]')"""
PATHS = f"""WITH RECURSIVE up (begin, ino, parent, path, depth) AS (
        SELECT n.ino, n.ino, n.parent, n.name, 0 FROM json_each(?) AS asked JOIN node n ON n.ino = asked.value
        UNION ALL
        SELECT up.begin, n.ino, n.parent, n.name || '/' || up.path, up.depth + 1
        FROM up JOIN node n ON n.ino = up.parent WHERE up.depth < {DEEPEST})
    SELECT begin, path, ino FROM up WHERE parent IS NULL"""  # noqa: S608  # a constant
OUTBOX = "SELECT ino, item_id, base_parent_id, base_name, sent_parent_id, sent_name FROM journal LIMIT ?"
OUTBOX_MAX = 500  # rows; with more to be sent, news is taken in one by one
_CHANGE_NODE = """UPDATE node SET size = ?, symlink_target = ?, mode = ?, mtime_ns = ?, ctime_ns = ?, writable = ?
    WHERE ino = ?"""  # not the content: that would write to an index for each, and few have one
_DROP_CONTENT = "UPDATE node SET content_id = NULL WHERE ino = ?"
_CHANGE_ITEM = """UPDATE item SET size = ?, mode = ?, mtime_ns = ?, ctime_ns = ?, content_version = ?,
    metadata_version = ?, digest = ?, symlink_target = ?, capabilities = ?, xattrs = ? WHERE item_id = ?"""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """An item that has a node: how it is shown, and what was last told of it."""

    ino: Ino
    parent: Ino | None
    name: str
    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int
    writable: int
    symlink_target: str | None
    content_id: ContentId | None
    version: Version | None  # of the content; None: no content
    told: tuple[object, ...]  # as `items.row_of` would tell it


def standing(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> dict[ItemId, Standing]:
    """Those of the items that have a node and were told."""
    rows = connection.execute(STANDING, (_json(item_ids),)).fetchall()
    return {row[11]: _standing(row) for row in rows}


def _standing(row: tuple[Any, ...]) -> Standing:
    ino, parent, name, size, mode, mtime_ns, ctime_ns, writable, target, content_id, version = row[:11]
    return Standing(ino, parent, name, size, mode, mtime_ns, ctime_ns, writable, target, content_id, version, row[11:])


class Outbox(msgspec.Struct, frozen=True, gc=False):
    """What local changes that wait to be sent are about."""

    inos: frozenset[Ino]
    item_ids: frozenset[ItemId]
    places: frozenset[tuple[ItemId, str]]  # where things were, or were sent to

    def concerns(self, item_id: ItemId, parent_id: ItemId | None, name: str) -> bool:
        """Whether one of them is about an item, or about its place."""
        return item_id in self.item_ids or (parent_id, name) in self.places


def outbox(connection: sqlite3.Connection) -> Outbox | None:
    """None when it is too much to be compared with everything."""
    rows = connection.execute(OUTBOX, (OUTBOX_MAX + 1,)).fetchall()
    if len(rows) > OUTBOX_MAX:
        return None
    return Outbox(
        inos=frozenset(row[0] for row in rows),
        item_ids=frozenset(row[1] for row in rows),
        places=frozenset(place for row in rows for place in (row[2:4], row[4:6])),
    )


def placed(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> set[ItemId]:
    """Those of the items that have a node."""
    return {row[0] for row in connection.execute(PLACED, (_json(item_ids),)).fetchall()}


def told(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> set[ItemId]:
    """Those of the items of which something is kept."""
    return {row[0] for row in connection.execute(TOLD, (_json(item_ids),)).fetchall()}


def folders(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> dict[ItemId, tuple[Ino, bool]]:
    """Inode number of each folder that has a node, and whether every child of it is here."""
    rows = connection.execute(FOLDERS, (_json(item_ids),)).fetchall()
    return {item_id: (ino, listed == 1) for item_id, ino, listed in rows}


def taken(connection: sqlite3.Connection, places: Iterable[tuple[Ino, str]]) -> set[tuple[Ino, str]]:
    """Those of the places, a folder and a name in it each, where a node is."""
    return set(connection.execute(TAKEN, (_json(places),)).fetchall())


def items_in(connection: sqlite3.Connection, parent: Ino) -> set[ItemId]:
    """The items whose nodes a folder holds."""
    return {row[0] for row in connection.execute(ITEMS_IN, (parent,)).fetchall()}


def hidden(connection: sqlite3.Connection, places: Iterable[tuple[Ino, str]]) -> set[tuple[Ino, str]]:
    """Those of the places, a folder and a name in it each, where the remote has an item."""
    return set(connection.execute(HIDDEN, (_json(places),)).fetchall())


def paths(connection: sqlite3.Connection, inos: Iterable[Ino]) -> dict[Ino, str]:
    """Paths of nodes below the mount point, as `tree.path_of` tells them; none of those whose chain has no end."""
    rows = connection.execute(PATHS, (_json(inos),)).fetchall()
    return {ino: path if top == ROOT_INO else f"?/{path}" for ino, path, top in rows}


def change_items(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """What was told anew of items that stay where they are, as `items.row_of` tells it."""
    connection.executemany(_CHANGE_ITEM, [(*row[4:14], row[0]) for row in rows])


def change_nodes(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """(size, symlink_target, mode, mtime_ns, ctime_ns, writable, ino) of each."""
    connection.executemany(_CHANGE_NODE, rows)


def drop_contents(connection: sqlite3.Connection, inos: Iterable[Ino]) -> None:
    """The bytes that are here are not theirs any more."""
    connection.executemany(_DROP_CONTENT, [(ino,) for ino in inos])


def depart(connection: sqlite3.Connection, rows: Iterable[tuple[Ino, Ino, str]]) -> None:
    """(ino, parent, name) of files that the remote deleted: where a write through an open handle brings them back."""
    connection.executemany("INSERT OR REPLACE INTO departed VALUES (?, ?, ?)", rows)


def take_out(connection: sqlite3.Connection, gone: Iterable[tuple[Ino, ItemId]]) -> None:
    """The remote deleted these: nodes without name and item, and nothing is kept of the items."""
    pairs = list(gone)
    connection.executemany("UPDATE node SET parent = NULL, item_id = NULL WHERE ino = ?", [(ino,) for ino, _ in pairs])
    forget(connection, [item_id for _, item_id in pairs])


def forget(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> None:
    """Keep nothing of these items."""
    connection.executemany("DELETE FROM item WHERE item_id = ?", [(each,) for each in item_ids])


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()
