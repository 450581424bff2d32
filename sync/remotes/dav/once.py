"""Idempotency keys for servers that know none: what a key was used for, and what came of it, is kept here.

A request is noted before it is sent, its answer after: so a key that comes again finds the answer, or learns that an
answer was lost. Then whoever sends looks at the server first (`in_doubt`), also after a restart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from cache.model import Item
from sync.remote import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.remotes.dav.mirror import Mirror

_DECODER: msgspec.msgpack.Decoder[Item | None] = msgspec.msgpack.Decoder(Item | None)


class Once:
    """One effect per key."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    async def do(
        self, key: str, request: tuple[object, ...], act: Callable[[bool], Awaitable[Item | None]]
    ) -> Item | None:
        """`act(in_doubt)` under a key; Refused `idempotency_key_reused` when it was another request's."""
        asked = hashlib.sha256(repr(request).encode(errors="surrogatepass")).hexdigest()
        known = self._mirror.sent(key)
        if known is not None and known[0] != asked:
            raise Refused("this key was used for another request", code="idempotency_key_reused")
        if known is not None and known[1] is not None:
            return _DECODER.decode(known[1])
        self._mirror.sending(key, asked)
        item = await act(known is not None)
        self._mirror.answered(key, item)
        return item

    async def item(self, key: str, request: tuple[object, ...], act: Callable[[bool], Awaitable[Item]]) -> Item:
        """The same for what answers with an item."""
        item = await self.do(key, request, act)
        if item is None:
            raise Refused("this key was used for another request", code="idempotency_key_reused")
        return item
