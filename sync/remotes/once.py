"""Idempotency keys for servers that know none: what a key was used for, and what came of it, is kept here.

A request is noted before it is sent, and after it the item that was answered: so a key that comes again is answered
with that item as it is by then, or learns that an answer was lost. Then whoever sends looks at the server first
(`in_doubt`), also after a restart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cache.model import Item, ItemId
from sync.remote import Gone, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.remotes.stored_tree import StoredTree


class Once:
    """One effect per key; `current`: an item as it is now, None when it is gone."""

    def __init__(self, tree: StoredTree, current: Callable[[ItemId], Awaitable[Item | None]]) -> None:
        self._tree = tree
        self._current = current

    async def do(
        self, key: str, request: tuple[object, ...], act: Callable[[bool], Awaitable[Item | None]]
    ) -> Item | None:
        """`act(in_doubt)` under a key; Refused `idempotency_key_reused` when it was another request's."""
        asked = hashlib.sha256(repr(request).encode(errors="surrogatepass")).hexdigest()
        known = self._tree.sent(key)
        if known is not None and known[0] != asked:
            raise Refused("this key was used for another request", code="idempotency_key_reused")
        if known is not None and known[1] is not None:
            return await self._current(ItemId(known[1])) if known[1] else None
        await self._tree.sending(key, asked)
        item = await act(known is not None)
        await self._tree.answered(key, None if item is None else item.item_id)
        return item

    async def item(self, key: str, request: tuple[object, ...], act: Callable[[bool], Awaitable[Item]]) -> Item:
        """The same for what answers with an item; Gone."""
        item = await self.do(key, request, act)
        if item is None:
            raise Gone("what this request led to is gone again", tombstone=True)
        return item
