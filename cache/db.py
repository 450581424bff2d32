"""The one class that owns the catalog's SQLite connections.

`reader` is read on the trio thread: indexed, bounded, fully fetched (a row costs microseconds, a thread hop seventy).
`write(change)` runs a plain function as one BEGIN IMMEDIATE … COMMIT in a worker thread, one at a time, first come
first served: whoever awaits `write` first commits first. The unit of safety is the transaction: nothing else writes.
A commit survives the death of the process; one asked `durable` survives power loss too, with all before it.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from contextlib import closing, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import trio

from cache.errors import NoSpaceLeft, StateUnusable
from cache.trouble import Trouble, trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")
C = TypeVar("C", bound=sqlite3.Connection)

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
LOG_MAX_BYTES = 32 << 20  # a longer write-ahead log is folded in before its time
LOG_KEPT_BYTES = 4 << 20  # of its file, when it begins anew
DAMAGED = "damaged"  # a file beside the catalog: the next opening moves it aside
_ADVICE = (
    "the catalog of this drive is damaged; at the next mount it is moved aside and told anew by the server, and files "
    "with unsent changes are put into a folder that is named then: unmount, and mount again"
)


class Runner(Protocol):
    """Runs a blocking function; `trio.to_thread.run_sync` in the program, inline in tests."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Run it and hand back what it returns."""
        ...


async def in_worker(function: Callable[[], T]) -> T:
    """Run a blocking function in a worker thread."""
    return await trio.to_thread.run_sync(function)


async def inline(function: Callable[[], T]) -> T:
    """Run it here: for tests under a virtual clock."""
    await trio.lowlevel.checkpoint()
    return function()


