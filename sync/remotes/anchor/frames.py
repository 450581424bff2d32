"""Many contents in one answer: frames of a length, a header, and the bytes that the header announces.

Each frame must be of the next item that was asked for, of its version, and of its whole size: nothing else is kept,
so memory is bounded by what was asked. A stream that ends before its last frame is Unreachable.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sync.remote import ProtocolViolation, RemoteError, Unreachable
from sync.remotes.anchor.problems import Refusal, error_of, problem_of
from sync.remotes.anchor.sending import json_ask
from sync.remotes.anchor.wire import WireFrame, decode
from sync.remotes.answers import Answer, require_identity
from sync.remotes.asking import Ask, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sync.batches import Wanted

_LENGTH = struct.Struct(">I")
_HEADER_MAX_BYTES = 256 << 10  # a refusal may hold a whole item with the longest name
MEDIA_TYPE = "application/vnd.anchorfs.frames"


def batch_ask(wanted: Sequence[Wanted]) -> Ask:
    """The request for these contents."""
    items = [{"item_id": each.item_id, "content_version": each.version} for each in wanted]
    headers = {"accept": f"{MEDIA_TYPE}, application/problem+json"}
    return json_ask("POST", "content:batch", {"items": items}, headers=headers, mutates=False)


class Frames:
    """Iterates over the contents of one answer, in the asked order."""

    def __init__(self, answer: Answer, ask: Ask, wanted: Sequence[Wanted]) -> None:
        require_identity(answer)
        self._answer = answer
        self._ask = ask
        self._wanted = iter(wanted)
        self._buffer = bytearray()
        self._at = 0  # what lies before was taken

    def __aiter__(self) -> AsyncIterator[bytes | RemoteError]:
        return self

    async def __anext__(self) -> bytes | RemoteError:
        wanted = next(self._wanted, None)
        header = await self._header()
        if wanted is None:
            await self._end(header)
            raise StopAsyncIteration
        if header.item_id != wanted.item_id:
            raise ProtocolViolation(f"{self._ask}: another item than the next one that was asked for")
        if header.status != 200:
            return self._refusal(header, wanted)
        told = (header.content_version, header.start, header.stop, header.total)
        if told != (wanted.version, 0, wanted.size, wanted.size):
            raise ProtocolViolation(f"{self._ask}: another version or size than the one asked for")
        return await self._take(wanted.size)

    def _refusal(self, header: WireFrame, wanted: Wanted) -> RemoteError:
        if not 400 <= header.status < 600:
            raise ProtocolViolation(f"{self._ask}: a frame of status {header.status}")
        refusal = Refusal(
            status=header.status,
            problem=problem_of(self._told),
            retry_after_s=None,
            mutates=False,
            asked=wanted.item_id,
        )
        return error_of(refusal)

    async def _end(self, header: WireFrame) -> None:
        if not header.end or self._at < len(self._buffer) or await self._more():
            raise ProtocolViolation(f"{self._ask}: more frames than were asked for")

    async def _header(self) -> WireFrame:
        (length,) = _LENGTH.unpack(await self._take(_LENGTH.size))
        if length > _HEADER_MAX_BYTES:
            raise ProtocolViolation(f"{self._ask}: a header of {length} bytes")
        self._told = await self._take(length)
        return decode(WireFrame, self._told)

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) - self._at < count:
            if not await self._more():
                raise Unreachable(f"{self._ask}: the answer ended early")
        taken = bytes(memoryview(self._buffer)[self._at : self._at + count])
        self._at += count
        return taken

    async def _more(self) -> bool:
        """Whether anything came; what was taken before makes room."""
        del self._buffer[: self._at]
        self._at = 0
        with translated(self._ask):
            chunk = await anext(self._answer, None)
        if chunk is not None:
            self._buffer += chunk
        return chunk is not None
