"""Contents whose rows went: a transaction notes them, their bytes go after its commit, or at the next opening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import bundles
from cache.contents import bundled_at
from cache.model import Bundled, Content, ContentId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.blobs import Blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A content whose row went."""

    content_id: ContentId
    size: int
    bundled: Bundled | None


def every(connection: sqlite3.Connection) -> list[Dropped]:
    """Contents without a row whose bytes may still be there."""
    rows = connection.execute("SELECT content_id, size, bundle, bundle_at FROM dropped").fetchall()
    return [
        Dropped(content_id=ContentId(content_id), size=size, bundled=bundled_at(bundle, bundle_at))
        for content_id, size, bundle, bundle_at in rows
    ]


def is_dropped(connection: sqlite3.Connection, content_id: ContentId) -> bool:
    """Whether its row went on purpose."""
    row = connection.execute("SELECT 1 FROM dropped WHERE content_id = ?", (content_id,)).fetchone()
    return row is not None


def blobs_deleted(connection: sqlite3.Connection, content_ids: Iterable[ContentId]) -> None:
    """The blobs of these are gone, too."""
    connection.executemany("DELETE FROM dropped WHERE content_id = ?", [(each,) for each in content_ids])


def discard(connection: sqlite3.Connection, blobs: Blobs, gone: Content | Dropped) -> None:
    """Delete the bytes of a content whose row went, and that nobody has open. Raises OSError."""
    blobs.delete(gone.content_id)
    if gone.bundled is None:
        return
    if bundles.is_named(connection, gone.bundled.bundle_id):
        blobs.bundles.give_back(gone.bundled, gone.size)
    else:
        blobs.bundles.delete(gone.bundled.bundle_id)
