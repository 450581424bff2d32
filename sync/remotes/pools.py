"""The connections to a server: a pool for what is asked next, and former ones in which something is still under way.

When this machine's network changes, what waits in an old pool may be dead without knowing. It is not used again; what
runs over it goes on, as TCP outlives a way that is gone for a while, unless it is told that it cannot.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx


class Pool:
    """Connections that were opened while one way led to the server."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport
        self.users = 0


class Pools:
    """See the module."""

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._make = make
        self._current = Pool(make())
        self._former: list[Pool] = []

    @contextlib.asynccontextmanager
    async def borrowed(self) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """The pool for a new request; it lives as long as the block."""
        pool = self._current
        pool.users += 1
        try:
            yield pool.transport
        finally:
            pool.users -= 1
            if not pool.users and pool in self._former:
                self._former.remove(pool)
                await pool.transport.aclose()

    async def renew(self, *, drop: bool) -> None:
        """A new pool from now on. `drop`: also end what is under way, as it cannot be answered any more."""
        self._former.append(self._current)
        self._current = Pool(self._make())
        for pool in [each for each in self._former if drop or not each.users]:
            self._former.remove(pool)
            await pool.transport.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        former, self._former = self._former, []
        for pool in (*former, self._current):
            await pool.transport.aclose()
