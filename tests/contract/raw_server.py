"""A server of raw bytes: says exactly what a test tells it to say, right or wrong, to every request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import trio

from cache.model import ItemId, Version
from sync.remotes.anchor import AnchorRemote
from tests.harness.waiting import DEADLINE_S

Say = Callable[[trio.SocketStream, bytes], Awaitable[None]]


class RawServer:
    """`requests`: what arrived, head and the body bytes that came along."""

    def __init__(self, say: Say) -> None:
        self.requests: list[bytes] = []
        self._say = say

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, one request, one answer."""
        with contextlib.suppress(trio.BrokenResourceError):
            request = b""
            while b"\r\n\r\n" not in request:
                part = await stream.receive_some(65536)
                if not part:
                    return
                request += part
            self.requests.append(request)
            await self._say(stream, request)


def answer(status: str, *headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    """An HTTP answer that ends its connection; `length` may lie."""
    head = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
    if length is None or length >= 0:
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode() + body


def says(data: bytes) -> Say:
    """Says `data` and closes."""

    async def say(stream: trio.SocketStream, _request: bytes) -> None:
        await stream.send_all(data)

    return say


def says_without_end(head: bytes, piece: bytes) -> Say:
    """Says `head`, then `piece` for as long as anyone listens."""

    async def say(stream: trio.SocketStream, _request: bytes) -> None:
        await stream.send_all(head)
        while True:
            await stream.send_all(piece)

    return say


@contextlib.asynccontextmanager
async def client_of(say: Say, *, token: str | None = None) -> AsyncIterator[tuple[AnchorRemote, RawServer]]:
    """A real client of a raw server; a deadline over all of it."""
    server = RawServer(say)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
            remote = AnchorRemote(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", token)
            try:
                yield remote, server
            finally:
                await remote.aclose()
                nursery.cancel_scope.cancel()


ID, VERSION = ItemId("i1"), Version("v1")
ITEM: dict[str, Any] = {
    "item_id": "i1",
    "parent_id": "p",
    "name": "f",
    "kind": "file",
    "is_folder": False,
    "size": 10,
    "created_at": "2024-01-01T00:00:00.000000000Z",
    "modified_at": "2024-01-01T00:00:00.123456789Z",
    "content_version": "v1",
    "metadata_version": "m1",
    "digest": None,
    "mode": 420,
    "symlink_target": None,
    "capabilities": ["read", "teleport"],
    "deleted": False,
}


def told(value: object, status: str = "200 OK", *headers: str) -> bytes:
    return answer(status, "Content-Type: application/json", *headers, body=json.dumps(value).encode())
