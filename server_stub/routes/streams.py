"""Answers that are made while they are sent: the source is closed with the connection, however it ends."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.types import Send


class StreamedAnswer(StreamingResponse):
    """A 200 whose body is a generator of chunks. A generator that returns early cuts the answer short."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(chunks, media_type=media_type, headers=headers)
        self._chunks = chunks

    async def stream_response(self, send: Send) -> None:
        """Send chunk by chunk; a client that went away ends the generator, not only the sending."""
        async with aclosing(self._chunks):
            await super().stream_response(send)
