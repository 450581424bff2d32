"""The flush before a mount leaves: wait for what can be sent, not for a server that is away.

Nothing depends on it: what is not sent is in the journal, and the next mount sends it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import trio

from cache.errors import LocalError
from vfs.failure import describe

if TYPE_CHECKING:
    from vfs.control import Engine, Statistics

log = logging.getLogger(__name__)

OFFLINE_PATIENCE_S = 2.0
_LOOK_EVERY_S = 0.2


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a mount leaves behind in its cache directory: local changes that the server does not have."""

    pending: int
    parked: int
    held: int = 0  # for a person's approval

    @property
    def complete(self) -> bool:
        """Whether the server has everything."""
        return not (self.pending or self.parked or self.held)


def outcome_of(statistics: Statistics) -> Outcome:
    """What the numbers say is not on the server."""
    return Outcome(pending=statistics.queue_pending, parked=statistics.queue_parked, held=statistics.queue_held)


class Flush:
    """One flush; `cancel` ends it early, from another task. What it leaves stays in `cache_dir`, and is logged."""

    def __init__(self, engine: Engine, cache_dir: str) -> None:
        self._engine = engine
        self._cache_dir = cache_dir
        self._scope = trio.CancelScope()

    async def run(self, timeout_s: float) -> bool:
        """Whether the server has everything; at most `timeout_s`, and soon when the engine is offline."""
        pushed = False
        try:
            pushed = await self._push(timeout_s)
            left = outcome_of(self._engine.statistics())
            if not pushed and not left.complete:
                log.info("%d changes are not on the server yet; they stay in %s", left.pending, self._cache_dir)
        except* (LocalError, OSError) as errors:  # of the disk here: to leave is the way out of that
            why = describe(errors, about="the flush").told.message
            log.warning("not flushed, what is not on the server stays in %s: %s", self._cache_dir, why)
        return pushed

    async def _push(self, timeout_s: float) -> bool:
        pushed = False
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give_up_offline)
                pushed = await self._engine.settle(timeout_s)
                nursery.cancel_scope.cancel()
        return pushed

    def cancel(self) -> None:
        """Do not wait any longer."""
        self._scope.cancel()

    async def _give_up_offline(self) -> None:
        online_at_s = trio.current_time()
        while trio.current_time() - online_at_s < OFFLINE_PATIENCE_S:
            await trio.sleep(_LOOK_EVERY_S)
            if self._engine.statistics().connection == "online":
                online_at_s = trio.current_time()
        self._scope.cancel()
