"""Whether the remote has lost changes that it told, as one that was put back to a backup has.

From when it says so until everything that is known here was compared, a version here that the remote does not show may
be the last copy of what it lost. What others changed in that time cannot be told from it: a copy too many, no loss.
The note of it is durable: a comparison that breaks off is gone on with by the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cache import items
from cache.db import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3

_NOTE: Final = "changes_lost"


def begin(connection: sqlite3.Connection) -> None:
    """The remote says that it lost what it had told."""
    set_meta(connection, _NOTE, "yes")


def under_way(connection: sqlite3.Connection) -> bool:
    """Whether something may still be shown here that it lost."""
    return get_meta(connection, _NOTE) is not None


def end_if_compared(connection: sqlite3.Connection) -> None:
    """After a comparison: it ends when nothing is left to be asked for."""
    if not items.doubtful(connection, 1):
        connection.execute("DELETE FROM meta WHERE key = ?", (_NOTE,))
