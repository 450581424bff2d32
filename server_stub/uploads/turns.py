"""One request at a time per upload, the newest first: a newcomer ends the one before and waits until what
that one received is durable.

So a connection that died without a word never stands in the way of the client that resumes.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


class Interrupted(Exception):
    """This request is to end: another one took over, nothing came for too long, or the server stops."""


class Turn:
    """The right to change one upload, for the length of a with block."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._ended = False
        self._waiting: asyncio.Timeout | None = None

    def end(self) -> None:
        """Ask its holder to stop receiving."""
        self._ended = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def chunks(self, body: AsyncGenerator[bytes, None], idle_s: float) -> AsyncIterator[bytes]:
        """The body as it comes. Interrupted, when told to end or after `idle_s` without a byte."""
        while True:
            if self._ended:
                raise Interrupted
            try:
                async with asyncio.timeout(idle_s) as self._waiting:
                    chunk = await anext(body, None)
            except TimeoutError:
                raise Interrupted from None
            finally:
                self._waiting = None
            if chunk is None:
                return
            if chunk:
                yield chunk


class Turns:
    """Who is at work on which upload."""

    def __init__(self) -> None:
        self._held: dict[str, Turn] = {}

    @asynccontextmanager
    async def take(self, upload_id: str) -> AsyncIterator[Turn]:
        """The turn, once nobody else has it; whoever has it is told to end."""
        while (held := self._held.get(upload_id)) is not None:
            held.end()
            await held.over.wait()
        turn = self._held[upload_id] = Turn()  # no await since the check: nobody came between
        try:
            yield turn
        finally:
            del self._held[upload_id]
            turn.over.set()

    def end_all(self) -> None:
        """The server stops."""
        for turn in self._held.values():
            turn.end()
