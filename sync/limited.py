"""A Remote with bounds: how many requests at once, and how many bytes per second.

Transfers (`read`, `put`) and metadata have separate limits, so that a listing never waits behind a film. A
transfer holds its slot until it is closed. Batches, which are fetched ahead of need, have slots of their own: nobody
who waits for bytes waits behind them. `hints` holds none: it lives as long as the mount. Rates are
token buckets on trio's clock, one for each direction, shared by all transfers.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from sync.closing import closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from cache.model import Anchor, Item, ItemId, Version
    from sync.batches import Descendants, Feature, Wanted
    from sync.remote import (
        ChangePage,
        Listing,
        NewFile,
        Overwrite,
        Reader,
        Remote,
        RemoteError,
        Replaced,
        Source,
        Space,
        Tombstone,
    )


class Bucket:
    """A token bucket of `bytes_per_s`; None: no limit; `burst_s` worth of it passes at once."""

    def __init__(self, bytes_per_s: float | None, *, burst_s: float = 0.25) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_s
        self._paid_until = -float("inf")  # trio time at which all bytes taken so far are paid for

    async def take(self, count_bytes: int) -> None:
        """Wait until `count_bytes` may pass; who comes later waits behind."""
        if self._bytes_per_s is None:
            return
        now = trio.current_time()
        # Read, changed and written without an await between: takers queue up by the time they are given here.
        self._paid_until = max(self._paid_until, now - self._burst_s) + count_bytes / self._bytes_per_s
        await trio.sleep_until(max(self._paid_until, now))


class _LimitedReader:
    """A reader whose bytes pass the bucket; waiting here is what slows the sender down."""

    def __init__(self, reader: Reader, bucket: Bucket) -> None:
        self.start, self.stop, self.total = reader.start, reader.stop, reader.total
        self._chunks = aiter(reader)
        self._bucket = bucket

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        await self._bucket.take(len(chunk))
        return chunk


class _Paced:
    """Contents of a batch that pass the bucket."""

    def __init__(self, parts: AsyncIterator[bytes | RemoteError], bucket: Bucket) -> None:
        self._parts = parts
        self._bucket = bucket

    def __aiter__(self) -> AsyncIterator[bytes | RemoteError]:
        return self

    async def __anext__(self) -> bytes | RemoteError:
        part = await anext(self._parts)
        if isinstance(part, bytes):
            await self._bucket.take(len(part))
        return part


class _LimitedSource:
    """A source whose bytes pass the bucket."""

    def __init__(self, source: Source, bucket: Bucket) -> None:
        self.size, self.digest = source.size, source.digest
        self._source = source
        self._bucket = bucket

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """As the source."""
        async with closing(self._source.chunks(start)) as chunks:
            async for chunk in chunks:
                await self._bucket.take(len(chunk))
                yield chunk


class Limited:
    """See the module. `up` and `down` are bytes per second, None for no limit."""

    def __init__(
        self,
        remote: Remote,
        *,
        transfers: int = 8,
        metadata: int = 16,
        batches: int = 4,
        up_bytes_per_s: float | None = None,
        down_bytes_per_s: float | None = None,
    ) -> None:
        self._remote = remote
        self._transfers = trio.Semaphore(transfers)
        self._metadata = trio.Semaphore(metadata)
        self._batches = trio.Semaphore(batches)
        self._up = Bucket(up_bytes_per_s)
        self._down = Bucket(down_bytes_per_s)

    @property
    def features(self) -> frozenset[Feature]:
        """As the remote."""
        return self._remote.features

    async def root(self) -> Item:
        """As the remote."""
        async with self._metadata:
            return await self._remote.root()

    async def newest_anchor(self) -> Anchor:
        """As the remote."""
        async with self._metadata:
            return await self._remote.newest_anchor()

    async def changes(self, anchor: Anchor) -> ChangePage:
        """As the remote."""
        async with self._metadata:
            return await self._remote.changes(anchor)

    def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """As the remote, without a slot."""
        return self._remote.hints(anchor)

    async def children(self, folder: ItemId) -> Listing:
        """As the remote."""
        async with self._metadata:
            return await self._remote.children(folder)

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """As the remote."""
        async with self._metadata:
            return await self._remote.get_many(item_ids)

    @contextlib.asynccontextmanager
    async def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[Reader]:
        """As the remote, paced; the slot is held until the download is closed."""
        async with self._transfers, self._remote.read(item_id, version, start, stop) as reader:
            yield _LimitedReader(reader, self._down)

    @contextlib.asynccontextmanager
    async def read_many(self, wanted: Sequence[Wanted]) -> AsyncIterator[AsyncIterator[bytes | RemoteError]]:
        """As the remote, paced; the slot is held until the batch is closed."""
        async with self._batches, self._remote.read_many(wanted) as parts:
            yield _Paced(parts, self._down)

    async def descendants(self, folder: ItemId, limit: int, cursor: str | None = None) -> Descendants:
        """As the remote."""
        async with self._metadata:
            return await self._remote.descendants(folder, limit, cursor)

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """As the remote, paced."""
        async with self._transfers:
            paced = _LimitedSource(source, self._up)
            return await self._remote.put(target, paced, mtime_ns=mtime_ns, mode=mode, key=key)

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """As the remote."""
        async with self._metadata:
            return await self._remote.make_folder(parent_id, name, mode=mode, mtime_ns=mtime_ns, key=key)

    async def make_symlink(self, parent_id: ItemId, name: str, *, target: str, mtime_ns: int, key: str) -> Item:
        """As the remote."""
        async with self._metadata:
            return await self._remote.make_symlink(parent_id, name, target=target, mtime_ns=mtime_ns, key=key)

    async def move(
        self,
        item_id: ItemId,
        base: Version,
        parent_id: ItemId,
        name: str,
        *,
        replace: Replaced | None,
        key: str,
    ) -> Item:
        """As the remote."""
        async with self._metadata:
            return await self._remote.move(item_id, base, parent_id, name, replace=replace, key=key)

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """As the remote."""
        async with self._metadata:
            return await self._remote.set_attributes(item_id, base, mode=mode, mtime_ns=mtime_ns, key=key)

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """As the remote."""
        async with self._metadata:
            await self._remote.remove(item_id, base, key=key)

    async def space(self) -> Space:
        """As the remote."""
        async with self._metadata:
            return await self._remote.space()

    async def aclose(self) -> None:
        """As the remote."""
        await self._remote.aclose()
