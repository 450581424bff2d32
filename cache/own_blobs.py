"""How a content gets a blob of its own. Each function is part of the transaction that inserts or changes its row.

A crash before the commit leaves a blob without a row; a new one under the same number clears it away.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from cache import contents, dropped, items, strays, tree
from cache.failpoints import reached

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.model import Content, ContentId, Ino
    from cache.opened import OpenContent
    from cache.rescue import Rescue


def fresh(blobs: Blobs, rescue: Rescue, content_id: ContentId, size: int, *, unsent: bool = False) -> None:
    """Of a content whose row was just inserted: holes; `unsent`: of dirty bytes."""
    try:
        blobs.create(content_id, size, unsent=unsent)
    except FileExistsError:  # an earlier transaction left it, that rolled back
        strays.clear(blobs, rescue, content_id)
        blobs.create(content_id, size, unsent=unsent)
    reached("blob-created")


def lost(connection: sqlite3.Connection, blobs: Blobs, content: Content) -> None:
    """Clean bytes that are not as long as they were: fetched again, as of a placeholder."""
    contents.delete(connection, content.content_id)
    if content.bundled is None:
        blobs.delete(content.content_id)


def of_placeholder(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, ino: Ino) -> None:
    """A file of which nothing is here gets a content of holes, if it has none by now."""
    node = tree.by_ino(connection, ino)
    if node is None or node.content_id is not None:
        return
    item = None if node.item_id is None else items.get(connection, node.item_id)
    version = None if item is None else item.content_version
    content_id = contents.insert(connection, node.ino, version, node.size, int(time.time()), dirty=False)
    fresh(blobs, rescue, content_id, node.size)
    tree.set_content(connection, node.ino, content_id, node.size)


def out_of_bundle(connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, opened: OpenContent) -> None:
    """An open content that shares a file is about to be changed: its bytes; or filled, as they are not believed: holes.

    Its room in the bundle stays taken until it is closed: somebody may be reading there at this moment.
    """
    content = contents.get(connection, opened.content_id)
    if content is None or content.bundled is None:
        return
    if opened.whole:
        data = os.pread(opened.fd, opened.size, opened.base)
        if len(data) != opened.size:
            raise OSError(errno.EIO, "the file was cut while it was open")
        strays.clear(blobs, rescue, opened.content_id)
        blobs.write_whole(opened.content_id, data)
    else:
        fresh(blobs, rescue, opened.content_id, opened.size)
    dropped.leave(connection, content, content.bundled)
    contents.leave_bundle(connection, opened.content_id)
