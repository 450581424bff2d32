"""Open downloads: bytes of exactly the asked version, or none.

An answer of another tag is another content, whatever was asked for; a range is believed by its Content-Range, which may
be more than was asked for.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sync.remote import Gone, ProtocolViolation, VersionGone
from sync.remotes.dav.facts import opaque
from sync.remotes.reading import ContentReader, bounds_of, content_ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cache.model import ItemId, Version
    from sync.remote import Reader
    from sync.remotes.dav.facts import Entry
    from sync.remotes.dav.server import Server


@asynccontextmanager
async def downloaded(server: Server, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[Reader]:
    """Open bytes [start, stop), an empty range for all; Gone, VersionGone."""
    entry = server.known(item_id)
    if entry.content_version != version:
        raise VersionGone("it has another content now", current=entry.item)
    ask = content_ask(server.exchange.path_of(server.names(entry)), start, stop)
    async with server.exchange.opened(ask) as answer:
        tag = answer.headers.get("etag")
        if tag is not None and opaque(tag) != opaque(entry.tag):
            raise await _changed(server, entry)
        bounds = bounds_of(answer, tag, start, stop, exact=False)
        if bounds[2] != entry.size:
            raise await _changed(server, entry)
        now = server.known(item_id)
        if now.content_version != version:
            raise VersionGone("it changed", current=now.item)
        if not now.handed_out:
            server.mirror.note(now, handed_out=True)
        yield ContentReader(answer, ask, bounds)


async def _changed(server: Server, entry: Entry) -> VersionGone | Gone | ProtocolViolation:
    """Whatever came in place of what was asked for is news."""
    now = await server.seen(entry)
    if now is None:
        return Gone("it is not there")
    if now.content_version == entry.content_version:
        return ProtocolViolation("the bytes bear another tag than the file")
    return VersionGone("it changed", current=now.item)
