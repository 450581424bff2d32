"""The ledger's file: transactions, single facts, and what was sent under which key.

A file that cannot be read is begun anew: everything in it can be asked again, but for modes and exact times set here.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cache.model import ItemId

KEYS_KEPT = 100_000  # requests: their keys come back within minutes, or after a restart


class LedgerFile:
    """At `path`, or (None) in memory."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = _opened(path)
        self.epoch = self._fact("epoch")

    def close(self) -> None:
        """Give back the file."""
        with suppress(sqlite3.Error):
            self._db.close()

    @property
    def seq(self) -> int:
        """The newest place."""
        return int(self._fact("seq"))

    @property
    def fingerprint(self) -> str | None:
        """The server's, when it was last looked at."""
        row = self._db.execute("SELECT value FROM fact WHERE name = 'fingerprint'").fetchone()
        return None if row is None else str(row[0])

    def note_fingerprint(self, fingerprint: str) -> None:
        """As first told."""
        with self._transaction():
            self._set("fingerprint", fingerprint)

    def sent(self, key: str) -> tuple[str, ItemId | None] | None:
        """What a key was used for, and what came of it."""
        row = self._db.execute("SELECT request, item FROM sent WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row["request"], row["item"])

    def note_sent(self, key: str, request: str, item_id: ItemId | None = None) -> None:
        """Before it is sent, and again when its answer is known."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", (key, request, item_id, self._next()))
            self._db.execute("DELETE FROM sent WHERE seq < ?", (self.seq - KEYS_KEPT,))

    def upload(self, upload_id: str) -> ItemId | None:
        """The file that an upload became."""
        row = self._db.execute("SELECT committed FROM upload WHERE id = ?", (upload_id,)).fetchone()
        return None if row is None else row["committed"]

    def note_upload(self, upload_id: str, item_id: ItemId) -> None:
        """It became a file."""
        self._db.execute("INSERT OR REPLACE INTO upload VALUES (?, ?)", (upload_id, item_id))

    # --- inside

    def _next(self) -> int:
        seq = self.seq + 1
        self._set("seq", str(seq))
        return seq

    def _fact(self, name: str) -> str:
        return str(self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._db.in_transaction:  # inside of a larger one
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()


def _opened(path: Path | None) -> sqlite3.Connection:
    """A ledger that cannot be read is begun anew: everything in it can be asked again."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError:
        if path is None:
            raise
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        return _connected(path)


def _connected(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entry'").fetchone():
        schema = resources.files(__package__).joinpath("ledger.sql").read_text(encoding="utf-8")
        db.executescript(f"BEGIN; {schema} COMMIT;")
        facts = [("epoch", secrets.token_hex(8)), ("seq", "0")]
        db.executemany("INSERT INTO fact VALUES (?, ?)", facts)
    return db
