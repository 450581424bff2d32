"""A Nextcloud of its own for each test, and clients of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sync.remote import NewFile, Overwrite
from sync.remotes.nextcloud import NextcloudRemote
from tests.contract.homes import numbers
from tests.fakes.nextcloud import FakeNextcloud
from tests.fakes.nextcloud.server import PASSWORD
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from cache.model import Anchor, Item, ItemId
    from sync.remote import Tombstone
    from tests.fakes.nextcloud import Account


@dataclass
class Cloud:
    """A server, its account, and one client that has listed the root."""

    server: FakeNextcloud
    client: NextcloudRemote
    root: ItemId
    stack: AsyncExitStack
    state: Path

    @property
    def account(self) -> Account:
        return self.server.account

    def another(self, state: Path | None = None, *, chunk_bytes: int = 1000) -> NextcloudRemote:
        """One more client."""
        made = NextcloudRemote(self.server.http_url, "ada", PASSWORD, state=state, chunk_bytes=chunk_bytes)
        self.stack.push_async_callback(made.aclose)
        return made

    def key(self) -> str:
        return f"key-{next(numbers)}"

    async def put(self, name: str, data: bytes, *, parent: ItemId | None = None, mtime_s: int = 1_600_000_000) -> Item:
        target = NewFile(parent_id=parent or self.root, name=name)
        return await self.client.put(
            target, BytesSource(data), mtime_ns=mtime_s * 10**9 + 5, mode=0o640, key=self.key()
        )

    async def overwrite(self, item: Item, data: bytes, *, mtime_s: int = 1_600_000_000, key: str = "") -> Item:
        assert item.content_version is not None
        target = Overwrite(item_id=item.item_id, base=item.content_version)
        return await self.client.put(
            target, BytesSource(data), mtime_ns=mtime_s * 10**9, mode=0o640, key=key or self.key()
        )

    async def make_folder(self, name: str, *, parent: ItemId | None = None) -> Item:
        return await self.client.make_folder(parent or self.root, name, mode=0o755, mtime_ns=10**18, key=self.key())

    async def known(self, path: str) -> Item:
        """An item that the client has seen, by listing the folders above it."""
        folder = self.root
        item: Item | None = None
        for name in path.split("/"):
            listing = await self.client.children(folder)
            item = next(each for each in listing.items if each.name == name)
            folder = item.item_id
        assert item is not None
        return item

    async def news(self, anchor: Anchor) -> list[Item | Tombstone]:
        """Every change after `anchor`."""
        changes: list[Item | Tombstone] = []
        while True:
            page = await self.client.changes(anchor)
            changes += page.changes
            anchor = page.anchor
            if not page.has_more:
                return changes

    def asked(self, method: str = "") -> list[str]:
        """Requests since the last call."""
        told = [each for each in self.server.requests if each.startswith(method)]
        self.server.requests.clear()
        return told


@pytest.fixture
def server() -> Iterator[FakeNextcloud]:
    with FakeNextcloud() as fake:
        yield fake


@pytest.fixture
async def cloud(server: FakeNextcloud, tmp_path: Path) -> AsyncIterator[Cloud]:
    async with AsyncExitStack() as stack:
        client = NextcloudRemote(server.http_url, "ada", PASSWORD, state=tmp_path, chunk_bytes=1000)
        stack.push_async_callback(client.aclose)
        root = await client.root()
        await client.children(root.item_id)
        yield Cloud(server, client, root.item_id, stack, tmp_path)
