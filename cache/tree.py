"""Nodes: the local tree by inode number, by item id, by (parent, name).

Plain functions over a connection: reads may be given the reader, changes only the connection of a running transaction.
Nothing here journals or decides; `cache.edits` (local changes) and `sync.absorb` (remote ones) do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cache.model import ROOT_INO, ContentId, Ino, ItemId, Kind, Node

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

_COLUMNS = """n.ino, n.parent, n.name, n.kind, n.size, n.mode, n.mtime_ns, n.ctime_ns, n.item_id, n.content_id,
    n.symlink_target, n.listed, n.writable, coalesce(c.held_bytes, 0), n.uid, n.gid, n.atime_ns, n.device"""
_SELECT = f"SELECT {_COLUMNS} FROM node n LEFT JOIN content c ON c.content_id = n.content_id WHERE"  # noqa: S608
_KINDS = {kind.value: kind for kind in Kind}
# Nodes read at a time while a folder is listed: as many as one answer to the kernel holds (32 KiB, a name and its
# attributes take 160 bytes at least), because it asks again, and we read again, after each.
_PAGE = 208
DEEPEST = 4096  # of a path that is told to people


def _node(row: tuple[object, ...]) -> Node:
    (
        ino,
        parent,
        name,
        kind,
        size,
        mode,
        mtime_ns,
        ctime_ns,
        item_id,
        content_id,
        target,
        listed,
        writable,
        held,
        uid,
        gid,
        atime_ns,
        device,
    ) = row
    return Node(
        ino=ino,  # type: ignore[arg-type]  # the STRICT schema guarantees the types of the row
        parent=parent,  # type: ignore[arg-type]
        name=name,  # type: ignore[arg-type]
        kind=_KINDS[kind],  # type: ignore[index]
        size=size,  # type: ignore[arg-type]
        mode=mode,  # type: ignore[arg-type]
        mtime_ns=mtime_ns,  # type: ignore[arg-type]
        ctime_ns=ctime_ns,  # type: ignore[arg-type]
        item_id=item_id,  # type: ignore[arg-type]
        content_id=content_id,  # type: ignore[arg-type]
        symlink_target=target,  # type: ignore[arg-type]
        listed=listed == 1,
        writable=writable == 1,
        held_bytes=held,  # type: ignore[arg-type]
        uid=uid,  # type: ignore[arg-type]
        gid=gid,  # type: ignore[arg-type]
        atime_ns=atime_ns,  # type: ignore[arg-type]
        device=device,  # type: ignore[arg-type]
    )


def by_ino(connection: sqlite3.Connection, ino: Ino) -> Node | None:
    """The node of an inode number."""
    row = connection.execute(f"{_SELECT} n.ino = ?", (ino,)).fetchone()
    return None if row is None else _node(row)


def bytes_of(connection: sqlite3.Connection, ino: Ino) -> tuple[ContentId | None, ItemId | None] | None:
    """The content that a node has, and its item, which may hold more bytes of it: what opening a file needs to know."""
    row: tuple[ContentId | None, ItemId | None] | None = connection.execute(
        "SELECT content_id, item_id FROM node WHERE ino = ?", (ino,)
    ).fetchone()
    return row


def by_item(connection: sqlite3.Connection, item_id: ItemId) -> Node | None:
    """The node of an item."""
    row = connection.execute(f"{_SELECT} n.item_id = ?", (item_id,)).fetchone()
    return None if row is None else _node(row)


def child(connection: sqlite3.Connection, parent: Ino, name: str) -> Node | None:
    """The node that a folder holds under a name."""
    row = connection.execute(f"{_SELECT} n.parent = ? AND n.name = ?", (parent, name)).fetchone()
    return None if row is None else _node(row)


def page(connection: sqlite3.Connection, parent: Ino, after: int, limit: int) -> list[Node]:
    """At most `limit` nodes of a folder in inode order, from beyond inode `after`."""
    rows = connection.execute(
        f"{_SELECT} n.parent = ? AND n.ino > ? ORDER BY n.ino LIMIT ?", (parent, after, limit)
    ).fetchall()
    return [_node(row) for row in rows]


def children(connection: sqlite3.Connection, parent: Ino, after: int = 0) -> Iterator[Node]:
    """Nodes of a folder in inode order, from beyond inode `after`; pages, so other readers never wait long."""
    while True:
        nodes = page(connection, parent, after, _PAGE)
        yield from nodes
        if len(nodes) < _PAGE:
            return
        after = nodes[-1].ino


def nameless(connection: sqlite3.Connection, inos: Iterable[Ino]) -> list[Node]:
    """Those of these that have neither a name nor an item."""
    rows = connection.execute(
        f"{_SELECT} n.ino IN (SELECT value FROM json_each(?)) AND n.parent IS NULL AND n.item_id IS NULL "  # noqa: S608
        "AND n.ino <> ?",
        (json.dumps(sorted(inos)), ROOT_INO),
    ).fetchall()
    return [_node(row) for row in rows]


def has_children(connection: sqlite3.Connection, parent: Ino) -> bool:
    """Whether a folder holds any node."""
    return connection.execute("SELECT 1 FROM node WHERE parent = ? LIMIT 1", (parent,)).fetchone() is not None


def count_folders(connection: sqlite3.Connection, parent: Ino) -> int:
    """How many folders a folder holds: its link count is two more."""
    (count,) = connection.execute(
        "SELECT count(*) FROM node WHERE parent = ? AND kind = 'folder'", (parent,)
    ).fetchone()
    return int(count)


def listed_folders(connection: sqlite3.Connection) -> list[Ino]:
    """Folders whose every child is here, in the order in which they became known: most of them after their parents."""
    rows = connection.execute("SELECT ino FROM node WHERE kind = 'folder' AND listed = 1")  # by an index of folders
    return sorted(Ino(ino) for (ino,) in rows)


def path_of(connection: sqlite3.Connection, ino: Ino) -> str:
    """The path below the mount point, for people; '?' leads where the chain is broken, or has no end."""
    row = connection.execute(
        """WITH RECURSIVE up (ino, parent, path, depth) AS (
               SELECT ino, parent, name, 0 FROM node WHERE ino = ?
               UNION ALL
               SELECT n.ino, n.parent, n.name || '/' || up.path, up.depth + 1 FROM node n, up
               WHERE n.ino = up.parent AND up.depth < ?)
           SELECT path, ino FROM up ORDER BY depth DESC LIMIT 1""",
        (ino, DEEPEST),
    ).fetchone()
    if row is None:
        return "?"
    path, top = row
    return str(path) if top == 1 else f"?/{path}"


def is_below(connection: sqlite3.Connection, ino: Ino, ancestor: Ino) -> bool:
    """Whether `ino` is `ancestor` or lies below it."""
    current: Ino | None = ino
    seen: set[Ino] = set()  # a ring, which must never be, must not be gone round for ever either
    while current is not None and current not in seen:
        if current == ancestor:
            return True
        seen.add(current)
        row = connection.execute("SELECT parent FROM node WHERE ino = ?", (current,)).fetchone()
        current = None if row is None else row[0]
    return False


_INSERT = """INSERT INTO node (parent, name, kind, size, mode, mtime_ns, ctime_ns, item_id, content_id, symlink_target,
    listed, writable, uid, gid, atime_ns, device) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def _values(node: Node) -> tuple[object, ...]:
    return (
        node.parent, node.name, node.kind, node.size, node.mode, node.mtime_ns, node.ctime_ns, node.item_id,
        node.content_id, node.symlink_target, node.listed, node.writable, node.uid, node.gid, node.atime_ns,
        node.device,
    )  # fmt: skip


