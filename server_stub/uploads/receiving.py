"""Taking in the body of one request: pieces to the file, and now and then a durable offset.

A body under a checksum is not told before it was verified as a whole; any other keeps what arrived, also
when it is cut.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub import failpoints
from server_stub.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from server_stub.uploads.bay import Appending
    from server_stub.uploads.headers import Checksum
    from server_stub.uploads.values import Upload

PIECE_BYTES: Final = 1 << 20
CHECKPOINT_BYTES: Final = 16 << 20  # what a crash of the server makes a client send again, at most
CHECKPOINT_S: Final = 2.0


class Receiving:
    """One body on its way into one upload; `upload` is as its row stands."""

    def __init__(
        self,
        upload: Upload,
        appending: Appending,
        *,
        limit_bytes: int,
        checksum: Checksum | None,
        record: Callable[[Upload], Awaitable[Upload]],
    ) -> None:
        self.upload = upload
        self._appending = appending
        self._limit_bytes = limit_bytes
        self._checksum = checksum
        self._record = record
        self._held = bytearray()
        self._recorded_s = time.monotonic()

    @property
    def is_whole(self) -> bool:
        """Whether the upload's last byte has arrived and may count."""
        agrees = self._checksum is None or self._checksum.agrees()
        return agrees and self._appending.size == self.upload.length

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """The whole body. Problem too_large, upload_checksum_mismatch: what is not told yet does not count then."""
        async for chunk in chunks:
            self._held += chunk
            if self._appending.size + len(self._held) > self._limit_bytes:
                self._held.clear()
                raise Problem("too_large", "more bytes than the upload's length", headers={"connection": "close"})
            if self._checksum is not None:
                self._checksum.update(chunk)
            if len(self._held) >= PIECE_BYTES:
                await self._flush()
            if self._is_due():
                await self.keep()
        await self._flush()
        if self._checksum is not None and not self._checksum.agrees():
            raise Problem("upload_checksum_mismatch", "the bytes that arrived are not the bytes announced")

    def _is_due(self) -> bool:
        behind = self._appending.size + len(self._held) - self.upload.offset
        if self._checksum is not None or behind + self.upload.offset == self.upload.length:
            return False
        return behind >= CHECKPOINT_BYTES or (behind > 0 and time.monotonic() - self._recorded_s >= CHECKPOINT_S)

    async def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            await asyncio.to_thread(self._appending.write, held)
            failpoints.reach("upload-written")

    async def keep(self) -> None:
        """Make what arrived durable and tell it in the row. The last byte is never told here: whoever commits
        the upload tells it.
        """
        await self._flush()
        if self._checksum is not None and not self._checksum.agrees():
            return
        await asyncio.to_thread(self._appending.sync)
        failpoints.reach("upload-synced")
        size = self._appending.size
        if size != self.upload.length:
            self.upload = await self._record(msgspec.structs.replace(self.upload, offset=size))
            failpoints.reach("upload-recorded")
        self._recorded_s = time.monotonic()
