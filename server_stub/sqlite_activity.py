"""Who changed what behind the server's back, in the SQLite index: a log of its own, bounded, beside the feed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from server_stub.watching.activity import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from server_stub.external.doubts import Actor

_SELECT: Final = (
    "SELECT activity_id, at_ns, outcome, item_id, path, user, protocol, machine FROM activity "
    "WHERE activity_id < ?1 AND (?2 IS NULL OR item_id = ?2) ORDER BY activity_id DESC LIMIT ?3"
)
_NEWEST: Final = (1 << 63) - 1


class ActivityRows:
    """The part of `store.View` that knows the activity."""

    connection: sqlite3.Connection

    def activity(self, *, before: int | None = None, item_id: str | None = None, limit: int) -> list[Entry]:
        """The newest first, those older than the entry `before`."""
        given = (_NEWEST if before is None else before, item_id, limit)
        return [Entry(*row) for row in self.connection.execute(_SELECT, given).fetchall()]


class ActivityWrites:
    """The part of `store.Tx` that knows the activity."""

    connection: sqlite3.Connection

    def note_activity(self, entries: Iterable[Entry]) -> None:
        """Append; their ids are given here."""
        rows = ((e.at_ns, e.outcome, e.item_id, e.path, e.user, e.protocol, e.machine) for e in entries)
        self.connection.executemany("INSERT INTO activity VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", rows)

    def sign_activity(self, path: str, actor: Actor, *, since_ns: int) -> None:
        """Whoever was told late did what was noted of this path since then."""
        self.connection.execute(
            "UPDATE activity SET user = ?, protocol = ?, machine = ? WHERE path = ? AND at_ns >= ? AND user IS NULL",
            (actor.user, actor.protocol, actor.machine, path, since_ns),
        )

    def forget_activity(self, *, before_ns: int, max_rows: int) -> None:
        """Drop what is past its time or its count, the oldest first."""
        self.connection.execute("DELETE FROM activity WHERE at_ns < ?", (before_ns,))
        self.connection.execute(
            "DELETE FROM activity WHERE activity_id <= (SELECT max(activity_id) FROM activity) - ?", (max_rows,)
        )


def read_activity(database: Path, *, item_id: str | None, limit: int) -> list[Entry]:
    """The newest lines, from beside a running server or without one. sqlite3.Error."""
    rows = ActivityRows()
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as rows.connection:
        return rows.activity(item_id=item_id, limit=limit)
