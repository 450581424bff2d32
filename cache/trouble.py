"""What an error of SQLite says of the catalog: a disk without room, one that will not do it now, or damage."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto

_NOT_NOW = frozenset(
    {
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PROTOCOL,  # somebody else's lock came in between (https://www.sqlite.org/rescode.html#protocol)
    }
)  # fmt: skip
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_TEXT = "Could not decode to UTF-8"  # Python's own words, without a code; SQLite's checks do not look into a text


class Trouble(Enum):
    """`DAMAGE` is a reason to move a catalog aside, and at its opening, where only SQLite is asked, so is `OURS`."""

    FULL = auto()
    NOT_NOW = auto()  # an I/O error, a lock, no permission: the catalog may be whole
    DAMAGE = auto()
    OURS = auto()  # a statement that this schema does not take

    @property
    def passes(self) -> bool:
        """Whether it says nothing against the catalog."""
        return self in {Trouble.FULL, Trouble.NOT_NOW}


def trouble(error: sqlite3.Error) -> Trouble:
    """See the class."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Trouble.FULL
    if code in _NOT_NOW:
        return Trouble.NOT_NOW
    return Trouble.DAMAGE if code in _DAMAGE or str(error).startswith(_NO_TEXT) else Trouble.OURS
