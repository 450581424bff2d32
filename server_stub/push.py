"""The news bell: tells waiting streams that something was committed. Never data, never a promise; a hint to
pull.
"""

from __future__ import annotations

import asyncio


class Notifier:
    """Holds the newest committed sequence number; waiting costs one future per waiter, ringing is
    O(waiters).
    """

    def __init__(self) -> None:
        self.newest_seq = 0
        self.closed = False
        self._bell = asyncio.Event()

    def announce(self, seq: int) -> None:
        """Ring; on the event loop's thread."""
        self.newest_seq = max(self.newest_seq, seq)
        self._ring()

    def close(self) -> None:
        """Send everybody home: the server stops."""
        self.closed = True
        self._ring()

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def wait(self, after_seq: int, timeout_s: float) -> bool:
        """True when something newer than `after_seq` is committed; False after the timeout or the close."""
        if self.newest_seq > after_seq or self.closed:
            return self.newest_seq > after_seq
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        return self.newest_seq > after_seq
