"""Rows of `upload`: uploads in pieces that are under way at the remote.

A row is there before the remote is asked to begin, and its name at the remote before a byte travels: whoever comes
after a crash goes on where the remote stands. It goes with the answer that ends the outbox row, in one transaction.
What nobody wants any more is kept until the remote was told to end it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from cache.model import ContentId, ItemId, Version

_COLUMNS = "seq, content_id, digest, size, stream_bytes, over_item_id, over_version, over_size, recipe, key, remote_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One row."""

    seq: int
    content_id: ContentId | None  # None: nobody's any more
    digest: str  # of the content that is being sent, "sha-256:<hex>"
    size: int
    stream_bytes: int  # that travel in all
    over_item_id: ItemId | None  # a delta over this content; None: the content itself travels
    over_version: Version | None
    over_size: int | None
    recipe: str | None  # identity of the delta's pieces
    key: str  # of the request that begins it
    remote_id: str | None  # None: asked for, the answer not known


def _select(connection: sqlite3.Connection, where: str, arguments: tuple[object, ...]) -> list[Upload]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM upload WHERE {where}", arguments).fetchall()  # noqa: S608
    names = _COLUMNS.split(", ")
    return [Upload(**dict(zip(names, row, strict=True))) for row in rows]


def of_content(connection: sqlite3.Connection, content_id: ContentId) -> Upload | None:
    """The upload of a content's bytes."""
    rows = _select(connection, "content_id = ?", (content_id,))
    return rows[0] if rows else None


def begin(
    connection: sqlite3.Connection,
    content_id: ContentId,
    *,
    digest: str,
    size: int,
    stream_bytes: int,
    over: tuple[ItemId, Version, int] | None = None,
    recipe: str | None = None,
) -> Upload:
    """A new upload of a content, which has none."""
    over_item_id, over_version, over_size = over or (None, None, None)
    cursor = connection.execute(
        f"INSERT INTO upload ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",  # noqa: S608
        (content_id, digest, size, stream_bytes, over_item_id, over_version, over_size, recipe, uuid.uuid4().hex),
    )
    return _select(connection, "seq = ?", (cursor.lastrowid,))[0]


def begun(connection: sqlite3.Connection, upload: Upload, remote_id: str) -> bool:
    """The remote's name of it; False when the upload was given up meanwhile."""
    return connection.execute("UPDATE upload SET remote_id = ? WHERE seq = ?", (remote_id, upload.seq)).rowcount == 1


def give_up(connection: sqlite3.Connection, upload: Upload) -> None:
    """Nobody goes on with it: the remote is to end it, if it has it."""
    connection.execute("UPDATE upload SET content_id = NULL WHERE seq = ?", (upload.seq,))


def forget(connection: sqlite3.Connection, upload: Upload) -> None:
    """It became an item, or the remote has it no longer."""
    connection.execute("DELETE FROM upload WHERE seq = ?", (upload.seq,))


def unwanted(connection: sqlite3.Connection, limit: int) -> list[Upload]:
    """Uploads whose bytes no change of the outbox is about."""
    return _select(
        connection,
        """NOT EXISTS (
               SELECT 1 FROM content c JOIN journal j ON j.ino = c.ino AND j.aspect IN ('create', 'content')
               WHERE c.content_id = upload.content_id AND c.dirty = 1)
           ORDER BY seq LIMIT ?""",
        (limit,),
    )
