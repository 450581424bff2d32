"""Open downloads of exactly one content.

The ETag goes along as a condition, and size and checksum of the answer are compared besides: within a second the ETag
alone proves nothing. The range is what Content-Range says: the server answers `bytes=0-0` with everything.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from sync.remote import Busy, Conflict, Gone, ProtocolViolation, Reader, Refused, VersionGone
from sync.remotes.nextcloud.asks import if_match
from sync.remotes.nextcloud.entries import bare
from sync.remotes.nextcloud.rows import Entry, item_of
from sync.remotes.reading import ContentReader, bounds_of, content_ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cache.model import ItemId, Version
    from sync.remotes.answers import Answer
    from sync.remotes.asking import Ask
    from sync.remotes.nextcloud.places import Places

TRIES = 2  # a path is a guess; a look in between


@asynccontextmanager
async def reading(places: Places, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[Reader]:
    """Bytes [start, stop) of this version, or more of it; Gone, VersionGone."""
    entry = places.ledger.entry(item_id)
    if entry is None or entry.version != version:
        entry = _of(await places.need(item_id), version)
    async with AsyncExitStack() as stack:
        for _ in range(TRIES):
            ask = _ask(places, entry, start, stop)
            try:
                answer = await stack.enter_async_context(places.exchange.opened(ask))
            except (Gone, Conflict):  # moved, or other bytes
                entry = _of(await places.need(item_id), version)
                continue
            except Refused as error:
                if error.code != "416":
                    raise
                entry = _of(await places.need(item_id), version)
                raise Busy("the server has no such range of it") from None
            if not _is_of(answer, entry):
                entry = _of(await places.need(item_id), version)
                raise Busy("the content changed while it was asked for")
            bounds = bounds_of(answer, answer.headers.get("etag", ""), start, stop, exact=False)
            if bounds[2] != entry.size:
                raise ProtocolViolation("the content has another size than was told")
            yield ContentReader(answer, ask, bounds)
            return
    raise Busy("the file moves about")


def _ask(places: Places, entry: Entry, start: int, stop: int) -> Ask:
    path = places.path(places.ledger.path(entry.item_id) or "")
    stop = stop if entry.size else start  # of nothing no range can be told
    return content_ask(path, start, stop, headers=if_match(entry.etag), asked=entry.item_id)


def _is_of(answer: Answer, entry: Entry) -> bool:
    told: str = answer.headers.get("oc-checksum", "")
    if told and entry.checksum and told not in entry.checksum and entry.checksum not in told:
        return False
    return bare(answer.headers.get("oc-etag") or answer.headers.get("etag")) == entry.etag


def _of(entry: Entry, version: Version) -> Entry:
    if entry.version != version:
        raise VersionGone("the server keeps another content now", current=item_of(entry))
    return entry
