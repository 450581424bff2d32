"""Keeps the cache under its size and the disk above its floor: least recently used first, only what can be had again.

Dirty content is out of reach by the query itself; open content by the registry, looked at on the trio thread in the
same step that marks the victim, so nothing can be opened in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache import contents
from cache.errors import NotPermitted
from cache.evict import Candidate, victims
from cache.model import ContentId, Ino, NodeChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cache.store import LocalStore
    from sync.applying import Applier

INTERVAL_S = 2.0
SLACK = 0.95  # evict a little further than the limit, so that it does not run for every file
FLOOR_BYTES = 256 << 20  # room left for everybody else on that disk


class Evictor:
    """Evicts until the cache fits; `run` must be running."""

    def __init__(self, store: LocalStore, applier: Applier, limit_bytes: int) -> None:
        self._store = store
        self._applier = applier
        self.limit_bytes = limit_bytes

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.make_room()
            await trio.sleep(INTERVAL_S)

    async def make_room(self) -> int:
        """Evict what is over the limit; returns the bytes given back."""
        held = contents.held_bytes(self._store.db.reader) + self._growing()
        excess = held - self.limit_bytes
        if excess > 0:
            excess = held - int(self.limit_bytes * SLACK)
        excess = max(excess, FLOOR_BYTES - self._store.blobs.free_bytes())
        if excess <= 0:
            return 0
        await self._store.save()
        owners: dict[ContentId, tuple[Ino, int]] = {}
        chosen = victims(self._candidates(owners), excess)
        await self._drop({content_id: owners[content_id] for content_id in chosen})
        return sum(owners[content_id][1] for content_id in chosen)

    async def evict(self, ino: Ino) -> int:
        """Make one file a placeholder again; raises NotPermitted while it is open or not pushed."""
        await self._store.save()
        for content_id, owner, held in contents.of_node(self._store.db.reader, ino):
            if self._store.opened.get(content_id) is not None:
                raise NotPermitted("the file is open", ino=ino)
            content = contents.get(self._store.db.reader, content_id)
            if content is not None and content.dirty:
                raise NotPermitted("the file has changes that are not on the server yet", ino=ino)
            await self._drop({content_id: (owner, held)})
            return held
        return 0

    def room_bytes(self) -> int:
        """How much more fits before anything is evicted."""
        held = contents.held_bytes(self._store.db.reader) + self._growing()
        return min(int(self.limit_bytes * SLACK) - held, self._store.blobs.free_bytes() - FLOOR_BYTES)

    def _growing(self) -> int:
        """Bytes of open contents that the catalog was not told of yet, at most."""
        return sum(opened.size for opened in self._store.opened if opened.unsaved and not opened.dirty)

    def _candidates(self, owners: dict[ContentId, tuple[Ino, int]]) -> Iterator[Candidate]:
        for content_id, ino, held in contents.least_recently_used(self._store.db.reader):
            if self._store.opened.get(content_id) is None:
                owners[content_id] = (ino, held)
                yield Candidate(content_id=content_id, disk_bytes=held, last_use_s=0)

    async def _drop(self, chosen: dict[ContentId, tuple[Ino, int]]) -> None:
        """The nodes let go of the contents first; the janitor deletes what nobody opened meanwhile."""
        if not chosen:
            return
        loose = await self._store.db.write(lambda connection: contents.detach_clean(connection, list(chosen)))
        self._store.tidy(loose)
        await self._store.save()
        await self._applier.tell(*[NodeChanged(chosen[content_id][0]) for content_id in loose])
