"""When contents were last used, for the evictor's order. Parts of a transaction.

Told by the clock that people set, as it goes on while the machine is off. When it was set back uses seem to lie ahead:
unless they are told anew, as of just now, they stay for as long as it was ahead, whatever room is wanted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import ContentId, Ino

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """A content that the remote holds as well."""

    content_id: ContentId
    ino: Ino
    held_bytes: int
    last_use_s: int


def note(connection: sqlite3.Connection, content_ids: Iterable[ContentId], now_s: int) -> None:
    """These are used now."""
    connection.execute(
        """UPDATE content SET last_use_s = ?1
           WHERE content_id IN (SELECT value FROM json_each(?2)) AND last_use_s <> ?1""",
        (now_s, json.dumps(sorted(content_ids))),
    )


def none_ahead(connection: sqlite3.Connection, now_s: int) -> bool:
    """What may be evicted was used before now: those that seem later, a second apart in their order. False: none."""
    found = connection.execute(
        """UPDATE content SET last_use_s = max(0, ?1 - ahead.place) FROM (
               SELECT content_id, row_number() OVER (ORDER BY last_use_s DESC, content_id DESC) AS place FROM content
               WHERE dirty = 0 AND held_bytes > 0 AND last_use_s > ?1) AS ahead
           WHERE content.content_id = ahead.content_id""",
        (now_s,),
    )
    return found.rowcount > 0


def oldest(connection: sqlite3.Connection, after: tuple[int, int], before_s: int, limit: int) -> list[Clean]:
    """Clean contents that hold bytes, oldest use first: behind `after` (last use, id), last used before `before_s`."""
    rows = connection.execute(
        """SELECT last_use_s, content_id, ino, held_bytes FROM content
           WHERE dirty = 0 AND held_bytes > 0 AND (last_use_s, content_id) > (?, ?) AND last_use_s < ?
           ORDER BY last_use_s, content_id LIMIT ?""",
        (*after, before_s, limit),
    ).fetchall()
    return [
        Clean(content_id=ContentId(content_id), ino=Ino(ino), held_bytes=held, last_use_s=last_use_s)
        for last_use_s, content_id, ino, held in rows
    ]
