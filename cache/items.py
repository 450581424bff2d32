"""Items: what the remote last told, kept for every item with a node, a pending removal, or a name that is held here.

Plain functions over a connection, as in `cache.tree`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from cache.model import Capability, Item, ItemId, Kind, Xattrs
from cache.names import shown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.model import Version

_COLUMNS = """item_id, parent_id, name, kind, size, mode, mtime_ns, ctime_ns, content_version, metadata_version, digest,
    symlink_target, capabilities, xattrs"""

_NO_XATTRS = msgspec.msgpack.encode(())
WITHOUT_XATTRS = (None, _NO_XATTRS)  # what a row holds of an item that has none
_decode_xattrs = msgspec.msgpack.Decoder(Xattrs).decode
_PUT = f"""INSERT OR REPLACE INTO item ({_COLUMNS}, shown_name)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""  # noqa: S608
_KINDS = {kind.value: kind for kind in Kind}


@cache
def _capabilities(words: str) -> frozenset[Capability]:
    """A drive has a handful of combinations."""
    return frozenset(map(Capability, words.split()))


@cache
def _words(capabilities: frozenset[Capability]) -> str:
    return " ".join(sorted(capabilities))


def _encoded_xattrs(item: Item) -> bytes | None:
    if not item.xattrs:
        return None if item.xattrs is None else _NO_XATTRS
    return msgspec.msgpack.encode(item.xattrs)


def _item(row: tuple[object, ...]) -> Item:
    (
        item_id,
        parent_id,
        name,
        kind,
        size,
        mode,
        mtime_ns,
        ctime_ns,
        content,
        metadata,
        digest,
        target,
        caps,
        xattrs,
    ) = row
    return Item(
        item_id=item_id,  # type: ignore[arg-type]  # the STRICT schema guarantees the types of the row
        parent_id=parent_id,  # type: ignore[arg-type]
        name=name,  # type: ignore[arg-type]
        kind=_KINDS[kind],  # type: ignore[index]
        size=size,  # type: ignore[arg-type]
        mode=mode,  # type: ignore[arg-type]
        mtime_ns=mtime_ns,  # type: ignore[arg-type]
        ctime_ns=ctime_ns,  # type: ignore[arg-type]
        content_version=content,  # type: ignore[arg-type]
        metadata_version=metadata,  # type: ignore[arg-type]
        digest=digest,  # type: ignore[arg-type]
        symlink_target=target,  # type: ignore[arg-type]
        capabilities=_capabilities(str(caps)),
        xattrs=() if xattrs == _NO_XATTRS else None if xattrs is None else _decode_xattrs(xattrs),  # type: ignore[arg-type]
    )


def get(connection: sqlite3.Connection, item_id: ItemId) -> Item | None:
    """What the remote last told of an item."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM item WHERE item_id = ?", (item_id,)).fetchone()  # noqa: S608
    return None if row is None else _item(row)


def capabilities(connection: sqlite3.Connection, item_id: ItemId) -> frozenset[Capability] | None:
    """What the remote lets this account do with an item; None: it is not known."""
    row = connection.execute("SELECT capabilities FROM item WHERE item_id = ?", (item_id,)).fetchone()
    return None if row is None else _capabilities(row[0])


def digest(connection: sqlite3.Connection, item_id: ItemId | None, version: Version | None) -> str | None:
    """What a version of an item hashes to, if it is the newest that was told of, and with its digest."""
    if item_id is None or version is None:
        return None
    row = connection.execute(
        "SELECT digest FROM item WHERE item_id = ? AND content_version = ?", (item_id, version)
    ).fetchone()
    return None if row is None else row[0]


def at_place(connection: sqlite3.Connection, parent_id: ItemId, shown_name: str) -> Item | None:
    """The item that the remote holds under a name, as far as it told us."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM item WHERE parent_id = ? AND shown_name = ?",  # noqa: S608
        (parent_id, shown_name),
    ).fetchone()
    return None if row is None else _item(row)