def insert(connection: sqlite3.Connection, node: Node) -> Ino:
    """Add a node (its `ino` is ignored, a new number is allocated) and return the number."""
    cursor = connection.execute(_INSERT, _values(node))
    assert cursor.lastrowid is not None  # noqa: S101  # an INSERT that did not raise has a row id
    return Ino(cursor.lastrowid)


def spare_ino(connection: sqlite3.Connection) -> Ino:
    """A number that no node has or will have: what a removal without a node is known by."""
    blank = Node(
        ino=Ino(0), parent=None, name="", kind=Kind.FILE, size=0, mode=0, mtime_ns=0, ctime_ns=0, item_id=None,
        content_id=None, symlink_target=None, listed=False, writable=True, held_bytes=0,
    )  # fmt: skip
    ino = insert(connection, blank)
    delete(connection, ino)
    return ino


def insert_all(connection: sqlite3.Connection, nodes: Iterable[Node]) -> None:
    """The same of many, in this order."""
    connection.executemany(_INSERT, map(_values, nodes))


def place(connection: sqlite3.Connection, ino: Ino, parent: Ino | None, name: str) -> None:
    """Give a node its parent and name; parent None takes it out of the tree."""
    connection.execute("UPDATE node SET parent = ?, name = ? WHERE ino = ?", (parent, name, ino))


