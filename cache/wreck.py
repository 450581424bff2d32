"""A damaged catalog, moved aside: what can still be read of it, row by row, and nothing believed that cannot.

Only looked at, to give names to rescued bytes and to tell which changes were never sent. Any row may be missing,
unreadable or untrue: an answer is a help for a person, never a reason to delete.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cache.model import ContentId

_UNREADABLE = (sqlite3.Error, ValueError, TypeError, OverflowError)  # SQLite's own words may be no UTF-8 any more
_DEPTH_MAX = 4096  # a chain of parents longer than any path is a ring
_TOLD_MAX = 10_000  # unsent changes that are listed


class Wreck:
    """The catalog at `path`, as far as it can be read. No method raises for damage."""

    def __init__(self, path: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        with suppress(sqlite3.Error):
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            self._connection.text_factory = lambda raw: raw.decode(errors="replace")

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()

    def is_dirty(self, content_id: ContentId) -> bool:
        """Whether a row says that these bytes exist nowhere else."""
        return self._first("SELECT 1 FROM content WHERE content_id = ? AND dirty = 1", content_id) is not None

    def path_of(self, content_id: ContentId) -> str | None:
        """Where the file stood in the drive, '/'-separated from its root; only its name where folders are lost."""
        row = self._first("SELECT n.ino FROM node n WHERE n.content_id = ?", content_id) or self._first(
            "SELECT ino FROM content WHERE content_id = ?", content_id
        )
        words: list[str] = []
        while row is not None and len(words) < _DEPTH_MAX:
            row = self._first("SELECT parent, name FROM node WHERE ino = ?", row[0])
            if row is None or not row[1]:
                break
            words.append(str(row[1]))
            row = None if row[0] is None else row
        return "/".join(reversed(words)) or None

    def unsent(self) -> list[str]:
        """The outbox in words, as much of it as can be read: from its start, and from its end behind a gap."""
        query = "SELECT j.seq, j.aspect, coalesce(n.name, j.base_name) FROM journal j LEFT JOIN node n ON n.ino = j.ino"
        found: dict[int, str] = {}
        for order in ("ASC", "DESC"):
            with suppress(*_UNREADABLE):
                if self._connection is None:
                    break
                with closing(self._connection.execute(f"{query} ORDER BY j.seq {order} LIMIT {_TOLD_MAX}")) as rows:
                    for seq, aspect, name in rows:
                        found[int(seq)] = f"{aspect}: {name}"
        return [found[seq] for seq in sorted(found)]

    def _first(self, query: str, argument: object) -> tuple[object, ...] | None:
        if self._connection is None:
            return None
        with suppress(*_UNREADABLE):
            row: tuple[object, ...] | None = self._connection.execute(query, (argument,)).fetchone()
            return row
        return None
