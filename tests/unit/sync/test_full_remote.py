"""A remote without room: what is written is accepted, waits, and goes when there is room again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from cache.model import ChangeState
from sync.engine import SPACE_FRESH_S
from tests.fakes.drive import FakeDrive
from tests.harness.waiting import DEADLINE_S
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio.testing import MockClock

    from cache.model import LocalChange


async def tried(machine: Machine, until: Callable[[list[LocalChange]], bool]) -> None:
    """Push until the outbox is so: bytes are read and hashed in threads, for which virtual time does not wait."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not until(machine.outbox()):
        assert time.monotonic() < deadline_s, machine.outbox()
        await machine.push_all(5.0)
        await trio.to_thread.run_sync(time.sleep, 0.01)


async def test_what_does_not_fit_waits_for_room(tmp_path: Path, autojump_clock: MockClock) -> None:
    drive = FakeDrive(total_bytes=100)
    machine = Machine("ann", drive, tmp_path / "ann")
    try:
        await machine.begin()
        async with machine.running():
            await machine.create("/small", b"x" * 60)
            await machine.create("/large", b"y" * 60)
            assert (await machine.filesystem.statfs()).free == 100
            await tried(machine, lambda rows: [row.reason is None for row in rows] == [False])
            (waiting,) = machine.outbox()
            assert waiting.state is not ChangeState.PARKED
            assert machine.body(machine.at("/large")) == b"y" * 60
            await machine.filesystem.unlink(*machine.place("/small"))
            await tried(machine, lambda rows: not rows)
            assert drive.tree() == {"/large": b"y" * 60}
            autojump_clock.jump(SPACE_FRESH_S + 1)
            assert (await machine.filesystem.statfs()).free == 40
    finally:
        machine.remove()
