"""The flush before leaving, on a virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import trio

from cache.errors import StateUnusable
from vfs.flushing import OFFLINE_PATIENCE_S, Flush

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock

    from vfs.control import Engine


@dataclass
class Numbers:
    connection: str
    queue_pending: int = 1
    queue_parked: int = 0
    queue_held: int = 0


@dataclass
class FakeEngine:
    """Settles after a time; its connection follows a plan of (from second, connection)."""

    settles_after_s: float
    plan: list[tuple[float, str]] = field(default_factory=lambda: [(0.0, "online")])
    start_s: float = field(default_factory=trio.current_time)

    def statistics(self) -> Numbers:
        passed_s = trio.current_time() - self.start_s
        return Numbers([connection for at_s, connection in self.plan if at_s <= passed_s][-1])

    async def settle(self, timeout_s: float) -> bool:
        with trio.move_on_after(timeout_s):
            await trio.sleep(self.settles_after_s)
            return True
        return False


def _flush(engine: FakeEngine) -> Flush:
    return Flush(cast("Engine", engine), "/cache")


async def test_it_waits_for_a_slow_server(autojump_clock: MockClock) -> None:
    assert await _flush(FakeEngine(50.0)).run(60.0) is True
    assert autojump_clock.current_time() >= 50.0


async def test_it_ends_in_time(autojump_clock: MockClock) -> None:
    started_s = autojump_clock.current_time()
    assert await _flush(FakeEngine(1e6)).run(60.0) is False
    assert autojump_clock.current_time() - started_s == 60.0


async def test_a_server_that_is_away_is_not_waited_for(autojump_clock: MockClock) -> None:
    started_s = autojump_clock.current_time()
    engine = FakeEngine(1e6, [(0.0, "online"), (5.0, "offline")])
    assert await _flush(engine).run(60.0) is False
    assert autojump_clock.current_time() - started_s < 5.0 + 2 * OFFLINE_PATIENCE_S


async def test_a_short_interruption_does_not_end_it(autojump_clock: MockClock) -> None:
    started_s = autojump_clock.current_time()
    engine = FakeEngine(20.0, [(0.0, "online"), (5.0, "offline"), (6.0, "online")])
    assert await _flush(engine).run(60.0) is True
    assert autojump_clock.current_time() - started_s == 20.0


async def test_it_can_be_ended_from_outside(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    flush = _flush(FakeEngine(1e6))

    async def end() -> None:
        await trio.sleep(3.0)
        flush.cancel()

    nursery.start_soon(end)
    started_s = autojump_clock.current_time()
    assert await flush.run(60.0) is False
    assert autojump_clock.current_time() - started_s == 3.0


async def test_a_catalog_that_cannot_be_read_keeps_nobody_from_leaving(caplog: pytest.LogCaptureFixture) -> None:
    class Damaged(FakeEngine):
        async def settle(self, timeout_s: float) -> bool:  # noqa: ARG002
            raise StateUnusable("the catalog is damaged")

    assert await _flush(Damaged(0.0)).run(60.0) is False
    assert "what is not on the server stays in /cache: the catalog is damaged" in caplog.text
