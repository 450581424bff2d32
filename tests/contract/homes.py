"""A place to work in, on any Remote."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from msgspec.structs import replace as with_

from cache.model import Item
from sync.remote import NewFile, Overwrite, Remote, Tombstone
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from cache.model import Anchor, ItemId

numbers = itertools.count(1)


MTIME_NS = 1_600_000_000_123_456_789


def facts(item: Item) -> Item:
    """What every answer about one state must agree on."""
    return with_(item, capabilities=frozenset())


async def content(remote: Remote, item: Item, start: int = 0, stop: int | None = None) -> bytes:
    assert item.content_version is not None
    async with remote.read(item.item_id, item.content_version, start, item.size if stop is None else stop) as reader:
        data = b"".join([piece async for piece in reader])
        assert len(data) == reader.stop - reader.start
        return data


async def elsewhere(remote: Remote, folder: Item) -> ItemId:
    """The id of a folder of the root, as another client knows it."""
    if remote.capabilities.native_ids:
        return folder.item_id
    root = await remote.root()
    return next(each.item_id for each in (await remote.children(root.item_id)).items if each.name == folder.name)


class Home:
    """A fresh folder on a drive, and two clients of that drive; `there`: the folder's id as the other one knows it."""

    def __init__(self, remote: Remote, other: Remote, folder: ItemId, there: ItemId, prefix: str = "") -> None:
        self.remote, self.other, self.folder, self.there = remote, other, folder, there
        self._prefix = prefix  # keys of this run: a server may remember those of others

    async def seen(self, item: Item) -> Item:
        """What the other client has by that name in the same folder, `folder` or one in it."""
        if self.remote.capabilities.native_ids:
            found = (await self.other.get_many([item.item_id]))[item.item_id]
        else:
            parent = self.there
            if item.parent_id != self.folder:
                above = (await self.remote.get_many([item.parent_id]))[item.parent_id]  # type: ignore[list-item, index]
                assert isinstance(above, Item)
                parent = (await self.seen(above)).item_id
            found = next(each for each in (await self.other.children(parent)).items if each.name == item.name)
        assert isinstance(found, Item)
        return found

    def key(self) -> str:
        """A new idempotency key."""
        return f"{self._prefix}key-{next(numbers)}"

    async def put(
        self,
        name: str,
        data: bytes,
        *,
        parent: ItemId | None = None,
        mode: int = 0o644,
        mtime_ns: int = 10**18,
        key: str | None = None,
        remote: Remote | None = None,
    ) -> Item:
        """A new file."""
        target = NewFile(parent_id=parent or self.folder, name=name)
        source = BytesSource(data)
        return await (remote or self.remote).put(target, source, mtime_ns=mtime_ns, mode=mode, key=key or self.key())

    async def overwrite(self, item: Item, data: bytes, *, key: str | None = None) -> Item:
        """New content over the state that `item` tells."""
        assert item.content_version is not None
        return await self.remote.put(
            Overwrite(item_id=item.item_id, base=item.content_version),
            BytesSource(data),
            mtime_ns=10**18,
            mode=0o644,
            key=key or self.key(),
        )

    async def make_folder(
        self,
        name: str,
        *,
        parent: ItemId | None = None,
        mode: int = 0o755,
        mtime_ns: int = 10**18,
        key: str | None = None,
    ) -> Item:
        """A new folder."""
        return await self.remote.make_folder(
            parent or self.folder, name, mode=mode, mtime_ns=mtime_ns, key=key or self.key()
        )

    async def news(self, anchor: Anchor) -> list[Item | Tombstone]:
        """Every change after `anchor`."""
        changes: list[Item | Tombstone] = []
        while True:
            page = await self.remote.changes(anchor)
            changes += page.changes
            anchor = page.anchor
            if not page.has_more:
                return changes