def placed_as(told: Item, known: Item) -> Item:
    """An item as one answer told it, at the place at which another one did."""
    return replace(told, parent_id=known.parent_id, name=known.name, metadata_version=known.metadata_version)


def below(connection: sqlite3.Connection, parent_id: ItemId) -> list[ItemId]:
    """Ids of the items that the remote holds in a folder, as far as it told us."""
    rows = connection.execute("SELECT item_id FROM item WHERE parent_id = ?", (parent_id,)).fetchall()
    return [ItemId(row[0]) for row in rows]


def row_of(item: Item) -> tuple[object, ...]:
    """An item as its row holds it, in the order of the columns; the last is `shown_name`."""
    return (
        item.item_id, item.parent_id, item.name, item.kind, item.size, item.mode, item.mtime_ns, item.ctime_ns,
        item.content_version, item.metadata_version, item.digest, item.symlink_target, _words(item.capabilities),
        _encoded_xattrs(item), shown(item.name),
    )  # fmt: skip


def put(connection: sqlite3.Connection, item: Item) -> None:
    """Store what the remote told."""
    put_all(connection, (item,))


def put_all(connection: sqlite3.Connection, told: Iterable[Item]) -> None:
    """The same of many."""
    put_rows(connection, map(row_of, told))


def put_rows(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """The same of many, as `row_of` tells each."""
    connection.executemany(_PUT, rows)


def any_known(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> bool:
    """Whether one of these was told before, or has a node."""
    asked = json.dumps(list(item_ids))
    row = connection.execute(
        """SELECT 1 WHERE EXISTS (SELECT 1 FROM json_each(?1) j JOIN item ON item.item_id = j.value)
                  OR EXISTS (SELECT 1 FROM json_each(?1) j JOIN node ON node.item_id = j.value)""",
        (asked,),
    ).fetchone()
    return row is not None


def delete(connection: sqlite3.Connection, item_id: ItemId) -> None:
    """Forget an item."""
    connection.execute("DELETE FROM item WHERE item_id = ?", (item_id,))


def shown_name(item: Item) -> str:
    """How an item's name looks here."""
    return shown(item.name)


def shown_as(item: Item, name: str) -> bool:
    """Whether an item that keeps its own name looks like this here."""
    return shown(item.name) == name


def doubt(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> None:
    """Have these asked for again."""
    connection.executemany("INSERT OR IGNORE INTO doubt VALUES (?)", [(each,) for each in sorted(item_ids)])


def doubt_uncompared(connection: sqlite3.Connection) -> None:
    """The same of all that was told of folders whose children are not all here: a folder that something known went
    into and that nobody looked into since, or one that is being removed."""
    connection.execute(
        """INSERT OR IGNORE INTO doubt SELECT item_id FROM item WHERE parent_id IN (
               SELECT told.parent_id FROM (SELECT DISTINCT parent_id FROM item WHERE parent_id IS NOT NULL) told
               WHERE NOT EXISTS (SELECT 1 FROM node f WHERE f.item_id = told.parent_id AND f.listed = 1))"""
    )


def settle_doubts(connection: sqlite3.Connection, item_ids: Iterable[ItemId]) -> None:
    """These were asked for; part of the transaction that takes in the answer."""
    connection.executemany("DELETE FROM doubt WHERE item_id = ?", [(each,) for each in item_ids])


def doubtful(connection: sqlite3.Connection, limit: int) -> list[ItemId]:
    """Items to ask for again, those among them whose node has no place at the moment."""
    rows = connection.execute(
        """SELECT item_id FROM doubt
           UNION SELECT item_id FROM node WHERE parent IS NULL AND item_id IS NOT NULL AND ino <> 1
           LIMIT ?""",
        (limit,),
    ).fetchall()
    return [ItemId(row[0]) for row in rows]
