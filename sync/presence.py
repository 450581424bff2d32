"""Whether the remote is there, as the ends of all requests tell: away once a request was given up with no answer.

Nobody waits in vain a second time: who only looks has a probe sent, and is told at once when it comes to nothing. The
probe is whoever asks the feed; it is no request of the one who looks, so a hundred of them cost one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE_S = 0.5  # for the probe: a line that swallows everything does not answer it


class Presence:
    """Of one remote. `probe`: has the feed asked now, by another task; None: it never counts as away.

    `greeting`: asked before anything else, until it succeeds; raises Unreachable of one that is not ours.
    """

    def __init__(self) -> None:
        self.probe: Callable[[], None] | None = None
        self.greeting: Callable[[], Awaitable[None]] | None = None
        self._silent = False
        self._heard = trio.Event()  # set at the end of the next request

    @property
    def away(self) -> bool:
        """Whether the last request that ended was given up."""
        return self._silent and self.probe is not None

    async def greet(self) -> None:
        """Before a request: return when the remote is known to be ours; raises RemoteError."""
        if self.greeting is not None:
            await self.greeting()
            self.greeting = None

    def heard(self, *, answered: bool) -> None:
        """A request ended: by an answer, a refusal too; or was given up without."""
        if self._silent or not answered:
            self._silent = not answered
            self._heard.set()
            self._heard = trio.Event()

    async def found(self) -> bool:
        """Whether it is there now, so that it is worth a request."""
        if self._silent and self.probe is not None:
            heard = self._heard
            self.probe()
            with trio.move_on_after(PATIENCE_S):
                await heard.wait()
        return not self.away
