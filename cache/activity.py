"""What changed and what was decided about it: an append-only, bounded record for people."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from cache import tree

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Ino

KEPT_ROWS = 20_000  # about 4 MB: weeks of a busy drive


class What(StrEnum):
    """Stable words, one per decision."""

    UPLOADED = "uploaded"
    MOVED = "moved"
    REMOVED = "removed"
    CREATED = "created"
    CONFLICT_COPY = "conflict-copy"
    MERGED = "merged"  # same bytes or same folder on both sides: one item
    EDIT_WINS = "edit-wins"  # a removal against an edit
    SERVER_PLACE_WINS = "server-place-wins"
    CYCLE_UNDONE = "cycle-undone"
    FOLDER_KEPT = "folder-kept"  # it holds a child that this machine had not seen
    PARKED = "parked"
    RESYNC = "resync"


def note(connection: sqlite3.Connection, now_s: int, ino: Ino, what: What, detail: str = "") -> None:
    """Add a row about a node, with its path as it is now."""
    cursor = connection.execute(
        "INSERT INTO activity (at_s, ino, path, what, detail) VALUES (?, ?, ?, ?, ?)",
        (now_s, ino, tree.path_of(connection, ino), what, detail),
    )
    connection.execute("DELETE FROM activity WHERE seq <= ?", ((cursor.lastrowid or 0) - KEPT_ROWS,))
