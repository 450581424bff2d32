"""Tells the kernel, late and together, that files take more room on this machine than it believes.

st_blocks is all that changed, and a program that reads a file asks for it anew anyway: news at once would cost a
question of the kernel's for each of a thousand files that a program is about to open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache.model import NodeChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cache.model import Ino

TOLD_AFTER_S = 1.0


class Growth:
    """`run` must be running."""

    def __init__(self, tell_soon: Callable[[list[NodeChanged]], None]) -> None:
        self._tell_soon = tell_soon
        self._grown: set[Ino] = set()
        self._work = trio.Event()

    def of(self, inos: Iterable[Ino]) -> None:
        """These hold more than before."""
        self._grown.update(inos)
        self._work.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            await trio.sleep(TOLD_AFTER_S)
            grown, self._grown, self._work = self._grown, set(), trio.Event()
            self._tell_soon([NodeChanged(ino) for ino in grown])
