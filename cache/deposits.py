"""Whole small contents of placeholders, many in one transaction: bytes into a bundle, and rows that call them held.

Bytes come before the commit that tells of them, so a crash leaves files without rows, as any creation does. What is no
placeholder of that very version any more is passed over: somebody opened, changed or removed it meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import bundles, contents, ranges, strays, tree
from cache.failpoints import reached
from cache.model import Bundled, BundleId, ContentId, Ino, ItemId, Version

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


BUNDLED_MIN = 2  # contents worth a file that nobody may change

_SELECT = """SELECT n.ino, i.item_id, i.content_version, i.size, i.digest FROM node n
    JOIN item i ON i.item_id = n.item_id
    WHERE n.ino = ? AND n.content_id IS NULL AND n.kind = 'file' AND n.size = i.size
        AND n.size > 0 AND i.content_version IS NOT NULL"""


def placeholder(connection: sqlite3.Connection, ino: Ino) -> Placeholder | None:
    """What there is to fetch for a node, if it is a placeholder; of an empty file that is nothing."""
    row = connection.execute(_SELECT, (ino,)).fetchone()
    if row is None:
        return None
    number, item_id, version, size, digest = row
    return Placeholder(ino=Ino(number), item_id=item_id, version=version, size=size, digest=digest)


def deposit(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, arrived: Iterable[Whole]) -> list[Deposit]:
    """Take these in, within a transaction; returns those whose nodes hold theirs now. Raises OSError."""
    wanted = [whole for whole in arrived if placeholder(connection, whole.of.ino) == whole.of]
    small = [whole for whole in wanted if whole.of.size <= bundles.BUNDLED_MAX_BYTES]
    others = [whole for whole in wanted if whole.of.size > bundles.BUNDLED_MAX_BYTES]
    if len(small) < BUNDLED_MIN:
        small, others = [], wanted
    taken = _bundle(connection, blobs, small) if small else []
    for whole in others:
        deposited = _insert(connection, whole, None)
        strays.clear(blobs, rescue, deposited.content_id)  # what an earlier transaction left that rolled back
        blobs.write_whole(deposited.content_id, whole.data)
        taken.append(deposited)
    reached("deposit-written")
    return taken


def _bundle(connection: sqlite3.Connection, blobs: Blobs, arrived: list[Whole]) -> list[Deposit]:
    bundle_id = BundleId(contents.newest(connection) + 1)
    blobs.bundles.write(bundle_id, [whole.data for whole in arrived])
    places = bundles.places(bundle_id, [whole.of.size for whole in arrived])
    return [_insert(connection, whole, place) for whole, place in zip(arrived, places, strict=True)]


def _insert(connection: sqlite3.Connection, whole: Whole, place: Bundled | None) -> Deposit:
    of = whole.of
    bundle, bundle_at = (None, None) if place is None else (place.bundle_id, place.start)
    cursor = connection.execute(
        """INSERT INTO content (ino, version, size, resident, held_bytes, dirty, durable, last_use_s, bundle, bundle_at)
           VALUES (?, ?, ?, ?, ?, 0, 0, ?, ?, ?)""",
        (of.ino, of.version, of.size, ranges.encode(((0, of.size),)), of.size, int(time.time()), bundle, bundle_at),
    )
    assert cursor.lastrowid is not None  # noqa: S101  # an INSERT that did not raise has a row id
    content_id = ContentId(cursor.lastrowid)
    tree.set_content(connection, of.ino, content_id, of.size)
    return Deposit(of=of, data=whole.data, content_id=content_id)
