"""When the uploader looks again: a row that becomes due while it looks is not slept over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache.changing import Clock
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STEP_MS = 40


async def test_a_row_that_becomes_due_during_the_look_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    try:
        await machine.begin()
        await machine.list_all()
        await machine.create("/n", b"mine")
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
