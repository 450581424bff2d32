"""Things to upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.fakes.state import digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class BytesSource:
    """A Source over bytes; `size` and `digest` may be told wrongly, to see who notices."""

    def __init__(
        self, data: bytes, *, size: int | None = None, digest: str | None = None, piece_bytes: int = 1 << 16
    ) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.digest = digest or digest_of(data)
        self._piece_bytes = piece_bytes

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """Bytes from `start` to the end."""
        for at in range(start, len(self.data), self._piece_bytes):
            await trio.lowlevel.checkpoint()
            yield self.data[at : at + self._piece_bytes]
