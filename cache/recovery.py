"""What is put right when a state directory is opened, before anything uses it.

crash left                                        | put right by
--------------------------------------------------+-------------------------------------------------------------
dirty bytes whose size or time is not in the row  | the blob's own size and time
a request sent, its answer unknown                | its row is pending again, under the same idempotency key
a node without a name (unlinked while open)       | forgotten, its blob deleted
a content that no node has (an old version)       | dirty: moved to rescued/; clean: `cache.sweep` finds it
a blob without a row (its row went, or never was) | deleted, or rescued: `cache.strays`, `cache.sweep`
a row whose blob is gone                          | a placeholder again; a dirty one: as after a power loss
closed in order, a dirty blob of another length   | damaged: never sent, moved to rescued/; the remote's version shows
power loss                                        | `cache.powerloss`, only when the boot id changed
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from cache import contents, dropped, journal, pacing, powerloss, strays, tree
from cache.db import Database, get_meta, set_meta
from cache.model import Aspect, BundleId, Content, ContentId, Ino
from cache.placeholders import forget_node

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.rescue import Rescue

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def recover(db: Database, blobs: Blobs, rescue: Rescue) -> None:
    """Bring catalog and blobs to agree; runs synchronously, before the first task.

    Costs what the end left undone, not what is held: what must be searched for is `cache.sweep`'s, behind the start.
    """
    boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    db.write_now(lambda connection: _recover_rows(connection, blobs, rescue, boot_id))
    _delete_strays(db, blobs, rescue)


def _delete_strays(db: Database, blobs: Blobs, rescue: Rescue) -> None:
    """Blobs of rows that went, and of creations that were never committed: their numbers are the next ones."""
    gone = dropped.every(db.reader)
    if any(each.bundled is not None for each in gone):
        db.make_durable_now()
    for each in gone:
        dropped.discard(db.reader, blobs, each)
    blobs.bundles.delete(BundleId(contents.newest(db.reader) + 1))
    content_id = ContentId(contents.newest(db.reader) + 1)
    while blobs.path(content_id).exists():
        strays.clear(blobs, rescue, content_id)
        content_id = ContentId(content_id + 1)
    db.write_now(lambda connection: dropped.blobs_deleted(connection, [each.content_id for each in gone]))


def _recover_rows(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, boot_id: str) -> None:
    pacing.forget_running(connection)
    orderly, same_boot = get_meta(connection, "clean") == "1", get_meta(connection, "boot_id") in {None, boot_id}
    if not same_boot:
        powerloss.distrust(connection, blobs, rescue)
    nameless = "SELECT ino FROM node WHERE parent IS NULL AND item_id IS NULL AND ino <> 1"  # by an index
    for (ino,) in connection.execute(nameless).fetchall():
        _forget(connection, Ino(ino))
    for content_id in contents.dirty(connection):
        content = contents.get(connection, content_id)
        if content is not None:
            _dirty(connection, blobs, rescue, content, orderly=orderly)
    if not (orderly and same_boot):
        set_meta(connection, "sweep", "due")
    if get_meta(connection, "catalog") is None:
        set_meta(connection, "catalog", uuid4().hex)
    set_meta(connection, "clean", "0")
    set_meta(connection, "boot_id", boot_id)


def _forget(connection: sqlite3.Connection, ino: Ino) -> None:
    node = tree.by_ino(connection, ino)
    if node is None or tree.has_children(connection, ino):
        return
    removal = journal.get(connection, ino, Aspect.REMOVE)
    if removal is None:
        journal.drop(connection, ino)
    forget_node(connection, node)  # its blob goes with the others whose rows went


def _dirty(
    connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, content: Content, *, orderly: bool
) -> None:  # fmt: skip
    """After a crash the blob is the truth about dirty bytes; after an orderly close the row has been told it."""
    length = blobs.length(content.content_id)
    node = tree.by_ino(connection, content.ino)
    if node is None or node.content_id != content.content_id:
        strays.rescue_row(connection, blobs, rescue, content, "an older version that had unsent changes")
        return
    if length is None or (orderly and length != content.size):
        powerloss.give_up(connection, blobs, rescue, content, "not as long as it was written: damaged since")
        return
    blobs.mark_again(content.content_id)
    if not orderly:
        stat = os.stat(blobs.path(content.content_id))  # noqa: PTH116  # nanoseconds, once per dirty file
        contents.set_size(connection, content.content_id, length, stat.st_blocks * 512)
        tree.set_content(connection, node.ino, content.content_id, length)
        tree.set_attributes(connection, node.ino, node.mode, stat.st_mtime_ns, stat.st_mtime_ns)
