"""Uploads in pieces: begun, sent from wherever the remote stands, and committed under a name. A part of `Remote`.

The bytes come first, and what becomes of them is said last: a file that is renamed, or meets a conflict, while its
bytes travel is committed elsewhere without one of them sent again. A session outlives both sides; whoever knows its id
goes on. Each request needs `Feature.SESSIONS`, those about deltas (`sync.delta`) `Feature.DELTAS` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cache.model import Item, ItemId, Version
    from sync.remote import NewFile, Overwrite

UploadId = NewType("UploadId", str)
"""The remote's name of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The content that a delta is told over."""

    item_id: ItemId
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a session is to bring: `stream_bytes` of them travel, and a content of `size` and `digest` comes out."""

    size: int
    digest: str  # "sha-256:<hex>"
    stream_bytes: int
    over: Over | None = None  # None: the content itself travels


class Stream(Protocol):
    """Bytes to send, re-readable from any offset."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def chunks(self, start: int) -> AsyncIterator[bytes]:
        """Bytes from `start` to the end, in pieces of at most 1 MiB."""
        ...


class Sessions(Protocol):
    """The requests. Raises RemoteError, UploadGone for a session that ended, and what a stream raises."""

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:
        """A new session; the same one under the same key. VersionGone, Gone: the delta's base is not to be had."""
        ...

    async def uploaded(self, upload_id: UploadId) -> int:
        """How many bytes are durable there. Ends a request of this session that still sends."""
        ...

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """Send `stream` from `start`, where the session must stand; how many bytes are durable then.

        Unknown: some of it may have arrived; `uploaded` tells.
        """
        ...

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
        """Store the content atomically. Conflict with what stands there: the session is kept for another target.

        Conflict `upload_committed` when the session is an item already. For a delta also VersionGone, BadDigest and
        Refused: it cannot become that content.
        """
        ...

    async def abandon(self, upload_id: UploadId) -> None:
        """End a session, if it is still there; what it committed stays."""
        ...

    async def blocks(self, item_id: ItemId, version: Version, size: int, block_bytes: int) -> list[bytes]:
        """SHA-256 of each block of a version of `size` bytes, the last one perhaps shorter; Gone, VersionGone."""
        ...
