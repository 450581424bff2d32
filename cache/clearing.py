"""Empties the cache of a drive that is not mounted: what the server has goes, what it has not stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache import contents, dropped, tree
from cache.errors import NoDriveHere
from cache.model import ContentId, Ino
from cache.opening import CATALOG
from cache.store import LocalStore

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from cache.blobs import Blobs
    from cache.db import Database
    from cache.pins import Pins

BATCH = 1000
TOLD_MAX = 100


@dataclass(slots=True)
class Cleared:
    """What was given back, and what was left; the counts are of all, the names of the first."""

    files: int = 0
    freed_bytes: int = 0
    left_files: int = 0
    left_bytes: int = 0
    left: list[dict[str, str]] = field(default_factory=list)


async def clear(directory: Path) -> Cleared:
    """Delete every clean content that is not pinned; raises CacheInUse, StateUnusable, OSError."""
    if not (directory / CATALOG).is_file():
        raise NoDriveHere("no state file there", path=str(directory))
    store = LocalStore(directory)
    try:
        return _clear(store.db, store.blobs, store.pins)
    finally:
        await store.aclose()


def _clear(db: Database, blobs: Blobs, pins: Pins) -> Cleared:
    cleared = Cleared()
    after: int | None = 0
    while after is not None:
        rows = db.reader.execute(
            "SELECT content_id, ino, held_bytes, dirty FROM content WHERE content_id > ? ORDER BY content_id LIMIT ?",
            (after, BATCH),
        ).fetchall()
        gone: list[ContentId] = []
        for content_id, ino, held_bytes, dirty in rows:
            why = "not on the server yet" if dirty else "pinned" if pins.keeps(Ino(ino)) else None
            if why is None:
                gone.append(ContentId(content_id))
                cleared.files += held_bytes > 0
                cleared.freed_bytes += held_bytes
            elif held_bytes:
                _leave(cleared, db.reader, Ino(ino), held_bytes, why)
        _delete(db, blobs, gone)
        after = rows[-1][0] if rows else None
    return cleared


def _leave(cleared: Cleared, reader: sqlite3.Connection, ino: Ino, held_bytes: int, why: str) -> None:
    cleared.left_files += 1
    cleared.left_bytes += held_bytes
    if len(cleared.left) < TOLD_MAX:
        cleared.left.append({"path": tree.path_of(reader, ino), "why": why})


def _delete(db: Database, blobs: Blobs, gone: list[ContentId]) -> None:
    """The rows first, through power loss, then the blobs: what a crash leaves is known by its number."""

    def forget(connection: sqlite3.Connection) -> None:
        for content_id in gone:
            contents.delete(connection, content_id)

    db.write_now(forget, durable=True)
    for each in dropped.every(db.reader):
        dropped.discard(db.reader, blobs, each)
    db.write_now(lambda connection: dropped.blobs_deleted(connection, gone))
