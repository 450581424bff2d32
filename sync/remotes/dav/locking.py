"""Write locks (RFC 4918, section 6): what is looked at under one stays as it is for every other client of the server.

A lock ends by itself if this machine dies. It is only ever meant for what exists: locking a free name makes an empty
file there. Servers exist that take a file away for a moment while another client replaces it: what comes of a lock on
the name just then is taken back with care, and tried again.
"""

from __future__ import annotations

import random
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from sync.remote import Busy, Gone, ProtocolViolation, RemoteError
from sync.remotes.asking import Ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.looking import Looker, Names

HELD_MIN_S = 120
SLOWEST_BYTES_PER_S = 100_000
TRIES = 6
PAUSE_S = 0.25
CHANGED = 412
_TOKEN = re.compile(r"<([!-;=?-~]+)>")
_BODY = (
    b'<?xml version="1.0" encoding="utf-8"?><d:lockinfo xmlns:d="DAV:"><d:lockscope><d:exclusive/></d:lockscope>'
    b"<d:locktype><d:write/></d:locktype><d:owner>anchorfs</d:owner></d:lockinfo>"
)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held."""

    token: str

    def headers(self, url: str, tag: str | None = None) -> dict[str, str]:
        """What a request brings along that changes what stands at `url`, if it has this tag."""
        return {"if": f"<{url}> (<{self.token}>{'' if tag is None else f' [{tag}]'})"}


class Locks:
    """Takes and gives back locks of one server."""

    def __init__(self, exchange: DavExchange, looker: Looker, chance: random.Random | None = None) -> None:
        self._exchange = exchange
        self._looker = looker
        self._chance = chance or random.Random()  # noqa: S311  # jitter, not a secret

    @asynccontextmanager
    async def held(self, names: Names, *, size: int) -> AsyncIterator[Lock]:
        """Hold a file for as long as sending `size` bytes may take; Busy when others hold it."""
        lock = await self.taken(names, HELD_MIN_S + size // SLOWEST_BYTES_PER_S)
        try:
            yield lock
        finally:
            with trio.move_on_after(5, shield=True), suppress(RemoteError):
                await self._exchange.reply(self._unlock(names, lock))

    async def taken(self, names: Names, seconds: int, tries: int = TRIES) -> Lock:
        """A lock that ends after so many seconds; Busy, Gone."""
        ask = Ask(
            method="LOCK",
            path=self._exchange.path_of(names),
            headers={"timeout": f"Second-{seconds}", "depth": "0", "content-type": "application/xml; charset=utf-8"},
            content=_BODY,
            mutates=True,
            expect=frozenset({200, 201}),
        )
        for left in reversed(range(tries)):
            try:
                reply = await self._exchange.reply(ask)
            except Busy:
                if not left:
                    raise
                await trio.sleep(self._chance.uniform(0.02, PAUSE_S))
                continue
            token = _TOKEN.fullmatch(reply.headers.get("lock-token", "").strip())
            if token is None:
                raise ProtocolViolation("a lock without a token")
            lock = Lock(token[1])
            if reply.status == 201:
                await self._undo(names, lock)
                await trio.sleep(self._chance.uniform(0.02, PAUSE_S))
                if left and await self._looker.look(names) is not None:
                    continue
                raise Gone("there was nothing to lock")
            return lock
        raise Busy("it is locked")

    async def _undo(self, names: Names, lock: Lock) -> None:
        """Nothing was there, and now an empty file is that nobody wanted; unless it was replaced by now."""
        told = await self._looker.look(names)
        if told is not None and told.size == 0 and told.tag is not None:
            ask = Ask(
                method="DELETE", path=self._exchange.path_of(names), mutates=True,
                headers=lock.headers(self._exchange.url_of(names), told.tag), expect=frozenset({200, 204, 404, 412}),
            )  # fmt: skip
            if (await self._exchange.reply(ask)).status != CHANGED:
                return
        with suppress(RemoteError):
            await self._exchange.reply(self._unlock(names, lock))

    def _unlock(self, names: Names, lock: Lock) -> Ask:
        return Ask(
            method="UNLOCK",
            path=self._exchange.path_of(names),
            headers={"lock-token": f"<{lock.token}>"},
            mutates=True,
            expect=frozenset({200, 204}),
        )
