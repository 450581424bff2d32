"""What changed, who changed it, and what was decided about it: an append-only, bounded record for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cache import tree

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.model import Ino

KEPT_ROWS = 20_000  # about 4 MB: weeks of a busy drive
_ADD = "INSERT INTO activity (at_s, ino, path, what, who, detail) VALUES (?, ?, ?, ?, ?, ?)"


class Who(StrEnum):
    """Where a change came from. A remote that tells the person or the device may put that in this place."""

    HERE = "here"  # made through this mount, and now at the server
    SERVER = "server"  # made elsewhere, and now here
    ENGINE = "engine"  # decided here, between the two
    PERSON = "person"  # decided by a command that somebody gave here


class What(StrEnum):
    """Stable words."""

    CREATED = "created"
    UPLOADED = "uploaded"  # new content went to the server
    CHANGED = "changed"  # new content came from the server
    MOVED = "moved"
    REMOVED = "removed"
    ATTRIBUTES = "attributes"
    CONFLICT_COPY = "conflict-copy"
    SERVER_WINS = "server-wins"  # a conflict under that policy; the detail tells where the other side is kept
    CLIENT_WINS = "client-wins"
    MERGED = "merged"  # same bytes or same folder on both sides: one item
    EDIT_WINS = "edit-wins"  # a removal against an edit
    SERVER_PLACE_WINS = "server-place-wins"
    CYCLE_UNDONE = "cycle-undone"
    FOLDER_KEPT = "folder-kept"  # it holds a child that this machine had not seen
    SET_ASIDE = "set-aside"  # the remote lost it, or this version of it: the bytes held here are kept
    APPROVED = "approved"
    REJECTED = "rejected"
    RESOLVED = "resolved"  # a person chose what becomes of a conflict copy
    PARKED = "parked"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row; `at_s` since the epoch, `path` as it was then."""

    seq: int
    at_s: int
    path: str
    what: str
    who: str
    detail: str


def note(
    connection: sqlite3.Connection, now_s: int, ino: Ino, what: What, detail: str = "", *, who: Who = Who.ENGINE,
    path: str | None = None,
) -> None:  # fmt: skip
    """Add a row about a node, with its path as it is now, or `path` where the tree no longer tells it."""
    path = tree.path_of(connection, ino) if path is None else path
    cursor = connection.execute(_ADD, (now_s, ino, path, what, who, detail))
    connection.execute("DELETE FROM activity WHERE seq <= ?", ((cursor.lastrowid or 0) - KEPT_ROWS,))


def note_many(
    connection: sqlite3.Connection, now_s: int, rows: Iterable[tuple[Ino, str, What, str]], *, who: Who
) -> None:  # fmt: skip
    """Add a row for each (node, path, what, detail)."""
    told = [(now_s, ino, path, what, who, detail) for ino, path, what, detail in rows][-KEPT_ROWS:]
    connection.executemany(_ADD, told)
    (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM activity").fetchone()
    connection.execute("DELETE FROM activity WHERE seq <= ?", (newest - KEPT_ROWS,))


def entries(connection: sqlite3.Connection, *, after_seq: int, limit: int, path: str = "") -> list[Entry]:
    """The newest `limit` rows beyond `after_seq`, oldest first; with `path`, of that file or of all below it."""
    rows = connection.execute(
        """SELECT seq, at_s, path, what, who, detail FROM activity
           WHERE seq > ?1 AND (?2 = '' OR path = ?2 OR substr(path, 1, length(?2) + 1) = ?2 || '/')
           ORDER BY seq DESC LIMIT ?3""",
        (after_seq, path, limit),
    ).fetchall()
    return [
        Entry(seq=seq, at_s=at_s, path=where, what=what, who=who, detail=detail)
        for seq, at_s, where, what, who, detail in reversed(rows)
    ]
