"""The index in SQLite through aiosqlite: one writer's connection and a few readers, each with its own
thread.

Every unit of work is one hop to such a thread. The writer's thread is the lock: work on it runs whole and
in order, and a cancelled request cannot stop it halfway. WAL; synchronous=FULL, so what is acknowledged
survives power loss. No memory map: page faults made the feed of 100 changes among a million items twice as
dear as reading its pages.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Final, TypeVar

import aiosqlite

from server_stub.migrations import migrate
from server_stub.sqlite_tx import SqliteLedger
from server_stub.sqlite_view import SqliteView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from server_stub.store import Ledger, View

T = TypeVar("T")

READERS: Final = 2
_BUSY_TIMEOUT_S: Final = 10.0
_LOG_KEPT_BYTES: Final = 32 << 20  # of the write-ahead log's file, when it begins anew after a large import


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole function on its thread in one hop."""

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work(connection)` there and return what it returns."""
        execute: Callable[..., Awaitable[T]] = self._execute  # aiosqlite leaves it untyped
        return await execute(work, self._conn)

    @classmethod
    async def to(cls, path: Path, *, read_only: bool) -> Connection:
        """Open a connection on a thread of its own."""
        connection = cls(partial(_connect, path, read_only=read_only), iter_chunk_size=64)
        await connection
        return connection


class SqliteStore:
    """`store.Store` in one file."""

    def __init__(self, writer: Connection, readers: list[Connection], on_commit: Callable[[int], None]) -> None:
        self._writer = writer
        self._readers = readers
        self._next_reader = cycle(readers)
        self._on_commit = on_commit

    @classmethod
    async def open(cls, path: Path, on_commit: Callable[[int], None] = lambda _seq: None) -> SqliteStore:
        """Open or make the state. StateUnusable."""
        writer = await Connection.to(path, read_only=False)
        try:
            await writer.call(partial(_prepare, path=path))
        except BaseException:
            await writer.close()
            raise
        readers = [await Connection.to(path, read_only=True) for _ in range(READERS)]
        return cls(writer, readers, on_commit)

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` over one snapshot."""
        return await next(self._next_reader).call(partial(_snapshot, work))

    async def write(self, work: Callable[[Ledger], T]) -> T:
        """Run `work` on the writer's thread."""
        try:
            return await self._writer.call(lambda connection: work(SqliteLedger(connection, self._on_commit)))
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            raise OSError(errno.ENOSPC if full else errno.EIO, f"the index: {error}") from error

    async def aclose(self) -> None:
        """Finish what was accepted and close."""
        for connection in (*self._readers, self._writer):
            with contextlib.suppress(ValueError):  # already closed
                await connection.close()


def _snapshot(work: Callable[[View], T], connection: sqlite3.Connection) -> T:
    connection.execute("BEGIN")
    try:
        return work(SqliteView(connection))
    finally:
        connection.execute("COMMIT")


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, cached_statements=256)
    pragmas = [
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-32768",
        f"journal_size_limit={_LOG_KEPT_BYTES}",
    ]
    if read_only:
        pragmas.append("query_only=ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('seq', '0'), ('floor', '0')")
