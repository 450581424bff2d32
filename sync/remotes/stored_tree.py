"""The file of a stored tree, for servers that keep no feed: facts, numbered rows, and what was sent under which key.

Law: every change of a row gets the next number, so the rows after a number are the feed after an anchor, which is
(epoch, number). Rows and numbers are committed together: after a crash the file is the tree of one anchor, and a commit
survives the death of the process. Tombstones are rows too; the oldest are forgotten, and an anchor from before that is
expired, as is one of another file. What a row holds is the adapter's: a table `entry` with at least item_id, parent_id,
name, seq and gone.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, TypeVar

import trio

from cache.model import Anchor, ItemId
from sync.remote import AnchorExpired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

TOMBSTONES_MAX = 50_000
KEYS_MAX = 50_000  # they come back within minutes, or after a restart
DEPTH_MAX = 1000  # of folders in folders: what was seen at different times may lead in a circle


class StoredTree:
    """At `path` (None: in memory, for one process), with the tables of `schema`.

    `begun_anew`: a file that cannot be read is replaced by an empty one, else sqlite3.DatabaseError.
    """

    def __init__(self, path: Path | None, schema: str, *, begun_anew: bool = False) -> None:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = _opened(path, schema, begun_anew=begun_anew)
        self._reader = self._db
        self._turn = trio.Lock()
        self._depth = 0
        self.epoch = self.fact("epoch") or ""
        self.seq = self._seq = int(self.fact("seq") or "0")  # as committed, and with the transaction that is open

    def close(self) -> None:
        """Give the file back."""
        for connection in {self._reader, self._db}:
            with suppress(sqlite3.Error):
                connection.close()

    # --- transactions

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; no await inside. Nests."""
        if not self._depth:
            self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                if self._seq != self.seq:
                    self.set_fact("seq", str(self._seq))
                self._db.execute("COMMIT")
        except BaseException:
            if self._depth == 1:
                self._db.rollback()
                self._seq = self.seq
            raise
        finally:
            self._depth -= 1
        if not self._depth:
            self.seq = self._seq  # after the commit: an anchor never stands for rows that are not there yet

    async def write_here(self, change: Callable[[], T]) -> T:
        """A transaction of a few rows, when its turn has come."""
        async with self._turn:
            with self.writing():
                return change()

    # --- single facts

    def fact(self, name: str) -> str | None:
        """What was kept under a name."""
        row = self._reader.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Keep it."""
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    # --- the feed

    def next(self) -> int:
        """The number of the next change."""
        self._seq += 1
        return self._seq

    def newest(self) -> Anchor:
        """Where the feed stands."""
        return self.anchor(self.seq)

    def anchor(self, seq: int) -> Anchor:
        """The position after a number."""
        return Anchor(f"{self.epoch}.{seq}")

    def position(self, anchor: Anchor) -> int:
        """The number that an anchor of ours stands for; AnchorExpired."""
        epoch, _, number = anchor.rpartition(".")
        fits = epoch == self.epoch and number.isascii() and number.isdigit() and int(number[:18]) <= self.seq
        if not fits or int(number) < int(self.fact("floor") or "0"):
            lost = bool(epoch) and epoch == self.fact("lost_epoch")
            raise AnchorExpired("an anchor of another stored tree", fresh=self.newest(), lost=lost)
        return int(number)

    def to_prune(self) -> int | None:
        """The number of the newest tombstone that is too many; None: none is."""
        row = self._reader.execute(
            "SELECT seq FROM entry WHERE gone = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?", (TOMBSTONES_MAX,)
        ).fetchone()
        return None if row is None else int(row[0])

    def prune(self) -> None:
        """Forget the oldest tombstones: whoever has not read them by now compares folder by folder."""
        floor = self.to_prune()
        if floor is not None:
            with self.writing():
                self.forget_to(floor)

    def forget_to(self, floor: int) -> None:
        """Inside a transaction: the tombstones up to a number."""
        self._db.execute("DELETE FROM entry WHERE gone = 1 AND seq <= ?", (floor,))
        self.set_fact("floor", str(floor))

    # --- the tree

    def names(self, item_id: ItemId) -> tuple[str, ...] | None:
        """The names from the root down; None when it, or a folder above, is gone or unknown."""
        names: list[str] = []
        current: ItemId | None = item_id
        while current is not None:
            row = self._reader.execute(
                "SELECT parent_id, name, gone FROM entry WHERE item_id = ?", (current,)
            ).fetchone()
            if row is None or row[2] or len(names) >= DEPTH_MAX:
                return None
            current = row[0]
            if current is not None:
                names.append(row[1])
        return tuple(reversed(names))

    # --- keys

    def sent(self, key: str) -> tuple[str, str | None] | None:
        """The request that a key was used for, and the id that was answered ("": none), if that is known."""
        row = self._reader.execute("SELECT request, answer FROM sent WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], row[1])

    async def sending(self, key: str, request: str) -> None:
        """A request is about to be sent under a key."""

        def change() -> None:
            self._db.execute("INSERT OR IGNORE INTO sent VALUES (?, ?, NULL)", (key, request))
            self._db.execute(
                "DELETE FROM sent WHERE rowid < (SELECT max(rowid) FROM sent) - ? AND answer IS NOT NULL", (KEYS_MAX,)
            )

        await self.write_here(change)

    async def answered(self, key: str, item_id: ItemId | None) -> None:
        """What it led to (None: a removal)."""
        await self.write_here(
            lambda: self._db.execute("UPDATE sent SET answer = ? WHERE key = ?", (item_id or "", key))
        )


def _opened(path: Path | None, schema: str, *, begun_anew: bool) -> sqlite3.Connection:
    try:
        return _created(path, schema)
    except sqlite3.DatabaseError:
        if path is None or not begun_anew:
            raise
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        return _created(path, schema)


def _created(path: Path | None, schema: str) -> sqlite3.Connection:
    db = connected(path)
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entry'").fetchone():
        shared = resources.files(__package__).joinpath("stored_tree.sql").read_text(encoding="utf-8")
        begun = f"INSERT INTO fact VALUES ('epoch', '{secrets.token_hex(6)}');"  # noqa: S608 - hexadecimal digits
        db.executescript(f"BEGIN; {shared} {schema} {begun} COMMIT;")
    return db


def connected(path: Path | None) -> sqlite3.Connection:
    """A connection; whoever uses it on two threads sees to it that they take turns."""
    db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    return db
