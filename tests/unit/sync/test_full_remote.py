"""A remote without room: what is written is accepted, waits, and goes when there is room again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import ChangeState
from sync.engine import SPACE_FRESH_S
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


async def test_what_does_not_fit_waits_for_room(tmp_path: Path, autojump_clock: MockClock) -> None:
    drive = FakeDrive(total_bytes=100)
    machine = Machine("ann", drive, tmp_path / "ann")
    try:
        await machine.begin()
        async with machine.running():
            await machine.create("/small", b"x" * 60)
            await machine.create("/large", b"y" * 60)
            assert (await machine.filesystem.statfs()).free == 100
            assert not await machine.push_all(5.0)
            (waiting,) = machine.outbox()
            assert waiting.reason == "QuotaFull"
            assert waiting.state is not ChangeState.PARKED
            assert machine.body(machine.at("/large")) == b"y" * 60
            await machine.filesystem.unlink(*machine.place("/small"))
            assert await machine.push_all(5.0)
            assert drive.tree() == {"/large": b"y" * 60}
            autojump_clock.jump(SPACE_FRESH_S + 1)
            assert (await machine.filesystem.statfs()).free == 40
    finally:
        machine.remove()
