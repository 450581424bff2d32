"""The bytes of one upload: they stay what they were when their digest was taken, or the remote refuses them.

A file that somebody may be writing is copied first (sharing its blocks where the file system can), so a torn mixture
of two states is never sent. A file that nobody writes is read in place; should a writer come, the sending ends, and
the announced digest no longer fits.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache.digest import SLICE_BYTES, digest_of
from cache.failpoints import reached
from sync.closing import closing
from sync.delta import Base, Piece, Recipe, comparing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from cache.blobs import Blobs
    from cache.opened import OpenContent
    from sync.sessions import Stream

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadSource:
    """A `sync.remote.Source` over a descriptor; `writes` tells which state of the content it is."""

    fd: int
    size: int
    digest: str
    writes: int
    mtime_ns: int
    copied: bool  # out of every writer's reach

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """Bytes from `start` to the announced size; a file that shrank meanwhile ends early, and is refused."""
        async with closing(_read(self.fd, start, self.size)) as chunks:
            async for chunk in chunks:
                yield chunk


@dataclass(frozen=True, slots=True)
class DeltaStream:
    """A delta whose literal bytes are those of a content."""

    fd: int
    recipe: Recipe

    @property
    def size(self) -> int:
        """Bytes that travel."""
        return self.recipe.size

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """The stream from `start`; what is small goes together."""
        held = bytearray()
        for part in self.recipe.parts(start):
            if not isinstance(part, Piece):
                held += part
                continue
            async with closing(_read(self.fd, part.offset, part.offset + part.length)) as chunks:
                async for chunk in chunks:
                    held += chunk
                    if len(held) >= CHUNK_BYTES // 2:
                        yield bytes(held)
                        held.clear()
        if held:
            yield bytes(held)


async def _read(fd: int, start: int, stop: int) -> AsyncIterator[bytes]:
    while start < stop:
        chunk = await trio.to_thread.run_sync(os.pread, fd, min(CHUNK_BYTES, stop - start), start)
        if not chunk:
            return
        start += len(chunk)
        yield chunk


async def recipe_of(source: UploadSource, base: Base) -> Recipe:
    """What of a content has to travel when the remote holds `base`; about a second per GiB."""

    def digest_of_part(start: int, stop: int) -> bytes:
        digest = hashlib.sha256()
        while start < stop and (chunk := os.pread(source.fd, min(CHUNK_BYTES, stop - start), start)):
            digest.update(chunk)
            start += len(chunk)
        return digest.digest()

    work = comparing(source.size, base, digest_of_part)

    def some() -> list[Piece] | None:
        try:
            for _ in range(max(SLICE_BYTES // base.block_bytes, 1)):
                next(work)
        except StopIteration as done:
            pieces: list[Piece] = done.value
            return pieces
        return None

    while (pieces := await trio.to_thread.run_sync(some)) is None:
        continue  # between two slices it can be given up
    return Recipe(pieces)


@dataclass(slots=True)
class Progress:
    """How far an upload is, in bytes that travel."""

    sent_bytes: int
    total_bytes: int


class Watched:
    """A stream that counts what was sent, and asks before each chunk whether it is still to be."""

    def __init__(self, stream: Stream, check: Callable[[], None], progress: Progress) -> None:
        self.size = stream.size
        self.travelled_bytes = 0
        self._stream = stream
        self._check = check
        self._progress = progress

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """As the stream; raises what the check raises."""
        self._progress.sent_bytes, self._progress.total_bytes = start, self.size
        async with closing(self._stream.chunks(start)) as chunks:
            async for chunk in chunks:
                self._check()
                reached("upload-chunk")
                yield chunk
                self.travelled_bytes += len(chunk)
                self._progress.sent_bytes += len(chunk)


class WatchedSource(Watched):
    """The same of a whole content."""

    def __init__(self, source: UploadSource, check: Callable[[], None], progress: Progress) -> None:
        super().__init__(source, check, progress)
        self.digest = source.digest


class Snapshots:
    """Makes upload sources of open contents."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    @asynccontextmanager
    async def taken(self, opened: OpenContent, *, copied: bool = False) -> AsyncIterator[UploadSource]:
        """The content as it is at one moment; `copied`: also when nobody has it open for writing now, if there is room.

        Where blocks cannot be shared a copy takes as much room as the file: not the last of it.
        """
        if opened.writers == 0 and not (copied and self._blobs.free_bytes() > 2 * opened.size):
            writes, mtime_ns = opened.writes, opened.stat().st_mtime_ns
            size, digest = await digest_of(opened.fd)
            yield UploadSource(opened.fd, size, digest, writes, mtime_ns, copied=False)
            return
        async with opened.edit:  # writers wait: copying is one moment
            fd = await trio.to_thread.run_sync(self._blobs.snapshot, opened.content_id)
            writes, mtime_ns = opened.writes, opened.stat().st_mtime_ns
        try:
            size, digest = await digest_of(fd)
            yield UploadSource(fd, size, digest, writes, mtime_ns, copied=True)
        finally:
            os.close(fd)
