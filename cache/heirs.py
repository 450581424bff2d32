"""What was changed on one node and not sent yet, handed over to another: both turned out to be one thing.

Every function belongs inside the transaction that makes them one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import Aspect

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Ino


def take_row(connection: sqlite3.Connection, ino: Ino, heir: Ino, aspect: Aspect) -> None:
    """A row of the outbox, unless the heir has its own. Who is sending it does so for nobody now: it is sent again."""
    connection.execute(
        """UPDATE OR IGNORE journal SET ino = ?, state = iif(state = 'running', 'pending', state)
           WHERE ino = ? AND aspect = ?""",
        (heir, ino, aspect),
    )


def take_xattrs(connection: sqlite3.Connection, ino: Ino, heir: Ino) -> None:
    """Extended attributes, over those that the heir has under the same names."""
    connection.execute("UPDATE OR REPLACE xattr SET ino = ? WHERE ino = ?", (heir, ino))
    take_row(connection, ino, heir, Aspect.XATTRS)
