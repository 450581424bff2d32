"""A feed that is made here, page by page: the first page of a pull has the server walked, the others tell the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sync.remote import ChangePage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cache.model import Anchor, Item
    from sync.remote import Tombstone
    from sync.remotes.stored_tree import StoredTree

PAGE = 1000


class Paging:
    """`walk` brings the tree up to what the server holds; `since` tells at most so many rows after a number, with the
    number of each, in that order."""

    def __init__(
        self,
        tree: StoredTree,
        walk: Callable[[], Awaitable[None]],
        since: Callable[[int, int], list[tuple[int, Item | Tombstone]]],
    ) -> None:
        self._tree, self._walk, self._since = tree, walk, since
        self._going_on: Anchor | None = None
        self._turn = trio.Lock()  # who came while a walk was half done would take for old what it has yet to see

    async def after(self, anchor: Anchor) -> ChangePage:
        """What changed since; AnchorExpired, also when the walk itself makes the anchor too old."""
        async with self._turn:
            self._tree.position(anchor)
            if anchor != self._going_on:
                await self._walk()
            newest = self._tree.newest()  # before the rows: what is recorded between the two is told again
            rows = self._since(self._tree.position(anchor), PAGE + 1)
            more = len(rows) > PAGE
            reached = self._tree.anchor(rows[PAGE - 1][0]) if more else newest
            self._going_on = reached if more else None
            return ChangePage(changes=[told for _, told in rows[:PAGE]], anchor=reached, has_more=more)
