"""A Remote with bounds: how many requests at once, and how many bytes per second.

Downloads, uploads and metadata have separate limits, so that a listing never waits behind a film, nor a film one
way behind one the other way. A download holds its slot until it is closed. Batches, which are fetched ahead of need,
have slots of their own: nobody who waits for bytes waits behind them. `hints` holds none: it lives as long as the
mount. Rates are token buckets on trio's clock, one for each direction, shared by all transfers; what is sent passes in
slices, so that a slow rate is slow bytes and not long silences, and small files get their turn between a large one's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from sync.closing import closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from cache.model import Anchor, Item, ItemId, Version, XattrChanges
    from sync.batches import Descendants, Wanted
    from sync.capabilities import Capabilities
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
    from sync.sessions import Announced, Stream, UploadId

SLICE_MIN_BYTES = 4 << 10


class Bucket:
    """A token bucket of `bytes_per_s`; None: no limit; `burst_s` worth of it passes at once."""

    def __init__(self, bytes_per_s: float | None, *, burst_s: float = 0.25) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_s
        self._paid_until = -float("inf")  # trio time at which all bytes taken so far are paid for

    def slices(self, chunk: bytes) -> list[bytes]:
        """Parts of `chunk` that are worth about `burst_s` each."""
        if self._bytes_per_s is None:
            return [chunk]
        step = max(int(self._bytes_per_s * self._burst_s), SLICE_MIN_BYTES)
        return [chunk[at : at + step] for at in range(0, len(chunk), step)]

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


class _LimitedStream:
    """A stream whose bytes pass the bucket."""

    def __init__(self, stream: Stream, bucket: Bucket) -> None:
        self.size = stream.size
        self._stream = stream
        self._bucket = bucket

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """As the stream, in slices."""
        async with closing(self._stream.chunks(start)) as chunks:
            async for chunk in chunks:
                for part in self._bucket.slices(chunk):
                    await self._bucket.take(len(part))
                    yield part


class _LimitedSource(_LimitedStream):
    """A source whose bytes pass the bucket."""

    def __init__(self, source: Source, bucket: Bucket) -> None:
        super().__init__(source, bucket)
        self.digest = source.digest


class Limited:
    """See the module. `up` and `down` are bytes per second, None for no limit."""

    def __init__(
        self,
        remote: Remote,
        *,
        transfers: int = 32,  # more than background streams use: the others are for who waits
        uploads: int = 8,
        metadata: int = 16,
        batches: int = 4,
        up_bytes_per_s: float | None = None,
        down_bytes_per_s: float | None = None,
    ) -> None:
        self._remote = remote
        self._transfers = trio.Semaphore(transfers)
        self._uploads = trio.Semaphore(uploads)
        self._metadata = trio.Semaphore(metadata)
        self._batches = trio.Semaphore(batches)
        self._up = Bucket(up_bytes_per_s)
        self._down = Bucket(down_bytes_per_s)

    @property
    def capabilities(self) -> Capabilities:
        """As the remote."""
        return self._remote.capabilities

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
        async with self._uploads:
            paced = _LimitedSource(source, self._up)
            return await self._remote.put(target, paced, mtime_ns=mtime_ns, mode=mode, key=key)

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:
        """As the remote."""
        async with self._metadata:
            return await self._remote.begin_upload(announced, key=key)

    async def uploaded(self, upload_id: UploadId) -> int:
        """As the remote."""
        async with self._metadata:
            return await self._remote.uploaded(upload_id)

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """As the remote, paced."""
        async with self._uploads:
            return await self._remote.append(upload_id, _LimitedStream(stream, self._up), start)

    async def commit(
        self,
        upload_id: UploadId,
        announced: Announced,
        target: NewFile | Overwrite,
        *,
        mtime_ns: int,
        mode: int,
        key: str,
    ) -> Item:
        """As the remote."""
        async with self._uploads:
            return await self._remote.commit(upload_id, announced, target, mtime_ns=mtime_ns, mode=mode, key=key)

    async def abandon(self, upload_id: UploadId) -> None:
        """As the remote."""
        async with self._metadata:
            await self._remote.abandon(upload_id)

    async def blocks(self, item_id: ItemId, version: Version, size: int, block_bytes: int) -> list[bytes]:
        """As the remote."""
        async with self._uploads:
            return await self._remote.blocks(item_id, version, size, block_bytes)

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

    async def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges, *, key: str) -> Item:
        """As the remote."""
        async with self._metadata:
            return await self._remote.set_xattrs(item_id, base, changes, key=key)

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
