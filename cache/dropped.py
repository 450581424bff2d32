"""Bytes that no row tells of any more: a transaction notes them, they go after its commit, or at the next opening.

They are those of a content whose row went, or of one that left its bundle: of the latter only the old place goes, and
only once nobody has it open, who may be reading there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import bundles, contents
from cache.contents import bundled_at
from cache.model import Bundled, Content, ContentId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.blobs import Blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A content, and where its bytes are of no more use."""

    content_id: ContentId
    size: int
    bundled: Bundled | None


def every(connection: sqlite3.Connection) -> list[Dropped]:
    """Bytes that may still be there."""
    return _dropped(connection.execute("SELECT content_id, size, bundle, bundle_at FROM dropped"))


def left(connection: sqlite3.Connection, content_ids: Iterable[ContentId]) -> list[Dropped]:
    """Where those of these were that are in a blob of their own now; nobody may have them open."""
    rows = connection.execute(
        """SELECT d.content_id, d.size, d.bundle, d.bundle_at FROM json_each(?) AS asked
           JOIN dropped d ON d.content_id = asked.value JOIN content c ON c.content_id = d.content_id""",
        (json.dumps(list(content_ids)),),
    )
    return _dropped(rows)


def leave(connection: sqlite3.Connection, content: Content, place: Bundled) -> None:
    """A content leaves its bundle: its room there goes when nobody has the content open."""
    connection.execute(
        "INSERT OR REPLACE INTO dropped VALUES (?, ?, ?, ?)",
        (content.content_id, content.size, place.bundle_id, place.start),
    )


def _dropped(rows: Iterable[tuple[int, int, int | None, int | None]]) -> list[Dropped]:
    return [
        Dropped(content_id=ContentId(content_id), size=size, bundled=bundled_at(bundle, bundle_at))
        for content_id, size, bundle, bundle_at in rows
    ]


def is_dropped(connection: sqlite3.Connection, content_id: ContentId) -> bool:
    """Whether its row went on purpose."""
    row = connection.execute("SELECT 1 FROM dropped WHERE content_id = ?", (content_id,)).fetchone()
    return row is not None


def blobs_deleted(connection: sqlite3.Connection, content_ids: Iterable[ContentId]) -> None:
    """These bytes are gone, too."""
    connection.executemany("DELETE FROM dropped WHERE content_id = ?", [(each,) for each in content_ids])


def discard(connection: sqlite3.Connection, blobs: Blobs, gone: Content | Dropped) -> None:
    """Delete bytes of which no row tells, of a content that nobody has open. Raises OSError.

    Of one in a bundle only when no power loss can bring its row back: it would tell of bytes, and find zeros.
    """
    if not contents.exists(connection, gone.content_id):
        blobs.delete(gone.content_id)
    if gone.bundled is None:
        return
    if bundles.is_named(connection, gone.bundled.bundle_id):
        blobs.bundles.give_back(gone.bundled, gone.size)
    else:
        blobs.bundles.delete(gone.bundled.bundle_id)
