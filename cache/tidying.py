"""What the janitor does in one go: write down residency and uses, end what nobody has any more, bring bytes to the
disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache import contents, ranges, tree
from cache.model import ROOT_INO, ContentId, Ino
from cache.placeholders import forget_node

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.db import Database

SYNC_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What came together since the last time."""

    now_s: int
    resident: dict[ContentId, ranges.Ranges]  # what closed contents hold
    used: set[ContentId]
    loose: set[ContentId]  # nobody has them open: deleted, if no node has them
    nameless: set[Ino]  # nobody has them open: forgotten, if they have no name
    blobs_deleted: list[ContentId]


def tidy(connection: sqlite3.Connection, work: Work) -> list[ContentId]:
    """One transaction; returns the contents whose blobs may go."""
    for content_id, held in work.resident.items():
        content = contents.get(connection, content_id)
        if content is not None and not content.dirty:
            contents.set_resident(connection, content_id, held, work.now_s)
    contents.used(connection, sorted(work.used), work.now_s)
    contents.blobs_deleted(connection, work.blobs_deleted)
    deleted: list[ContentId] = []
    for ino in work.nameless:
        node = tree.by_ino(connection, ino)
        if node is not None and node.parent is None and node.item_id is None and ino != ROOT_INO:
            forget_node(connection, node)
            deleted += [] if node.content_id is None else [node.content_id]
    for content_id in work.loose:
        row = connection.execute("SELECT 1 FROM node WHERE content_id = ?", (content_id,)).fetchone()
        if row is None:
            contents.delete(connection, content_id)
            deleted.append(content_id)
    return deleted


async def bring_to_disk(db: Database, blobs: Blobs) -> None:
    """Sync a batch of contents, and only then call them durable."""
    batch = [contents.get(db.reader, each) for each in contents.unsynced(db.reader, SYNC_BATCH)]
    clean = [content for content in batch if content is not None and not content.dirty]
    if not clean:
        return
    await trio.to_thread.run_sync(_sync_blobs, blobs, [content.content_id for content in clean])
    await db.write(lambda connection: contents.set_durable(connection, clean))


def _sync_blobs(blobs: Blobs, content_ids: list[ContentId]) -> None:
    for content_id in content_ids:
        try:
            fd = blobs.open(content_id, writable=False)
        except FileNotFoundError:
            continue  # deleted meanwhile, its row too
        try:
            blobs.sync(fd)
        finally:
            os.close(fd)
