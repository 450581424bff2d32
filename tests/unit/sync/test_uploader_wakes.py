"""When the uploader looks again: a row that becomes due while it looks is not slept over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from cache import due, journal
from cache.changing import Clock
from sync.remote import Busy
from sync.rounds import LOOK_ON_S
from sync.slots import BUSY_S
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.desk import at_work
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

STEP_MS = 40


def virtual(delay_s: float | None = None) -> Clock:
    """A store's clock, of the time that the test sets."""
    now_ms = int(trio.current_time() * 1000)
    return Clock(now_ns=now_ms * 1_000_000, push_after_ms=now_ms + int((delay_s or 0) * 1000))


def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are a wall."""
    monkeypatch.setattr(due, "PAGE_ROWS", 2)
    monkeypatch.setattr(due, "SEEN_ROWS", 2)


@pytest.mark.virtual_time
async def test_a_row_that_becomes_due_during_the_look_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    try:
        await machine.begin()
        await machine.list_all()
        await machine.create("/n", b"mine")
        await trio.sleep(BUSY_S)  # a program that has just worked would have it look again soon
        (row,) = machine.outbox()
        now_ms = start_ms = row.not_before_ms + 1_000_000

        def clock(delay_s: float | None = None) -> Clock:
            nonlocal now_ms
            now_ms += STEP_MS
            return Clock(now_ns=now_ms * 1_000_000, push_after_ms=now_ms + int((delay_s or 0) * 1000))

        due_ms = start_ms + STEP_MS * 3 // 2  # after the first look at the clock, before the second
        await machine.store.db.write(lambda c: c.execute("UPDATE journal SET not_before_ms = ?", (due_ms,)))
        monkeypatch.setattr(machine.store, "clock", clock)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(machine.engine.uploader.run)
                await machine.engine.uploader._idle.wait()
                nursery.cancel_scope.cancel()
        assert drive.tree() == {"/n": b"mine"}
    finally:
        machine.remove()


async def test_a_row_that_becomes_due_behind_a_look_that_goes_on_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Something is under way for long, a wall of rows waits, and of those that were looked at one becomes due."""
    del autojump_clock
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    small_pages(monkeypatch)

    try:
        await machine.begin()
        await machine.list_all()
        for path in ("/held", "/parked", *[f"/parked/{number}" for number in range(3)], "/late"):
            await machine.filesystem.mkdir(*machine.place(path), 0o755)
        for number in range(3, 43):
            await machine.filesystem.mkdir(*machine.place(f"/parked/{number}"), 0o755)
        monkeypatch.setattr(machine.store, "clock", virtual)
        late, parked = machine.at("/late").ino, machine.at("/parked").ino
        due_ms = virtual(10 * LOOK_ON_S).push_after_ms  # a row of the third page; the look takes twenty
        await machine.store.db.write(lambda c: c.execute("UPDATE journal SET not_before_ms = ?", (0,)))
        await machine.store.db.write(
            lambda c: c.execute("UPDATE journal SET not_before_ms = ? WHERE ino = ?", (due_ms, late))
        )
        await machine.store.db.write(
            lambda c: c.execute("UPDATE journal SET state = 'parked' WHERE ino = ?", (parked,))
        )
        held = machine.remote.inject(Fault(operation="make_folder", gate=trio.Event()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.engine.uploader.run)
            await held.reached.wait()
            with trio.move_on_after(60):
                await machine.engine.uploader._idle.wait()
            assert drive.tree() == {"/late": None}
            nursery.cancel_scope.cancel()
    finally:
        machine.remove()


async def test_a_barrier_waits_for_what_is_put_off_and_not_for_what_a_person_decides_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Rows that wait for a parked one fill the first pages, and one behind them is tried again after a while."""
    del autojump_clock
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    small_pages(monkeypatch)
    try:
        await machine.begin()
        await machine.list_all()
        for path in ("/parked", *[f"/parked/{number}" for number in range(5)], "/late"):
            await machine.filesystem.mkdir(*machine.place(path), 0o755)
        parked = machine.at("/parked").ino
        await machine.store.db.write(
            lambda c: c.execute("UPDATE journal SET state = 'parked' WHERE ino = ?", (parked,))
        )
        monkeypatch.setattr(machine.store, "clock", virtual)
        machine.remote.inject(Fault(operation="make_folder", before=Busy(retry_after_s=30)))
        began_s = trio.current_time()
        assert not await machine.push_all()
        assert trio.current_time() - began_s >= 30
        assert drive.tree() == {"/late": None}
    finally:
        machine.remove()


async def test_what_is_behind_a_folder_that_waits_for_a_person_is_not_planned_one_by_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    files = [f"/parked/inner/{number}" for number in range(200)]
    async with at_work(tmp_path, {"/known": b"old"}) as desk:
        for path in ("/parked", "/parked/inner", *files):
            await desk.mkdir(path)
        await desk.rename("/known", "/parked/inner/known")
        (first, *_) = desk.machine.outbox()
        db, asked = desk.machine.store.db, list[str]()
        await db.write(lambda c: journal.park(c, first, "so that somebody decides"))
        db.reader.set_trace_callback(asked.append)
        assert not await desk.machine.push_all()
        db.reader.set_trace_callback(None)
        assert len(asked) < len(files), asked
        assert desk.drive.tree() == {"/known": b"old"}
        await db.write(journal.retry_parked)
        assert await desk.machine.push_all()
        assert desk.drive.tree().keys() == {"/parked", "/parked/inner", "/parked/inner/known", *files}
