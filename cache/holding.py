"""Rows of the outbox that wait for a person's approval (`--push=review`).

Held is a state of the row, not of the mount: a change of mode sends nothing that was held, and holds nothing that is
being sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.db import get_meta, set_meta
from cache.model import PushMode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.model import Ino, LocalChange


def review_wanted(connection: sqlite3.Connection) -> bool:
    """Whether changes made now wait for approval before they are sent."""
    return get_meta(connection, "push") == PushMode.REVIEW


def switch(connection: sqlite3.Connection, mode: PushMode) -> None:
    """The mode of this mount. What waits goes on waiting; review holds what was not sent yet."""
    if mode is PushMode.REVIEW and not review_wanted(connection):
        connection.execute("UPDATE journal SET state = 'held' WHERE state IN ('pending', 'parked')")
    set_meta(connection, "push", mode)


def hold(connection: sqlite3.Connection, ino: Ino) -> None:
    """What takes the place of a change that waited for approval waits, too."""
    connection.execute("UPDATE journal SET state = 'held' WHERE ino = ? AND state = 'pending'", (ino,))


def approve(connection: sqlite3.Connection, changes: Iterable[LocalChange]) -> None:
    """These may be sent now."""
    connection.executemany(
        "UPDATE journal SET state = 'pending', not_before_ms = 0, attempts = 0 WHERE seq = ? AND state = 'held'",
        [(change.seq,) for change in changes],
    )
