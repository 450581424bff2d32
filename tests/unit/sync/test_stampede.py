"""Ten thousand clients lose their server together: their coming back is spread, whatever the server tells them.

Virtual time goes in ticks, so that all that happens in one costs one look at the clock.
"""

from __future__ import annotations

import gc
import math
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio
import trio.abc

from cache.model import Anchor
from sync.puller import Puller
from sync.remote import Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TICK_S = 0.05
POLL_INTERVAL_S = 600.0  # what polling adds later is spread as these are


class TickingClock(trio.abc.Clock):
    """When nobody has anything to do it is the tick after the next deadline."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def start_clock(self) -> None:
        """It stands still until somebody waits."""

    def current_time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Trio asks this when all tasks wait."""
        if math.isinf(deadline):
            return deadline
        if deadline > self._now_s:
            self._now_s = math.ceil(deadline / TICK_S) * TICK_S
        return 0.0


class Server:
    """Goes away at a moment and comes back at another; notes when requests arrive."""

    def __init__(self, gone_s: float, back_s: float, retry_after_s: float | None) -> None:
        self._gone_s, self.back_s, self._retry_after_s = gone_s, back_s, retry_after_s
        self.pulls: list[float] = []
        self.hints: list[float] = []
        self._lost = trio.Event()

    async def lose_everybody(self) -> None:
        """Every open connection ends at once."""
        await trio.sleep_until(self._gone_s)
        self._lost.set()

    def arrive(self, at: list[float]) -> None:
        """One request; raises what a server that is away, or just starting, answers."""
        now_s = trio.current_time()
        if now_s >= self.back_s:
            at.append(now_s)
        elif now_s >= self._gone_s:
            raise Unreachable("away", retry_after_s=self._retry_after_s)

    async def hints_of(self, _anchor: Anchor) -> AsyncIterator[None]:
        """The stream of hints: a first one when it is opened, then silence until it is cut."""
        self.arrive(self.hints)
        yield None
        if trio.current_time() < self._gone_s:
            await self._lost.wait()
            raise Unreachable("cut")
        await trio.sleep_forever()


class Client(Puller):
    """The real loops of a puller, on no state."""

    anchor = Anchor("1")

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        chance = random.Random(seed)
        self.hints = server.hints_of
        super().__init__(None, self, None, POLL_INTERVAL_S, lambda _error: None, chance)  # type: ignore[arg-type]

    async def pull(self) -> None:
        """One request."""
        await trio.lowlevel.checkpoint()
        self.server.arrive(self.server.pulls)


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """Half the time would go into looking through tens of thousands of tasks for garbage."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
@pytest.mark.parametrize(
    ("clients", "outage_s", "retry_after_s", "most_in_a_second"),
    [(10_000, 120.0, None, 0.1), (2_000, 120.0, 30.0, 0.1), (2_000, 3.0, None, 0.75), (10_000, 0.5, None, 0.75)],
    ids=["long", "told-to-wait", "short", "restart"],
)
def test_coming_back_is_spread(
    clients: int, outage_s: float, retry_after_s: float | None, most_in_a_second: float
) -> None:  # fmt: skip
    server = trio.run(_outage, clients, outage_s, retry_after_s, clock=TickingClock())
    for arrivals in (server.pulls, server.hints):
        firsts = Counter(int(at_s - server.back_s) for at_s in arrivals)
        assert sum(firsts.values()) >= clients
        assert max(firsts.values()) <= most_in_a_second * clients, firsts.most_common(3)


async def _outage(clients: int, outage_s: float, retry_after_s: float | None) -> Server:
    server = Server(5.0, 5.0 + outage_s, retry_after_s)
    with trio.move_on_at(server.back_s + 65.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.lose_everybody)
            for number in range(clients):
                nursery.start_soon(Client(server, number).run)
            await trio.sleep(math.inf)
    return server
