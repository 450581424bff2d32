"""What is believed after the machine, not only the process, went down: what was synced, and nothing else.

The kernel writes pages when it likes: a file of which only some reached the disk is neither old nor new. So clean bytes
that were not synced are fetched again, and a dirty content of which never a whole state was on the disk is given up for
what the remote has (its bytes go to rescued/). What a program has fsynced, and what the janitor has synced a few
seconds after it was written, stays.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cache import contents, items, journal, ranges, tree
from cache.model import Aspect, Content, ContentId, Item, Node
from cache.placeholders import forget_node, reveal

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.rescue import Rescue

log = logging.getLogger(__name__)

TORN = "the power failed before it was on the disk; it may be torn"


def distrust(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue) -> None:
    """Part of the first transaction after a new boot; runs after an orderly close too, where it finds nothing."""
    connection.execute(
        "UPDATE content SET resident = ?, held_bytes = 0 WHERE durable = 0 AND dirty = 0",
        (ranges.encode(()),),
    )
    torn = "SELECT content_id FROM content WHERE dirty = 1 AND durable = 0 AND was_durable = 0"
    for (content_id,) in connection.execute(torn).fetchall():
        content = contents.get(connection, ContentId(content_id))
        if content is not None:
            give_up(connection, blobs, rescue, content)


def give_up(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, content: Content, why: str = TORN) -> None:
    """Make a dirty content's file what the remote has, or what it was: nothing. The bytes go to rescued/."""
    length = blobs.length(content.content_id)
    if content.version is None and not content.size and not length:
        if length is None:
            blobs.create(content.content_id, 0, unsent=True)
        return  # a new, empty file is whole
    node = tree.by_ino(connection, content.ino)
    path = None if node is None else tree.path_of(connection, node.ino)
    if length:
        rescue.keep(content.content_id, path, why)
    else:
        log.error("unsent changes of %s are lost: their bytes are not in the cache directory any more", path)
    contents.delete(connection, content.content_id)
    blobs.delete(content.content_id)
    if node is None or node.content_id != content.content_id:
        return
    item = None if node.item_id is None else items.get(connection, node.item_id)
    if item is not None:
        _as_told(connection, node, item)
    else:
        _never_was(connection, node)


def _as_told(connection: sqlite3.Connection, node: Node, item: Item) -> None:
    """A placeholder of what the remote has."""
    journal.drop(connection, node.ino, Aspect.CONTENT)
    tree.set_content(connection, node.ino, None, item.size)
    if journal.get(connection, node.ino, Aspect.ATTRIBUTES) is None:
        tree.set_attributes(connection, node.ino, item.mode, item.mtime_ns, item.mtime_ns)


def _never_was(connection: sqlite3.Connection, node: Node) -> None:
    """A file that the remote has not seen, or whose deletion was under way: gone, as it was before it was made."""
    if journal.get(connection, node.ino, Aspect.REMOVE) is None:
        journal.drop(connection, node.ino)
    tree.place(connection, node.ino, None, node.name)
    forget_node(connection, node)
    if node.parent is not None:
        reveal(connection, node.parent, node.name)
