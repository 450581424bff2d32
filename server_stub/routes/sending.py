"""Sending stored bytes: whole, one range or several, in pieces read on a worker thread.

A file that is edited in place while it is being sent is cut short: a short answer is seen, a mixed one is
not.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from server_stub.contents import Opened

PIECE_BYTES: Final = 1 << 20
AT_ONCE_BYTES: Final = 64 << 10  # copied faster than a thread is asked


@dataclass(frozen=True, slots=True)
class Piece:
    """Literal bytes, or a range of the file."""

    literal: bytes = b""
    start: int = 0
    stop: int = 0

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.literal) or self.stop - self.start


def multipart(ranges: list[tuple[int, int]], total: int) -> tuple[str, list[Piece]]:
    """The boundary and the pieces of a multipart/byteranges body (RFC 9110 §14.6)."""
    boundary = secrets.token_hex(16)
    pieces: list[Piece] = []
    for start, stop in ranges:
        head = (
            f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Range: bytes {start}-{stop - 1}/{total}\r\n\r\n"
        )
        pieces += [Piece(literal=head.encode()), Piece(start=start, stop=stop)]
    return boundary, [*pieces, Piece(literal=f"\r\n--{boundary}--\r\n".encode())]


class ContentResponse:
    """An ASGI response over an open content, which it closes."""

    def __init__(self, opened: Opened, status: int, headers: dict[str, str], pieces: list[Piece]) -> None:
        self._opened = opened
        self.status_code = status
        self._pieces = pieces
        sized = {**headers, "content-length": str(sum(piece.size for piece in pieces))}
        self._headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sized.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; ends early, with the connection, when the client is gone or the file was changed."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self._headers})
            if scope["method"] != "HEAD" and not await self._send_pieces(send, gone):
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._opened.close()

    async def _send_pieces(self, send: Send, gone: asyncio.Future[None]) -> bool:
        for piece in self._pieces:
            if piece.literal:
                await send({"type": "http.response.body", "body": piece.literal, "more_body": True})
                continue
            position = piece.start
            while position < piece.stop:
                stop = min(position + PIECE_BYTES, piece.stop)
                data = await asyncio.to_thread(self._opened.read, position, stop)
                if not data or gone.done():
                    return False
                await send({"type": "http.response.body", "body": data, "more_body": True})
                position += len(data)
        return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
