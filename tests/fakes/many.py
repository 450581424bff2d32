"""What a fake client asks of many items at once: batches of contents, and everything below a folder."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import trio

from cache.model import Anchor, Capability, Item, ItemId, Kind
from sync.batches import Descendants, Wanted
from sync.remote import RemoteError, Unreachable
from tests.fakes.client import FakeClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.fakes.faults import Fault


class ManyClient(FakeClient):
    """`batches` lists what was asked for in each."""

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
        """Breadth first, by path; a cursor is the last path told, so what moves between is missed or told twice."""

        def act() -> Descendants:
            anchor, after = (self.drive.newest(), []) if cursor is None else json.loads(cursor)
            found = [each for each in self._below(folder) if (len(each[0]), each[0]) > (len(after), after)]
            page = found[:limit]
            more = json.dumps([anchor, page[-1][0]]) if len(page) < len(found) else None
            return Descendants(
                items=[self.seen(item) for _, item in page], anchor=Anchor(anchor), cursor=more,
                unchanged=self.drive.newest() == anchor,
            )  # fmt: skip

        return await self.perform("descendants", act)

    def _below(self, folder: ItemId) -> list[tuple[list[str], Item]]:
        found: list[tuple[list[str], Item]] = []
        level: list[tuple[list[str], ItemId]] = [([], folder)]
        while level:
            items = [([*path, item.name], item) for path, each in level for item in self.drive.children(each)]
            found += items
            level = [(path, item.item_id) for path, item in items if item.kind is Kind.FOLDER]
        return found
