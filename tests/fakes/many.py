"""What a fake client asks of many items at once: batches of contents, and everything below a folder."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from cache.model import Anchor, Capability, Item, ItemId, Kind
from sync.batches import Descendants, Feature, Wanted
from sync.remote import Busy, RemoteError, Unreachable
from tests.fakes.client import FakeClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.fakes.faults import Fault


class ManyClient(FakeClient):
    """`features` may be taken away; `batches` lists what was asked for in each."""

    features: frozenset[Feature] = frozenset(Feature)

    @contextlib.asynccontextmanager
    async def read_many(self, wanted: Sequence[Wanted]) -> AsyncIterator[AsyncIterator[bytes | RemoteError]]:
        """Each content as it is when its turn comes; a `cut_after_bytes` ends all."""
        self.batches.append([each.item_id for each in wanted])
        fault = await self.arrive("read_many")
        self.need(Capability.READ)
        await self.apply(fault, lambda: None)
        async with contextlib.aclosing(self._parts(wanted, fault)) as parts:
            yield parts

    async def _parts(self, wanted: Sequence[Wanted], fault: Fault) -> AsyncIterator[bytes | RemoteError]:
        sent_bytes = 0
        for each in wanted:
            await trio.lowlevel.checkpoint()
            if fault.piece_gate is not None:
                await fault.piece_gate.wait()
            if fault.cut_after_bytes is not None and sent_bytes >= fault.cut_after_bytes:
                raise Unreachable("the batch was cut")
            try:
                part: bytes | RemoteError = self.drive.content(each.item_id, each.version)
            except RemoteError as error:
                part = error
            else:
                sent_bytes += each.size
            yield part

    async def descendants(self, folder: ItemId, limit: int, cursor: str | None = None) -> Descendants:
        """Breadth first, all of it of this moment; a cursor is how many were told, under its anchor."""

        def act() -> Descendants:
            found = [self.seen(item) for item in self._below(folder)]
            anchor, _, start = (cursor or f"{self.drive.newest()}/0").partition("/")
            if cursor is not None and anchor != self.drive.newest():
                raise Busy("the walk was overtaken")
            stop = int(start) + limit
            more = f"{anchor}/{stop}" if stop < len(found) else None
            return Descendants(items=found[int(start) : stop], anchor=Anchor(anchor), cursor=more)

        return await self.perform("descendants", act)

    def _below(self, folder: ItemId) -> list[Item]:
        found: list[Item] = []
        level = [folder]
        while level:
            items = [item for each in level for item in self.drive.children(each)]
            found += items
            level = [item.item_id for item in items if item.kind is Kind.FOLDER]
        return found
