"""Whole small contents of placeholders, many in one transaction: bytes into blobs, and rows that call them held.

Bytes come before the commit that tells of them, so a crash leaves blobs without rows, as any creation does. What is no
placeholder of that very version any more is passed over: somebody opened, changed or removed it meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import ranges, strays, tree
from cache.model import ContentId, Ino, ItemId, Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.blobs import Blobs
    from cache.rescue import Rescue


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """A file of which nothing is here, and where its bytes are."""

    ino: Ino
    item_id: ItemId
    version: Version
    size: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All bytes of a placeholder, known to be the right ones."""

    of: Placeholder
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """Bytes that were taken in, as this content."""

    of: Placeholder
    data: bytes
    content_id: ContentId


_SELECT = """SELECT n.ino, i.item_id, i.content_version, i.size, i.digest FROM node n
    JOIN item i ON i.item_id = n.item_id
    WHERE n.ino = ? AND n.content_id IS NULL AND n.kind = 'file' AND n.size = i.size
        AND i.content_version IS NOT NULL"""


def placeholder(connection: sqlite3.Connection, ino: Ino) -> Placeholder | None:
    """What there is to fetch for a node, if it is a placeholder."""
    row = connection.execute(_SELECT, (ino,)).fetchone()
    if row is None:
        return None
    number, item_id, version, size, digest = row
    return Placeholder(ino=Ino(number), item_id=item_id, version=version, size=size, digest=digest)


def deposit(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, arrived: Iterable[Whole]) -> list[Deposit]:
    """Take these in, within a transaction; returns those whose nodes hold theirs now. Raises OSError."""
    now_s = int(time.time())
    taken: list[Deposit] = []
    for whole in arrived:
        if placeholder(connection, whole.of.ino) != whole.of:
            continue
        content_id = _insert(connection, whole.of, now_s)
        strays.clear(blobs, rescue, content_id)  # what an earlier transaction left that rolled back
        blobs.write_whole(content_id, whole.data)
        tree.set_content(connection, whole.of.ino, content_id, whole.of.size)
        taken.append(Deposit(of=whole.of, data=whole.data, content_id=content_id))
    return taken


def _insert(connection: sqlite3.Connection, of: Placeholder, now_s: int) -> ContentId:
    cursor = connection.execute(
        """INSERT INTO content (ino, version, size, resident, held_bytes, dirty, durable, last_use_s)
           VALUES (?, ?, ?, ?, ?, 0, 0, ?)""",
        (of.ino, of.version, of.size, ranges.encode(((0, of.size),)), of.size, now_s),
    )
    assert cursor.lastrowid is not None  # noqa: S101  # an INSERT that did not raise has a row id
    return ContentId(cursor.lastrowid)
