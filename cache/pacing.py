"""When rows of the outbox may be sent: delays that end early, and what a start makes of them.

Delays are told by the steady clock of the process that owns the outbox; nothing here looks at a date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Ino


def hasten(connection: sqlite3.Connection, ino: Ino, not_before_ms: int) -> bool:
    """The bytes of a node are as they will be: its upload waits no longer than this. False: there is none."""
    row = connection.execute(
        "UPDATE journal SET not_before_ms = ? WHERE ino = ? AND aspect IN ('create', 'content') RETURNING 1",
        (not_before_ms, ino),
    ).fetchone()
    return row is not None


def hurry(connection: sqlite3.Connection, *, backoff: bool = True) -> None:
    """Somebody waits: end every write-back delay, and with `backoff` the pauses after failures too."""
    tried = "" if backoff else " AND attempts = 0"
    delayed = f"state = 'pending' AND not_before_ms > 0{tried}"
    connection.execute(f"UPDATE journal SET not_before_ms = 0 WHERE {delayed}")  # noqa: S608


def stop_running(connection: sqlite3.Connection) -> None:
    """Nobody sends anything any more: what was being sent is pending again, under the same key."""
    connection.execute("UPDATE journal SET state = 'pending' WHERE state = 'running'")


def forget_running(connection: sqlite3.Connection) -> None:
    """After a start: what was being sent is pending again; delays were told by another clock."""
    stop_running(connection)
    connection.execute("UPDATE journal SET not_before_ms = 0")
