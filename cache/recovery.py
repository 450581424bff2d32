"""What is put right when a state directory is opened, before anything uses it.

crash left                                        | put right by
--------------------------------------------------+-------------------------------------------------------------
dirty bytes whose size or time is not in the row  | the blob's own size and time
a request sent, its answer unknown                | its row is pending again, under the same idempotency key
a node without a name (unlinked while open)       | forgotten, its blob deleted
a content that no node has (an old version)       | deleted; dirty ones are moved to rescued/
a blob without a row (the transaction never was)  | deleted
a row whose blob is gone                          | clean: the file is a placeholder again; dirty: nothing was written
yet power loss: residency of bytes never synced       | not believed, fetched again (only when the boot id changed)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cache import contents, journal, ranges, tree
from cache.db import Database, get_meta, set_meta
from cache.model import Aspect, ContentId, Ino
from cache.placeholders import forget_node

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def recover(db: Database, blobs: Blobs, directory: Path) -> None:
    """Bring catalog and blobs to agree; runs synchronously, before the first task."""
    boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    db.write_now(lambda connection: _recover_rows(connection, blobs, directory, boot_id))
    known = {row[0] for row in db.reader.execute("SELECT content_id FROM content")}
    if get_meta(db.reader, "blobs_checked") != boot_id or get_meta(db.reader, "clean") != "1":
        for content_id in [each for each in blobs.ids() if each not in known]:
            blobs.delete(content_id)
    db.write_now(lambda connection: _begin(connection, boot_id))


def _begin(connection: sqlite3.Connection, boot_id: str) -> None:
    set_meta(connection, "clean", "0")
    set_meta(connection, "boot_id", boot_id)
    set_meta(connection, "blobs_checked", boot_id)


def _recover_rows(connection: sqlite3.Connection, blobs: Blobs, directory: Path, boot_id: str) -> None:
    journal.forget_running(connection)
    if get_meta(connection, "clean") == "1":
        return
    if get_meta(connection, "boot_id") not in {None, boot_id}:
        _distrust(connection)
    for (ino,) in connection.execute(
        "SELECT ino FROM node WHERE parent IS NULL AND item_id IS NULL AND ino <> 1"
    ).fetchall():
        _forget(connection, blobs, Ino(ino))
    for content_id in contents.orphans(connection):
        _orphan(connection, blobs, directory, content_id)
    for (content_id,) in connection.execute("SELECT content_id FROM content WHERE dirty = 1").fetchall():
        _dirty(connection, blobs, ContentId(content_id))


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


def _orphan(connection: sqlite3.Connection, blobs: Blobs, directory: Path, content_id: ContentId) -> None:
    content = contents.get(connection, content_id)
    if content is not None and content.dirty and blobs.path(content_id).exists():
        rescued = directory / "rescued"
        rescued.mkdir(mode=0o700, exist_ok=True)
        blobs.path(content_id).rename(rescued / f"content-{content_id}")
    contents.delete(connection, content_id)
    blobs.delete(content_id)


def _dirty(connection: sqlite3.Connection, blobs: Blobs, content_id: ContentId) -> None:
    """The blob is the truth about dirty bytes."""
    content = contents.get(connection, content_id)
    if content is None:
        return
    if not blobs.path(content_id).exists():
        blobs.create(content_id, 0)
    stat = os.stat(blobs.path(content_id))  # noqa: PTH116  # nanoseconds, once per dirty file
    contents.set_size(connection, content_id, stat.st_size, stat.st_blocks * 512)
    node = tree.by_ino(connection, content.ino)
    if node is not None and node.content_id == content_id:
        tree.set_content(connection, node.ino, content_id, stat.st_size)
        tree.set_attributes(connection, node.ino, node.mode, stat.st_mtime_ns, stat.st_mtime_ns)
