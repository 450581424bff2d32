"""Local changes of bytes: before the first changed byte the row says dirty and the outbox has the change.

Plain functions over a connection, as in `cache.edits`, which has the changes of the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import contents, items, journal, pacing, tree
from cache.changing import Clock, existing, permit
from cache.errors import NotFound
from cache.model import Aspect, Capability, ContentId, Ino, Node

if TYPE_CHECKING:
    import os
    import sqlite3


def new_content(connection: sqlite3.Connection, ino: Ino, before: ContentId, clock: Clock) -> ContentId:
    """Replace a file's content by an empty one that is based on the version of `before`, which is emptied by it.

    That is what the file shows now, or an older one that is still open: as for any edit, it is how a lost race is
    noticed.
    """
    node = existing(connection, ino)
    permit(connection, node, Capability.WRITE)
    content = contents.get(connection, before)
    base = None if content is None else content.version
    content_id = contents.insert(connection, ino, base, 0, clock.now_s, dirty=True)
    tree.set_content(connection, ino, content_id, 0)
    journal_content(connection, node, content_id, clock)
    return content_id


def displaces(connection: sqlite3.Connection, content_id: ContentId) -> bool:
    """Whether editing this content would take the place of other unsent bytes of its file."""
    content = contents.get(connection, content_id)
    node = None if content is None else tree.by_ino(connection, content.ino)
    if node is None or node.content_id is None or node.content_id == content_id:
        return False
    current = contents.get(connection, node.content_id)
    return current is not None and current.dirty


def begin_edit(connection: sqlite3.Connection, content_id: ContentId, clock: Clock) -> bool:
    """Before the first changed byte: the content is dirty, and its file's again if the file had moved on to another.

    Returns whether it had. The base is the version of these bytes, not what the remote has meanwhile: that is how a
    lost race is noticed.
    """
    content = contents.get(connection, content_id)
    if content is None:
        raise NotFound(content_id=content_id)
    node = existing(connection, content.ino)
    permit(connection, node, Capability.WRITE)
    contents.set_dirty(connection, content_id)
    if node.content_id != content_id:
        tree.set_content(connection, node.ino, content_id, content.size)
    journal_content(connection, node, content_id, clock)
    return node.content_id != content_id


def settle(
    connection: sqlite3.Connection,
    content_id: ContentId,
    clock: Clock,
    *,
    stat: os.stat_result,
    size: int,
    changed: bool = True,
) -> None:
    """Write down the size, and the room and times by their blob's `stat`, of dirty bytes, and let the write-back delay
    run from now. Without `changed` they stand there already, and only the delay is meant.
    """
    content = contents.get(connection, content_id)
    if content is None or not content.dirty:
        return
    contents.set_size(connection, content_id, size, stat.st_blocks * 512)
    node = tree.by_ino(connection, content.ino)
    if node is None or node.content_id != content_id:
        return
    tree.set_content(connection, node.ino, content_id, size)
    tree.set_attributes(connection, node.ino, node.mode, stat.st_mtime_ns, max(node.ctime_ns, stat.st_ctime_ns))
    if changed or not pacing.hasten(connection, node.ino, clock.push_after_ms):
        journal_content(connection, node, content_id, clock)


def journal_content(connection: sqlite3.Connection, node: Node, content_id: ContentId, clock: Clock) -> None:
    """Note that the bytes of a file in the tree are to be sent, or of one whose place there is being asked for."""
    if node.parent is None and node.item_id is None:
        return  # unlinked while open: goes on working, is never uploaded
    if node.item_id is None:
        journal.record(connection, node.ino, Aspect.CREATE, None, clock.now_s, not_before_ms=clock.push_after_ms)
        return
    item = items.get(connection, node.item_id)
    first = journal.get(connection, node.ino, Aspect.CONTENT) is None
    journal.record(connection, node.ino, Aspect.CONTENT, item, clock.now_s, not_before_ms=clock.push_after_ms)
    content = contents.get(connection, content_id)
    if first and content is not None:
        journal.rebase_content(connection, node.ino, content.version)
