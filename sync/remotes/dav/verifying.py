"""What a content is, where its tag does not tell: it is read, and its digest taken.

A tag made of seconds cannot tell two writes within one apart. What bears a tag of just now is *unsettled*: once the
server's clock has passed on, a content whose bytes this machine holds is read again if it is small, and counts as
another one if it is large or differs. One whose bytes were never handed out needs no reading, nor does what was written
here where tags are finer than a second.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cache.model import Kind
from sync.remote import Busy, Conflict, Gone, Unreachable
from sync.remotes.answers import require_identity
from sync.remotes.asking import Ask, translated
from sync.remotes.dav.facts import opaque, same_content

if TYPE_CHECKING:
    from sync.remotes.dav.facts import Entry, Facts
    from sync.remotes.dav.looking import Names
    from sync.remotes.dav.server import Server

READ_AGAIN_MAX_BYTES = 16 << 20
LEARN_MAX_BYTES = 256 << 20
DUE_MAX = 100  # of one round


class Verifier:
    """Reads contents of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def digest(self, names: Names, told: Facts) -> str | None:
        """SHA-256 of what stands there, if that bears the tag that was told."""
        ask = Ask(method="GET", path=self._server.exchange.path_of(names), headers={"accept": "*/*"})
        found, size = hashlib.sha256(), 0
        async with self._server.exchange.opened(ask) as answer:
            require_identity(answer)
            tag = answer.headers.get("etag")
            with translated(ask):
                async for chunk in answer:
                    found.update(chunk)
                    size += len(chunk)
        if size != told.size or (tag is not None and opaque(tag) != opaque(told.tag)):
            return None
        return f"sha-256:{found.hexdigest()}"

    async def learn(self, entry: Entry, names: Names) -> Entry:
        """With its digest, if that can be had."""
        if entry.size > LEARN_MAX_BYTES:
            return entry
        told = await self._server.looker.look(names)
        if told is None or told.kind is not Kind.FILE:
            return entry
        digest = await self.digest(names, told)
        now = self._server.mirror.refresh(self._server.known(entry.item_id), told)
        if digest is None or now.digest == digest or not same_content(now, told):
            return now
        return self._server.mirror.change(now, digest=digest)

    def is_our_own(self, entry: Entry) -> bool:
        """Whether it was written here, on a server whose tags are finer than a second: another content would have to be
        of its size, and written in the same tick of the clock as ours, and yet after it."""
        return self._server.habits.fine_tags and entry.handed_out and entry.digest is not None

    async def settled(self, entry: Entry, names: Names) -> Entry:
        """The same once its tag proves it; Busy while it does not, Gone, Conflict."""
        told = await self._server.looker.look(names)
        if told is None:
            raise Gone("it is not there")
        if told.kind is not Kind.FILE:
            raise Conflict("no file", current=entry.item, code="is_a_folder")
        now = self._server.mirror.refresh(self._server.known(entry.item_id), told)
        if now.settles_s is None:
            return now
        left_s = now.settles_s - self._server.exchange.server_s
        if left_s >= 0:
            raise Busy("it was written a moment ago", retry_after_s=min(max(left_s, 0.2), 3.0))
        return await self._settle(now, names, told)

    async def _settle(self, entry: Entry, names: Names, told: Facts) -> Entry:
        mirror = self._server.mirror
        if not entry.handed_out or self.is_our_own(entry):
            return mirror.note(entry, settles_s=None)
        digest = None
        if entry.digest is not None and entry.size <= READ_AGAIN_MAX_BYTES:
            digest = await self.digest(names, told)
        now = self._server.known(entry.item_id)
        if now.content != entry.content:
            return now
        if digest is not None and digest == entry.digest:
            return mirror.note(now, settles_s=None)
        number = mirror.next()
        return mirror.change(now, settles_s=None, content=number, digest=digest, handed_out=False)

    async def settle_due(self) -> None:
        """Everything whose time has come."""
        now_s = self._server.exchange.server_s
        for entry in self._server.mirror.entries(f"gone = 0 AND settles_s < ? LIMIT {DUE_MAX}", now_s):
            names = self._server.mirror.names(entry.item_id)
            if names is not None:
                try:
                    await self.settled(entry, names)
                except (Busy, Gone, Conflict, Unreachable):
                    continue  # the next round, or a listing, tells
