"""Mends a state directory as far as that can be done without asking anybody, and keeps every byte that may be unsent.

What heals is healed as the next mount would. Clean bytes that are not what the remote told are thrown away: they are
fetched again. A catalog that breaks any other law is moved aside as a damaged one is; a new one is told by the remote.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cache import contents, dropped, fsck, lock, strays
from cache.blobs import Blobs
from cache.errors import NoDriveHere, StateUnusable
from cache.fsck import Finding
from cache.opening import CATALOG, move_damaged_aside
from cache.rescue import Rescue
from cache.store import LocalStore

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from cache.model import Content, ContentId

_OF_BYTES = frozenset({"digest", "residency", "dirty-is-whole", "blob-size", "row-has-blob"})
_MENDABLE = _OF_BYTES | {"mark", "usage"}


async def repair(directory: Path, *, deep: bool = False) -> list[Finding]:
    """Returns what was wrong. Raises CacheInUse, StateUnusable for what is no drive's folder or a newer version's,
    OSError."""
    if not (directory / "blobs").is_dir():
        raise NoDriveHere("no drive's folder", path=str(directory))
    try:
        found = fsck.check(directory, deep=deep)
    except StateUnusable as error:  # also one that SQLite finds whole; a newer version's is refused below
        found = [Finding("catalog", CATALOG, str(error))]
    if not all(each.heals or each.law in _MENDABLE for each in found):
        _start_anew(directory)
    store = LocalStore(directory)
    try:
        store.search.due = True  # also after an orderly end: what came from outside is nowhere else looked for
        while store.search.due:
            store.tidy(await store.search.go_on())
        await _mend(store, [each.content_id for each in found if each.law in _OF_BYTES and each.content_id is not None])
    finally:
        await store.aclose()
    return found


def _start_anew(directory: Path) -> None:
    held = lock.take(directory)
    try:
        blobs = Blobs(directory / "blobs")
        rescue = Rescue(directory, blobs)
        move_damaged_aside(directory, blobs, rescue, suspect=True)
        rescue.report()
    finally:
        os.close(held)


async def _mend(store: LocalStore, spoilt: list[ContentId]) -> None:
    rescue = Rescue(store.directory, store.blobs)

    def mend(connection: sqlite3.Connection) -> list[Content]:
        contents.count_usage(connection)
        known = [content for each in spoilt if (content := contents.get(connection, each)) is not None]
        return [each for each in known if not _is_kept(connection, store.blobs, rescue, each)]

    for content in await store.db.write(mend, durable=True):
        dropped.discard(store.db.reader, store.blobs, content)
    rescue.report()


def _is_kept(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, content: Content) -> bool:
    """Mend one row, or let it go; whether its bytes are kept. A marked blob may be the only copy, whatever its row
    says."""
    if content.dirty:
        contents.set_size(connection, content.content_id, content.size, blobs.disk_bytes(content.content_id))
        return True
    if content.bundled is None and blobs.length(content.content_id) and blobs.is_marked(content.content_id):
        strays.rescue_row(connection, blobs, rescue, content, "its bytes are not those that the server has")
        return True
    contents.delete(connection, content.content_id)
    return False
