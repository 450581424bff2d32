"""Contents that were closed while the disk could not take their size and time: they stay open until it can.

An open content tells the size itself, so nobody sees the file as it was before. Owner: the trio thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cache.opened import OpenContent, OpenContents


class Unsettled:
    """One user of each of them."""

    def __init__(self, opened: OpenContents, settle: Callable[[OpenContent], Awaitable[None]]) -> None:
        self._opened = opened
        self._settle = settle
        self._kept: set[OpenContent] = set()

    def keep(self, opened: OpenContent) -> None:
        """It could not be written down."""
        if opened not in self._kept:
            self._kept.add(opened)
            opened.users += 1

    async def settle_all(self, *, open_too: bool = False) -> None:
        """Write down what can be by now, at the end of what programs have open, too; raises NoSpaceLeft, OSError."""
        for opened in tuple(self._opened if open_too else self._kept):
            await self._settle(opened)
            if opened in self._kept:
                self._kept.discard(opened)
                self._opened.release(opened)
