"""What the janitor does in one transaction: write down residency and uses, end what nobody has any more."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import contents, dropped, ranges, tree, uses
from cache.placeholders import forget_node

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.model import Content, ContentId, Ino


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What came together since the last time."""

    now_s: int
    resident: dict[ContentId, ranges.Ranges]  # what closed contents hold
    used: set[ContentId]
    loose: set[ContentId]  # nobody has them open: deleted, if no node has them
    nameless: set[Ino]  # nobody has them open: forgotten, if they have no name
    blobs_deleted: list[ContentId]


def tidy(connection: sqlite3.Connection, work: Work) -> list[Content]:
    """One transaction; returns the contents whose blobs may go: at once, or once that is sure to stay so, if dirty."""
    for content_id, held in work.resident.items():
        content = contents.get(connection, content_id)
        if content is not None and not content.dirty:
            contents.set_resident(connection, content_id, held, work.now_s)
    uses.note(connection, work.used, work.now_s)
    dropped.blobs_deleted(connection, work.blobs_deleted)
    deleted: list[Content | None] = []
    for node in tree.nameless(connection, work.nameless):
        deleted += [] if node.content_id is None else [contents.get(connection, node.content_id)]
        forget_node(connection, node)
    for content_id in contents.without_node(connection, work.loose):
        deleted.append(contents.get(connection, content_id))
        contents.delete(connection, content_id)
    return [content for content in deleted if content is not None]


def punch_holes(blobs: Blobs, content_id: ContentId, before: ranges.Ranges, left: ranges.Ranges) -> bool:
    """Give the room of what is in `before` and not in `left` back; False where the disk cannot make holes.

    On the trio thread: nobody may open the content and bring bytes meanwhile. Bytes that were put aside under another
    name stay: they are a person's by now. Raises OSError.
    """
    if blobs.has_other_names(content_id):
        return True
    try:
        for held in before:
            for start, stop in ranges.missing(left, *held):
                blobs.punch(content_id, start, stop)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True
