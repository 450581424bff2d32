"""The bytes of one upload: they stay what they were when their digest was taken, or the remote refuses them.

A file that somebody may be writing is copied first (sharing its blocks where the file system can), so a torn mixture
of two states is never sent. A file that nobody writes is read in place; should a writer come, the announced digest no
longer fits and the remote stores nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache.digest import digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cache.blobs import Blobs
    from cache.opened import OpenContent

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadSource:
    """A `sync.remote.Source` over a descriptor; `writes` tells which state of the content it is."""

    fd: int
    size: int
    digest: str
    writes: int
    mtime_ns: int

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """Bytes from `start` to the announced size; a file that shrank meanwhile ends early, and is refused."""
        position = start
        while position < self.size:
            chunk = await trio.to_thread.run_sync(os.pread, self.fd, min(CHUNK_BYTES, self.size - position), position)
            if not chunk:
                return
            position += len(chunk)
            yield chunk


class Snapshots:
    """Makes upload sources of open contents."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def take(self, opened: OpenContent) -> tuple[UploadSource, bool]:
        """The content as it is at one moment, and whether its descriptor is the caller's to close."""
        if opened.writers == 0:
            return await self._measure(opened.fd, opened), False
        async with opened.edit:  # writers wait: copying is one moment
            fd = await trio.to_thread.run_sync(self._blobs.snapshot, opened.content_id)
            writes = opened.writes
        try:
            source = await self._measure(fd, opened)
        except BaseException:
            os.close(fd)
            raise
        return UploadSource(fd, source.size, source.digest, writes, opened.stat().st_mtime_ns), True

    async def _measure(self, fd: int, opened: OpenContent) -> UploadSource:
        writes, mtime_ns = opened.writes, opened.stat().st_mtime_ns
        size, digest = await digest_of(fd)
        return UploadSource(fd, size, digest, writes, mtime_ns)
