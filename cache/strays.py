"""Blobs that the catalog does not vouch for: deleted, or rescued where they may be the only copy of something.

A blob's mark and its row are two witnesses. Where both are there and contradict each other, the digest that the remote
told decides. A damaged log can make the catalog an older one: then blobs bear numbers that will be given again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import contents, items, tree

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.model import Content, ContentId
    from cache.rescue import Rescue
    from cache.wreck import Wreck


def clear(blobs: Blobs, rescue: Rescue, content_id: ContentId, wreck: Wreck | None = None) -> None:
    """Take a blob without a row out of the store; nothing happens when there is none. `wreck`: where its row was."""
    length = blobs.length(content_id)
    if length is None:
        return
    if length and (blobs.is_marked(content_id) or (wreck is not None and wreck.is_dirty(content_id))):
        path = None if wreck is None else wreck.path_of(content_id)
        rescue.keep(content_id, path, "no record says that it was sent")
    else:
        blobs.delete(content_id)


def clear_all(blobs: Blobs, rescue: Rescue, wreck: Wreck) -> None:
    """Empty the store: its catalog is gone, and the next one gives its numbers anew."""
    for content_id in list(blobs.ids()):
        clear(blobs, rescue, content_id, wreck)
    for bundle_id in list(blobs.bundles.ids()):
        blobs.bundles.delete(bundle_id)
    if unsent := wreck.unsent():
        rescue.tell(["", "Changes that had not been sent, as far as they could be read:", *unsent])


@dataclass(frozen=True, slots=True)
class Suspect:
    """A clean content whose blob is marked: sent just now, or a lost record of a change?"""

    content: Content
    told: str | None  # the digest that the remote has of it


def suspect(connection: sqlite3.Connection, blobs: Blobs, content_id: ContentId) -> Suspect | None:
    """Whether a marked blob's row says clean."""
    content = contents.get(connection, content_id)
    if content is None or content.dirty or not blobs.length(content_id):
        return None
    node = tree.by_ino(connection, content.ino)
    item = None if node is None or node.item_id is None else items.get(connection, node.item_id)
    return Suspect(content, item.digest if item is not None and content.version == item.content_version else None)


def judge(
    connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, suspect: Suspect, digest: str
) -> None:  # fmt: skip
    """By the digest of its bytes, as they were read before this transaction: nothing, if they may be others by now."""
    before, content = suspect.content, contents.get(connection, suspect.content.content_id)
    if content is None or content.dirty or (content.version, content.resident) != (before.version, before.resident):
        return
    if digest == suspect.told:
        blobs.unmark(content.content_id)
    else:
        rescue_row(connection, blobs, rescue, content, "its bytes are not those that the server has")


def rescue_row(
    connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, content: Content, why: str
) -> None:  # fmt: skip
    """Bytes that exist nowhere else, and no file has them: kept for a person to look at; the row goes."""
    if blobs.length(content.content_id):
        rescue.keep(content.content_id, tree.path_of(connection, content.ino), why)
    contents.delete(connection, content.content_id)
