"""The news bell: tells waiting streams that something was committed. Never data, never a promise; a hint to
pull.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Notifier:
    """Holds the newest committed sequence number; all waiters share one future, ringing is O(waiters)."""

    def __init__(self) -> None:
        self.newest_seq = 0
        self.closed = False
        self.streams = 0  # open event streams
        self._bell: asyncio.Future[None] | None = None

    def announce(self, seq: int) -> None:
        """Ring; on the event loop's thread."""
        self.newest_seq = max(self.newest_seq, seq)
        self._ring()

    def close(self) -> None:
        """Send everybody home: the server stops."""
        self.closed = True
        self._ring()

    def _ring(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.set_result(None)

    async def wait(self, after_seq: int, timeout_s: float, gone: asyncio.Future[Any] | None = None) -> bool:
        """True when something newer than `after_seq` is committed; False after the timeout, the close, or when
        `gone` is done.
        """
        if self.newest_seq > after_seq or self.closed:
            return self.newest_seq > after_seq
        if self._bell is None:
            self._bell = asyncio.get_running_loop().create_future()
        ends = [self._bell] if gone is None else [self._bell, gone]
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return self.newest_seq > after_seq
