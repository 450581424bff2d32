"""What is put right when a state directory is opened, before anything uses it.

crash left                                        | put right by
--------------------------------------------------+-------------------------------------------------------------
dirty bytes whose size or time is not in the row  | the blob's own size and time
a request sent, its answer unknown                | its row is pending again, under the same idempotency key
a node without a name (unlinked while open)       | forgotten, its blob deleted
a content that no node has (an old version)       | dirty: moved to rescued/; clean: `cache.sweep` finds it
a blob without a row (its row went, or never was) | deleted: the catalog knows which were dropped, and the next number
a row whose blob is gone                          | clean: the file is a placeholder again; dirty: nothing was written
yet power loss: residency of bytes never synced       | not believed, fetched again (only when the boot id changed)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from cache import contents, journal, ranges, tree
from cache.db import Database, get_meta, set_meta
from cache.model import Aspect, ContentId, Ino
from cache.placeholders import forget_node

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def recover(db: Database, blobs: Blobs, directory: Path) -> None:
    """Bring catalog and blobs to agree; runs synchronously, before the first task.

    Costs what the end left undone, not what is held: what must be searched for is `cache.sweep`'s, behind the start.
    """
    boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    db.write_now(lambda connection: _recover_rows(connection, blobs, directory, boot_id))
    _delete_strays(db, blobs)


def _delete_strays(db: Database, blobs: Blobs) -> None:
    """Blobs of rows that went, and of creations that were never committed: their numbers are the next ones."""
    dropped = contents.dropped(db.reader)
    for content_id in dropped:
        blobs.delete(content_id)
    content_id = ContentId(contents.newest(db.reader) + 1)
    while blobs.path(content_id).exists():
        blobs.delete(content_id)
        content_id = ContentId(content_id + 1)
    db.write_now(lambda connection: contents.blobs_deleted(connection, dropped))


def _recover_rows(connection: sqlite3.Connection, blobs: Blobs, directory: Path, boot_id: str) -> None:
    journal.forget_running(connection)
    orderly, same_boot = get_meta(connection, "clean") == "1", get_meta(connection, "boot_id") in {None, boot_id}
    if not orderly:
        if not same_boot:
            _distrust(connection)
        for (ino,) in connection.execute(
            "SELECT ino FROM node WHERE parent IS NULL AND item_id IS NULL AND ino <> 1"
        ).fetchall():
            _forget(connection, blobs, Ino(ino))
        for (content_id,) in connection.execute("SELECT content_id FROM content WHERE dirty = 1").fetchall():
            _dirty(connection, blobs, directory, ContentId(content_id))
    if not (orderly and same_boot):
        set_meta(connection, "sweep", "due")
    if get_meta(connection, "catalog") is None:
        set_meta(connection, "catalog", uuid4().hex)
    set_meta(connection, "clean", "0")
    set_meta(connection, "boot_id", boot_id)


def _distrust(connection: sqlite3.Connection) -> None:
    """After a power loss: what was not synced may be holes."""
    connection.execute(
        "UPDATE content SET resident = ?, held_bytes = 0 WHERE durable = 0 AND dirty = 0",
        (ranges.encode(()),),
    )


def _forget(connection: sqlite3.Connection, blobs: Blobs, ino: Ino) -> None:
    node = tree.by_ino(connection, ino)
    if node is None or tree.has_children(connection, ino):
        return
    removal = journal.get(connection, ino, Aspect.REMOVE)
    if removal is None:
        journal.drop(connection, ino)
    forget_node(connection, node)
    if node.content_id is not None:
        blobs.delete(node.content_id)


def _dirty(connection: sqlite3.Connection, blobs: Blobs, directory: Path, content_id: ContentId) -> None:
    """The blob is the truth about dirty bytes."""
    content = contents.get(connection, content_id)
    if content is None:
        return
    node = tree.by_ino(connection, content.ino)
    if node is None or node.content_id != content_id:
        _rescue(connection, blobs, directory, content_id)
        return
    if not blobs.path(content_id).exists():
        blobs.create(content_id, 0)
    stat = os.stat(blobs.path(content_id))  # noqa: PTH116  # nanoseconds, once per dirty file
    contents.set_size(connection, content_id, stat.st_size, stat.st_blocks * 512)
    tree.set_content(connection, node.ino, content_id, stat.st_size)
    tree.set_attributes(connection, node.ino, node.mode, stat.st_mtime_ns, stat.st_mtime_ns)


def _rescue(connection: sqlite3.Connection, blobs: Blobs, directory: Path, content_id: ContentId) -> None:
    """Bytes that exist nowhere else, and no file has them: kept for a person to look at."""
    if blobs.path(content_id).exists():
        rescued = directory / "rescued"
        rescued.mkdir(mode=0o700, exist_ok=True)
        blobs.path(content_id).rename(rescued / f"content-{content_id}")
    contents.delete(connection, content_id)
