"""Virtual time, and one order of events per seed: each step of the model is one `trio.run` in which nothing else runs.

Time goes on from step to step. A machine whose clock is off reads it off by its own amount (`SKEW_S`), which every
task of that machine inherits.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
import trio.testing

import cache.store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
PATIENCE = 15_000  # looks at the clock within one step; a busy one takes some hundred
SKEW_S: ContextVar[float] = ContextVar("skew", default=0.0)


def one_order(seed: int) -> None:
    """From here on trio chooses among tasks that are ready as this seed says."""
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[attr-defined]
    trio._core._run._r.seed(seed)  # type: ignore[attr-defined]


class VirtualTime:
    """Stands in for the module `time` in `cache.store`; goes on across runs."""

    def __init__(self) -> None:
        self._passed_s = 1_800_000_000.0
        self._asked = 0

    def time_ns(self) -> int:
        """As time.time_ns."""
        return int(self.time() * 1e9)

    def monotonic_ns(self) -> int:
        """As time.monotonic_ns: nobody can set it."""
        return int(self._now_s() * 1e9)

    def time(self) -> float:
        """As time.time."""
        return self._now_s() + SKEW_S.get()

    def _now_s(self) -> float:
        """Who asks without end is going round in circles."""
        self._asked += 1
        if self._asked > PATIENCE:
            raise AssertionError("a step that comes to no end")
        return self._passed_s + (trio.current_time() if trio.lowlevel.in_trio_run() else 0.0)

    def run(self, step: Callable[[], Awaitable[T]]) -> T:
        """One step, of any virtual length."""

        async def whole() -> T:
            result = await step()
            self._passed_s += trio.current_time() + 0.001
            return result

        self._asked = 0
        clock = trio.testing.MockClock(autojump_threshold=0)
        with pytest.MonkeyPatch.context() as patch:
            threads_in_place(patch)
            return trio.run(whole, clock=clock)


def virtually(main: Callable[[], Awaitable[T]], *, clock: None, instruments: Sequence[trio.abc.Instrument]) -> T:
    """trio.run of a test that is marked `virtual_time`, with its fixtures. The store's clock goes by it, too."""
    assert clock is None, "a test in virtual time has its clock already"
    with pytest.MonkeyPatch.context() as patch:
        threads_in_place(patch)
        patch.setattr(cache.store, "time", VirtualTime())
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def threads_in_place(patch: pytest.MonkeyPatch) -> None:
    """What would run in a thread runs where it is asked for: virtual time does not wait for threads."""
    patch.setattr(trio.to_thread, "run_sync", _in_place)


async def _in_place(function: Callable[..., T], *arguments: object) -> T:
    await trio.lowlevel.checkpoint()
    return function(*arguments)
