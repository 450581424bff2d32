"""The disk that holds the catalog is full, or fails, for a while: nothing here ends the mount, nothing is lost."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest
import trio

from cache import due
from cache.errors import NoSpaceLeft
from cache.model import ChangeState, Kind
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from cache.db import Database

pytestmark = pytest.mark.virtual_time

T = TypeVar("T")
ERRORS = [NoSpaceLeft("no room for the catalog"), OSError(errno.EIO, "the catalog cannot be written")]


class Disk:
    """Refuses transactions while `error` is set."""

    def __init__(self, db: Database) -> None:
        self.error: Exception | None = None
        self.refused = 0
        self.refused_often = trio.Event()
        self._write_now = db.write_now
        db.write_now = self.write_now  # type: ignore[method-assign]

    def write_now(self, change: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """As the database's."""
        if self.error is not None:
            self.refused += 1
            if self.refused > 8:
                self.refused_often.set()
            raise self.error
        return self._write_now(change, durable=durable)


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    """/f "old", known here; a machine that looks at its disk again at once."""
    for module in ("uploader", "setbacks", "engine"):
        monkeypatch.setattr(f"sync.{module}.DISK_RETRY_S", 0.01)
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    drive.create(drive.root_id, "f", Kind.FILE, mode=0o644, mtime_ns=5, data=b"old")
    try:
        await machine.begin()
        async with machine.running():
            await machine.read_all()
        yield machine
    finally:
        machine.remove()


@pytest.mark.parametrize("error", ERRORS, ids=["full", "failing"])
async def test_every_part_goes_on_when_the_disk_can_be_written_again(machine: Machine, error: Exception) -> None:
    """Pulling, pushing, evicting and tidying all meet the disk; each tries again."""
    disk = Disk(machine.store.db)
    await machine.write(machine.at("/f").ino, 0, b"mine", os.O_RDWR | os.O_TRUNC)
    machine.engine.evictor.limit_bytes = 0
    async with trio.open_nursery() as nursery:
        disk.error = error
        await nursery.start(machine.engine.run)
        machine.drive.create(machine.drive.root_id, "n", Kind.FILE, mode=0o644, mtime_ns=5, data=b"theirs")
        with trio.fail_after(10):
            await disk.refused_often.wait()
            disk.error = None
            assert await machine.engine.settle()
        nursery.cancel_scope.cancel()
    assert machine.drive.tree() == {"/f": b"mine", "/n": b"theirs"}
    assert machine.tree() == machine.drive.tree()


async def test_a_disk_that_stays_full_is_met_with_the_room_that_was_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever meets it: the catalog's log begins anew while the ballast is off, and what waited is sent."""
    db, ballast, folded = machine.store.db, machine.store.directory / "ballast", trio.Event()
    write_now = db.write_now
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def no_room(_connection: sqlite3.Connection) -> NoReturn:
        raise full

    def write(change: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        return write_now(change if folded.is_set() else no_room, durable=durable)

    async def fold() -> None:
        if not ballast.exists():
            folded.set()

    await machine.write(machine.at("/f").ino, 0, b"mine", os.O_RDWR | os.O_TRUNC)
    monkeypatch.setattr(db, "write_now", write)
    monkeypatch.setattr(db, "checkpoint", fold)
    async with trio.open_nursery() as nursery:
        await nursery.start(machine.engine.run)
        with trio.fail_after(10):
            await folded.wait()
            assert await machine.engine.settle()
        nursery.cancel_scope.cancel()
    assert ballast.stat().st_size > 0
    assert machine.drive.tree() == {"/f": b"mine"}
    assert machine.faults() == []


@pytest.mark.parametrize("error", [ERRORS[1], ZeroDivisionError("a bug")], ids=["disk", "bug"])
async def test_what_was_under_way_when_the_uploader_failed_is_sent_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Else its row would count as being sent until the next start, and a barrier would wait for it for ever."""
    await machine.write(machine.at("/f").ino, 0, b"mine", os.O_RDWR | os.O_TRUNC)
    under_way = machine.remote.inject(Fault(operation="put", gate=trio.Event()))
    page, failed = due.page, trio.Event()

    def failing(*arguments: object, **named: int) -> due.Page:
        if under_way.reached.is_set() and not failed.is_set():
            failed.set()
            raise error
        return page(*arguments, **named)  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        await nursery.start(machine.engine.run)
        with trio.fail_after(10):
            await under_way.reached.wait()
            monkeypatch.setattr(due, "page", failing)
            machine.engine.uploader.wake()
            await failed.wait()
            assert await machine.engine.settle()
        nursery.cancel_scope.cancel()
    assert machine.drive.tree() == {"/f": b"mine"}
    assert str(error) in caplog.text
    caplog.clear()


async def test_the_outcome_of_a_push_waits_for_the_disk(machine: Machine) -> None:
    """The bytes are at the remote, and the catalog cannot say so: the row must not stay marked as sent."""
    disk = Disk(machine.store.db)
    await machine.write(machine.at("/f").ino, 0, b"mine", os.O_RDWR | os.O_TRUNC)
    put = machine.remote.put

    async def put_and_fill(*arguments: object, **named: object) -> object:
        item = await put(*arguments, **named)  # type: ignore[arg-type]
        disk.error = ERRORS[0]
        return item

    machine.remote.put = put_and_fill  # type: ignore[method-assign,assignment]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.push_one, 0)
        with trio.fail_after(10):
            await disk.refused_often.wait()
        del machine.remote.put
        disk.error = None
    assert [row.state for row in machine.outbox()] == [ChangeState.PENDING]
    assert await machine.push_all(5.0)
    assert machine.drive.tree() == {"/f": b"mine"}
    assert machine.faults() == []


async def test_the_length_of_dirty_bytes_is_the_blobs_own(machine: Machine) -> None:
    """What a close could not write down is known again at the next open."""
    disk = Disk(machine.store.db)
    ino = machine.at("/f").ino
    fh = (await machine.filesystem.open(ino, os.O_RDWR | os.O_TRUNC)).fh
    await machine.filesystem.write(fh, 0, b"much longer than before")
    disk.error = ERRORS[0]
    with pytest.raises(NoSpaceLeft):
        await machine.filesystem.release(fh)
    disk.error = None
    assert await machine.read(ino) == b"much longer than before"
    assert await machine.push_all(5.0)
    assert machine.drive.tree() == {"/f": b"much longer than before"}
    assert machine.faults() == []


async def test_what_fails_after_an_upload_was_taken_in_leaves_no_file_that_only_seems_to_wait(
    machine: Machine,
) -> None:
    """The catalog calls the bytes the server's by then: the next write through the open handle must go there, too."""
    fh = (await machine.filesystem.open(machine.at("/f").ino, os.O_RDWR)).fh
    await machine.filesystem.write(fh, 0, b"mine")
    apply_answer = machine.engine.applier.apply_answer

    async def apply_and_fail(*arguments: object) -> None:
        await apply_answer(*arguments)  # type: ignore[arg-type]
        raise ERRORS[0]

    machine.engine.applier.apply_answer = apply_and_fail  # type: ignore[method-assign,assignment]
    await machine.push_one(0)
    del machine.engine.applier.apply_answer
    assert machine.drive.tree() == {"/f": b"mine"}
    await machine.filesystem.write(fh, 0, b"more")
    await machine.filesystem.release(fh)
    assert await machine.push_all(5.0)
    assert machine.drive.tree() == {"/f": b"more"}
