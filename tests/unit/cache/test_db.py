"""The database by itself: a transaction is whole or nothing, in its turn, and its errors are told as what they are."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio

from cache.db import SCHEMA_VERSION, Database, get_meta, inline, set_meta
from cache.errors import NoSpaceLeft, StateUnusable
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A new one."""
    made = Database(tmp_path / "state.db", runner=inline)
    yield made
    made.close()


def coded(code: int) -> sqlite3.OperationalError:
    """An error of SQLite's."""
    error = sqlite3.OperationalError("told by a test")
    error.sqlite_errorcode = code
    return error


def raising(error: Exception) -> object:
    """A change that writes, and fails."""

    def change(connection: sqlite3.Connection) -> None:
        set_meta(connection, "half", "done")
        raise error

    return change


async def test_an_exception_rolls_everything_back(db: Database) -> None:
    with pytest.raises(KeyError):
        await db.write(raising(KeyError("no")))  # type: ignore[arg-type]
    assert get_meta(db.reader, "half") is None
    await db.write(lambda connection: set_meta(connection, "whole", "1"))
    assert get_meta(db.reader, "whole") == "1"


async def test_who_awaits_first_commits_first(db: Database) -> None:
    order: list[int] = []
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(db.write, lambda _, number=number: order.append(number))
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]


async def test_what_has_begun_is_committed_whoever_is_cancelled(db: Database) -> None:
    with trio.CancelScope() as scope:

        def change(connection: sqlite3.Connection) -> None:
            scope.cancel()
            set_meta(connection, "begun", "1")

        await db.write(change)
    assert get_meta(db.reader, "begun") == "1"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, NoSpaceLeft),
        (sqlite3.SQLITE_IOERR_FSYNC, OSError),
        (sqlite3.SQLITE_CORRUPT_INDEX, StateUnusable),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.OperationalError),
    ],
)
async def test_errors_of_the_disk(db: Database, code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as told:
        await db.write(raising(coded(code)))  # type: ignore[arg-type]
    assert get_meta(db.reader, "half") is None
    assert kind is not OSError or told.value.errno == errno.EIO  # type: ignore[attr-defined]


async def test_damage_that_is_met_stops_every_further_change(db: Database, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StateUnusable, match="mount again"):
            await db.write(raising(coded(sqlite3.SQLITE_CORRUPT)))  # type: ignore[arg-type]
    with pytest.raises(StateUnusable):
        await db.write(lambda connection: set_meta(connection, "more", "1"))
    assert get_meta(db.reader, "more") is None
    assert (tmp_path / "damaged").exists()


@pytest.mark.parametrize("fetch", ["fetchone", "fetchall"])
def test_damage_that_a_read_meets_stops_every_further_change(tmp_path: Path, fetch: str) -> None:
    path = tmp_path / "state.db"
    with closing(Database(path)) as made:
        made.write_now(lambda c: c.executemany("INSERT INTO doubt VALUES (?)", [(f"{n:0400}",) for n in range(500)]))
    with closing(Database(path)) as db:
        pages = path.read_bytes()
        path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
        with pytest.raises(StateUnusable, match="mount again"):
            getattr(db.reader.execute("SELECT * FROM doubt ORDER BY item_id"), fetch)()
        with pytest.raises(StateUnusable):
            db.write_now(lambda connection: set_meta(connection, "more", "1"))
    assert (tmp_path / "damaged").exists()


async def test_a_sync_that_failed_is_proved_anew(db: Database, tmp_path: Path) -> None:
    """The next durable commit first writes the whole log into the file, and syncs that."""
    log = tmp_path / "state.db-wal"
    await db.write(lambda connection: set_meta(connection, "first", "1"))
    grown = log.stat().st_size
    with pytest.raises(OSError, match="read or written"):
        await db.write(raising(coded(sqlite3.SQLITE_IOERR_FSYNC)), durable=True)  # type: ignore[arg-type]
    await db.write(lambda connection: set_meta(connection, "second", "1"), durable=True)
    assert log.stat().st_size < grown
    assert (get_meta(db.reader, "first"), get_meta(db.reader, "second")) == ("1", "1")


class Refusing:
    """A connection whose every statement fails."""

    def __init__(self, code: int) -> None:
        self._code = code

    def execute(self, _sql: str) -> None:
        raise coded(self._code)

    def close(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize(("code", "kind"), [(sqlite3.SQLITE_FULL, NoSpaceLeft), (sqlite3.SQLITE_IOERR_FSYNC, OSError)])
async def test_a_log_that_a_disk_does_not_let_be_folded_in_ends_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    log = db._path.with_name("state.db-wal")
    await db.write(lambda connection: set_meta(connection, "first", "1"))
    grown = log.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(db, "_checkpointer", Refusing(code))
        with pytest.raises(kind):
            await db.checkpoint()
    await db.write(lambda connection: set_meta(connection, "second", "1"), durable=True)
    assert log.stat().st_size < grown, "a sync of the log failed: it is proved anew"


@pytest.mark.parametrize(("code", "damaged"), [(sqlite3.SQLITE_CANTOPEN, False), (sqlite3.SQLITE_CORRUPT, True)])
async def test_a_catalog_that_could_not_be_looked_at_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, damaged: bool
) -> None:
    with closing(Database(tmp_path / "state.db", runner=inline, checked=False)) as db:
        with monkeypatch.context() as patch:
            patch.setattr("cache.db._connect", lambda _path, _factory: Refusing(code))
            await db.check()
        assert db.damaged is damaged
        await db.check()
        assert db.damaged is damaged


def test_the_schema_has_its_version(db: Database) -> None:
    assert db.reader.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        sqlite3.Connection.execute(db.reader, "DELETE FROM meta")


async def test_a_long_log_begins_anew_also_when_more_comes_while_it_is_folded_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.db.LOG_MAX_BYTES", 1 << 20)
    monkeypatch.setattr("cache.db.LOG_KEPT_BYTES", 1 << 18)
    path, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    more: list[str] = []

    async def steadily(function: Callable[[], T]) -> T:
        """What comes meanwhile is not folded in, as for one who looks at the catalog since before."""
        if not more:
            return await inline(function)
        with closing(sqlite3.connect(path)) as since:
            since.execute("BEGIN")
            get_meta(since, "x")
            made.write_now(lambda connection: set_meta(connection, more.pop(), "1"))
            return await inline(function)

    made = Database(path, runner=steadily)
    with closing(made):
        for number in range(40):
            await made.write(lambda c, number=number: set_meta(c, f"{number}", "many bytes" * 4_000))
        assert made.log_is_long()
        more.append("meanwhile")
        await made.checkpoint()
        await made.write(lambda connection: set_meta(connection, "after", "1"))
        assert not more
        assert not made.log_is_long()
        assert log.stat().st_size <= 1 << 18


async def test_a_short_log_is_folded_in_without_a_wait_for_writers(db: Database) -> None:
    assert not db.log_is_long()
    with trio.fail_after(DEADLINE_S):
        async with db._turn:  # as a writer has it
            await db.checkpoint()