class Database:
    """The catalog file at `path`; raises StateUnusable for a damaged or newer one."""

    def __init__(self, path: Path, *, runner: Runner = in_worker, checked: bool = True) -> None:
        self._path = path
        self._checked = checked
        self._runner = runner
        self._turn = trio.CapacityLimiter(1)
        self.damaged = False  # found while running: nothing is accepted any more, the next opening moves it aside
        self.full = False  # met a disk without room; who makes some takes it back
        self._unproven = False  # a sync failed: the kernel may have dropped pages that were to become durable
        try:
            self._writer = _connect(path, sqlite3.Connection)
            self._writer.execute("PRAGMA wal_autocheckpoint = 0")
            self._writer.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
            self._durable: bool | None = None  # what `PRAGMA synchronous` stands at
            _create_or_check(self._writer, path)
            self.reader = _connect(path, _Reader)
            self.reader.on_error = self._as_local
            self.reader.execute("PRAGMA query_only = ON")
            self._checkpointer = _connect(path, sqlite3.Connection)
        except sqlite3.DatabaseError as error:
            if trouble(error).passes:
                raise self._as_local(error) from error
            raise StateUnusable(f"the state file cannot be used: {error}", path=str(path)) from error

    async def write(self, change: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Run `change` as one transaction in a worker and return its result; an exception rolls everything back.

        Shielded from cancellation: a change that has begun is either committed or never was.
        """
        async with self._turn:
            return await self._shielded(lambda: self.write_now(change, durable=durable))

    async def write_here(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """The same on this thread, for a change of a few rows.

        It costs less than one with a thread hop (200 against 240 to 450 µs to create a file, 40 against 100 µs for a
        chmod) and waits for no disk: a commit only goes to the page cache, and `checkpoint` folds the log elsewhere.
        """
        try:
            self._turn.acquire_nowait()  # nobody else writes or waits: no other task runs in between, which takes 20 µs
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            return self.write_now(change)
        finally:
            self._turn.release()

    async def _shielded(self, transaction: Callable[[], T]) -> T:
        with trio.CancelScope(shield=True):
            return await self._runner(transaction)
        raise AssertionError("a shield swallows no cancellation")

    def write_now(self, change: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """The same without waiting for a turn: for the start, before any task runs."""
        connection = self._writer
        if self.damaged:
            raise StateUnusable(_ADVICE)
        if durable and self._unproven:
            self._prove()
        if durable != self._durable:
            connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            self._durable = durable
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = change(connection)
            connection.commit()
        except sqlite3.Error as error:
            self._unproven |= durable
            connection.rollback()
            raise self._as_local(error) from error
        except BaseException:
            connection.rollback()
            raise
        return result

    def _prove(self) -> None:
        """A sync that failed may have lost pages, and the next one would not say so: all of the log is read again,
        written to the file, and synced there."""
        try:
            (busy, _, _) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise self._as_local(error) from error
        if busy:
            raise OSError(errno.EIO, "the catalog could not be synced again")
        self._unproven = False

    def log_is_long(self) -> bool:
        """Whether the write-ahead log should be folded in now."""
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size > LOG_MAX_BYTES
        except FileNotFoundError:
            return False

    async def checkpoint(self) -> None:
        """Fold the write-ahead log into the file, beside running reads and writes.

        The log begins anew when all of it is folded in, and under steady writes there is always some more: of a long
        one that rest is folded in while the writers wait.
        """
        await self._shielded(self._fold)
        if self.log_is_long():
            async with self._turn:
                await self._shielded(self._fold)

    def _fold(self) -> None:
        try:
            self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            self._unproven = True  # it may be the sync of the log that failed
            raise self._as_local(error) from error

    async def check(self) -> None:
        """Have SQLite look at all of a catalog that was opened unlooked at; seconds for a million files."""
        if self._checked:
            return
        self._checked = True

        def look() -> str:
            with closing(_connect(self._path, sqlite3.Connection)) as connection:
                return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])

        try:
            word = await self._runner(look)
        except sqlite3.DatabaseError as error:
            self._checked = not trouble(error).passes
            word = str(error) if self._checked else "ok"
        if word != "ok":
            self._found_damaged(word)

    async def make_durable(self) -> None:
        """Return once every transaction committed so far would survive power loss."""
        await self.write(_touch, durable=True)

    def make_durable_now(self) -> None:
        """The same without waiting for a turn, as `write_now`."""
        self.write_now(_touch, durable=True)

    def close(self) -> None:
        """Give back the connections; the write-ahead log is folded into the file."""
        for connection in (self.reader, self._checkpointer, self._writer):
            with suppress(sqlite3.Error):
                connection.close()

    def _as_local(self, error: sqlite3.Error) -> Exception:
        """A full, failing or damaged disk is nobody's bug; any other error of SQLite is ours and stays as it is."""
        match trouble(error):
            case Trouble.FULL:
                self.full = True
                return NoSpaceLeft("no room for the catalog")
            case Trouble.NOT_NOW:
                return OSError(errno.EIO, f"the catalog cannot be read or written: {error}")
            case Trouble.DAMAGE:
                self._found_damaged(str(error))
                return StateUnusable(_ADVICE)
            case Trouble.OURS:
                return error

    def _found_damaged(self, how: str) -> None:
        if not self.damaged:
            self.damaged = True
            log.error("%s (%s)", _ADVICE, how)
            with suppress(OSError):
                self._path.with_name(DAMAGED).write_text(how, encoding="utf-8")


def _touch(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('synced', random())")


def _as_it_is(error: sqlite3.Error) -> Exception:
    return error


class _Rows(sqlite3.Cursor):
    """Rows of the reader: an error of the disk is told as what it is."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:  # noqa: ANN401  # as its base
        try:
            return super().execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._local(error) from error

    def fetchone(self) -> Any:  # noqa: ANN401  # as its base
        try:
            return super().fetchone()
        except sqlite3.Error as error:
            raise self._local(error) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.Error as error:
            raise self._local(error) from error

    def _local(self, error: sqlite3.Error) -> Exception:
        assert isinstance(self.connection, _Reader)  # noqa: S101  # by _Reader.execute
        return self.connection.on_error(error)


class _Reader(sqlite3.Connection):
    """A connection whose errors are ours; that costs 0.2 µs of the microseconds that a read takes."""

    on_error: Callable[[sqlite3.Error], Exception] = staticmethod(_as_it_is)

    def execute(self, sql: str, parameters: Any = (), /) -> _Rows:  # noqa: ANN401  # as its base, which asks no `cursor`
        return super().cursor(_Rows).execute(sql, parameters)


def _connect(path: Path, factory: type[C]) -> C:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, factory=factory
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA cache_size = -16384")  # 16 MiB: the hot part of a million-item tree
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _create_or_check(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StateUnusable("the state was written by a newer AnchorFS", path=str(path), version=version)
    if version == 0:
        schema = resources.files("cache").joinpath("schema.sql").read_text(encoding="utf-8")
        connection.executescript(f"BEGIN; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def get_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """Value of a `meta` row."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Store a `meta` row."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