def rename(connection: sqlite3.Connection, ino: Ino, parent: Ino, name: str, now_ns: int) -> None:
    """The same of what a program renames, with its time."""
    connection.execute("UPDATE node SET parent = ?, name = ?, ctime_ns = ? WHERE ino = ?", (parent, name, now_ns, ino))


def take_out(connection: sqlite3.Connection, ino: Ino, now_ns: int) -> None:
    """Take a node out of the tree, and its item from it."""
    connection.execute("UPDATE node SET parent = NULL, item_id = NULL, ctime_ns = ? WHERE ino = ?", (now_ns, ino))


def set_item(connection: sqlite3.Connection, ino: Ino, item_id: ItemId | None) -> None:
    """Tie a node to an item."""
    connection.execute("UPDATE node SET item_id = ? WHERE ino = ?", (item_id, ino))


def set_content(connection: sqlite3.Connection, ino: Ino, content_id: ContentId | None, size: int) -> None:
    """Say which content a file has, and its size."""
    connection.execute("UPDATE node SET content_id = ?, size = ? WHERE ino = ?", (content_id, size, ino))


def set_target(connection: sqlite3.Connection, ino: Ino, target: str | None) -> None:
    """Where a symlink points."""
    connection.execute("UPDATE node SET symlink_target = ? WHERE ino = ?", (target, ino))


def set_writable(connection: sqlite3.Connection, ino: Ino, *, writable: bool) -> None:
    """Whether the remote lets this account write it."""
    connection.execute("UPDATE node SET writable = ? WHERE ino = ?", (writable, ino))


def set_attributes(connection: sqlite3.Connection, ino: Ino, mode: int, mtime_ns: int, ctime_ns: int) -> None:
    """Set mode and times."""
    connection.execute(
        "UPDATE node SET mode = ?, mtime_ns = ?, ctime_ns = ? WHERE ino = ?", (mode, mtime_ns, ctime_ns, ino)
    )


def set_owner(connection: sqlite3.Connection, ino: Ino, uid: int | None, gid: int | None) -> None:
    """Whose it is on this machine."""
    connection.execute("UPDATE node SET uid = ?, gid = ? WHERE ino = ?", (uid, gid, ino))


def set_atime(connection: sqlite3.Connection, ino: Ino, atime_ns: int) -> None:
    """The time of last access, as somebody wants it told."""
    connection.execute("UPDATE node SET atime_ns = ? WHERE ino = ?", (atime_ns, ino))


def stamp(connection: sqlite3.Connection, ino: Ino, now_ns: int) -> None:
    """Something about the node changed that is neither its bytes nor its attributes: its name, or their number."""
    connection.execute("UPDATE node SET ctime_ns = ? WHERE ino = ?", (now_ns, ino))


def touch(connection: sqlite3.Connection, folder: Ino, now_ns: int) -> None:
    """A folder's times after an entry came or went."""
    connection.execute("UPDATE node SET mtime_ns = ?, ctime_ns = ? WHERE ino = ?", (now_ns, now_ns, folder))


def set_listed(connection: sqlite3.Connection, ino: Ino, *, listed: bool) -> None:
    """Whether every child of the folder is here."""
    connection.execute("UPDATE node SET listed = ? WHERE ino = ?", (listed, ino))


def delete(connection: sqlite3.Connection, ino: Ino) -> None:
    """Forget a node; its number is never used again."""
    connection.execute("DELETE FROM node WHERE ino = ?", (ino,))
