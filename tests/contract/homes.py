"""A place to work in, on any Remote."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from msgspec.structs import replace as with_

from sync.remote import NewFile, Overwrite, Remote, Tombstone
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from cache.model import Anchor, Item, ItemId

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


class Home:
    """A fresh folder on a drive, and two clients of that drive."""

    def __init__(self, remote: Remote, other: Remote, folder: ItemId) -> None:
        self.remote, self.other, self.folder = remote, other, folder

    def key(self) -> str:
        """A new idempotency key."""
        return f"key-{next(numbers)}"

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
