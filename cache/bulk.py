"""Many rows of the tree and of the items at once: what a page of news needs to know, and to write.

The same rows as in `cache.tree` and `cache.items`, one statement per hundreds of rows instead of several per row. Every
query finds its rows by an index; a test reads the plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cache.model import ContentId, Ino, ItemId, Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

STANDING = """
    SELECT n.ino, n.parent, n.name, n.mode, n.mtime_ns, n.writable, n.symlink_target, n.content_id, c.version,
           i.item_id, i.parent_id, i.name, i.kind, i.size, i.mode, i.mtime_ns, i.ctime_ns, i.content_version,
           i.metadata_version, i.digest, i.symlink_target, i.capabilities, i.xattrs, i.shown_name
    FROM json_each(?) AS asked JOIN node n ON n.item_id = asked.value JOIN item i ON i.item_id = n.item_id
         LEFT JOIN content c ON c.content_id = n.content_id"""
PLACED = "SELECT n.item_id FROM json_each(?) AS asked JOIN node n ON n.item_id = asked.value"
TOLD = "SELECT i.item_id FROM json_each(?) AS asked JOIN item i ON i.item_id = asked.value"
FOLDERS = """SELECT n.item_id, n.ino, n.listed FROM json_each(?) AS asked JOIN node n ON n.item_id = asked.value
    WHERE n.kind = 'folder'"""
TAKEN = "SELECT n.name FROM json_each(?2) AS asked JOIN node n ON n.parent = ?1 AND n.name = asked.value"
ITEMS_IN = "SELECT item_id FROM node WHERE parent = ? AND item_id IS NOT NULL"
HIDDEN = """SELECT i.shown_name FROM json_each(?2) AS asked
    JOIN item i ON i.parent_id = ?1 AND i.shown_name = asked.value"""
OUTBOX = "SELECT ino, item_id, base_parent_id, base_name, sent_parent_id, sent_name FROM journal LIMIT ?"
OUTBOX_MAX = 500  # rows; with more to be sent, news is taken in one by one
_CHANGE_NODE = """UPDATE node SET mode = ?, mtime_ns = ?, ctime_ns = ?, writable = ? WHERE ino = ?"""
_CHANGE_CONTENT = """UPDATE node SET content_id = NULL, size = ?, symlink_target = ? WHERE ino = ?"""
_CHANGE_ITEM = """UPDATE item SET size = ?, mode = ?, mtime_ns = ?, ctime_ns = ?, content_version = ?,
    metadata_version = ?, digest = ?, symlink_target = ?, capabilities = ?, xattrs = ? WHERE item_id = ?"""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """An item that has a node: how it is shown, and what was last told of it."""

    ino: Ino
    parent: Ino | None
    name: str
    mode: int
    mtime_ns: int
    writable: int
    symlink_target: str | None
    content_id: ContentId | None
    version: Version | None  # of the content; None: no content
    told: tuple[object, ...]  # as `items.row_of` would tell it


def standing(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> dict[ItemId, Standing]:
    """Those of the items that have a node and were told."""
    rows = connection.execute(STANDING, (_json(item_ids),)).fetchall()
    return {row[9]: _standing(row) for row in rows}


def _standing(row: tuple[Any, ...]) -> Standing:
    ino, parent, name, mode, mtime_ns, writable, target, content_id, version = row[:9]
    return Standing(ino, parent, name, mode, mtime_ns, writable, target, content_id, version, row[9:])


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


def taken(connection: sqlite3.Connection, parent: Ino, names: Iterable[str]) -> set[str]:
    """Those of the names that a node in the folder has."""
    return {row[0] for row in connection.execute(TAKEN, (parent, _json(names))).fetchall()}


def items_in(connection: sqlite3.Connection, parent: Ino) -> set[ItemId]:
    """The items whose nodes a folder holds."""
    return {row[0] for row in connection.execute(ITEMS_IN, (parent,)).fetchall()}


def hidden(connection: sqlite3.Connection, parent_id: ItemId, names: Iterable[str]) -> set[str]:
    """Those of the names that an item in the folder would be shown by."""
    return {row[0] for row in connection.execute(HIDDEN, (parent_id, _json(names))).fetchall()}


def change_items(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """What was told anew of items that stay where they are, as `items.row_of` tells it."""
    connection.executemany(_CHANGE_ITEM, [(*row[4:14], row[0]) for row in rows])


def change_nodes(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """(mode, mtime_ns, ctime_ns, writable, ino) of each."""
    connection.executemany(_CHANGE_NODE, rows)


def change_contents(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """(size, symlink_target, ino) of each: its bytes are not here."""
    connection.executemany(_CHANGE_CONTENT, rows)


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


def _json(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
