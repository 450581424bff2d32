"""Mends a state directory as far as that can be done without asking anybody, and keeps every byte that may be unsent.

What heals is healed as the next mount would. Clean bytes that are not what the remote told are thrown away: they are
fetched again. A catalog that breaks any other law is moved aside as a damaged one is; a new one is told by the remote.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cache import contents, dropped, fsck, lock
from cache.blobs import Blobs
from cache.errors import NoDriveHere, StateUnusable
from cache.fsck import Finding
from cache.opening import CATALOG, move_damaged_aside
from cache.rescue import Rescue
from cache.store import LocalStore

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from cache.model import ContentId

_OF_BYTES = frozenset({"digest", "residency", "blob-size"})
_MENDABLE = _OF_BYTES | {"mark", "usage"}


async def repair(directory: Path, *, deep: bool = False) -> list[Finding]:
    """Returns what was wrong. Raises CacheInUse, StateUnusable for what is no drive's folder or a newer version's,
    OSError."""
    if not (directory / "blobs").is_dir():
        raise NoDriveHere("no drive's folder", path=str(directory))
    try:
        found = fsck.check(directory, deep=deep)
    except StateUnusable as error:  # the opening below sees that too, and knows what to do
        found = [Finding("catalog", CATALOG, str(error))]
    else:
        if not all(each.heals or each.law in _MENDABLE for each in found):
            _start_anew(directory)
    store = LocalStore(directory)
    try:
        spoilt = [each.content_id for each in found if each.law in _OF_BYTES and each.content_id is not None]
        await store.db.write(lambda connection: _mend(connection, store.blobs, spoilt))
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


def _mend(connection: sqlite3.Connection, blobs: Blobs, spoilt: list[ContentId]) -> None:
    contents.count_usage(connection)
    for content_id in spoilt:
        content = contents.get(connection, content_id)
        if content is not None and content.dirty:
            contents.set_size(connection, content_id, content.size, blobs.disk_bytes(content_id))
        elif content is not None:
            contents.delete(connection, content_id)
            dropped.discard(connection, blobs, content)
