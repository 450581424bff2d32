"""Where the moves of the outbox were sent since they were last answered: the item may be at any of these places.

A move that is sent, not answered, and then sent elsewhere, because the node moved on here, may have been applied each
time. What the remote tells of it at one of these places is our own doing, and the folder there may hold it. Rows go
with their row of the outbox. Every function belongs inside a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Ino, Item, ItemId, LocalChange


def note(connection: sqlite3.Connection, move: LocalChange, parent_id: ItemId, name: str) -> None:
    """It is being sent there."""
    connection.execute("INSERT OR IGNORE INTO sent_move VALUES (?, ?, ?)", (move.seq, parent_id, name))


def led_to(connection: sqlite3.Connection, move: LocalChange | None, told: Item) -> bool:
    """Whether the item may be where the remote tells it to be because of this move, if there is one."""
    query = "SELECT 1 FROM sent_move WHERE seq = ? AND parent_id = ? AND name = ?"
    return move is not None and connection.execute(query, (move.seq, told.parent_id, told.name)).fetchone() is not None


def forget(connection: sqlite3.Connection, ino: Ino) -> None:
    """What was sent for a node's move is answered, or did nothing."""
    connection.execute(
        "DELETE FROM sent_move WHERE seq IN (SELECT seq FROM journal WHERE ino = ? AND aspect = 'place')", (ino,)
    )
