"""Digests of a version's blocks, so that a client sees which of them it need not send.

Computed while they are sent, a slice at a time on worker threads: nothing is held, and whoever goes away
ends the work.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from server_stub.conditions import quote
from server_stub.contents import Opened, open_content
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, path_id
from server_stub.routes.streams import StreamedAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from server_stub.service import Service
    from server_stub.values import Principal

BLOCK_MIN_BYTES: Final = 4 << 10
BLOCK_MAX_BYTES: Final = 64 << 20
BLOCKS_MAX: Final = 1 << 17  # with the largest blocks 8 TiB; an answer of 4 MiB
MEDIA_TYPE: Final = "application/vnd.anchorfs.blocks"
_SLICE_BYTES: Final = 8 << 20  # some 10 ms of a thread
_READ_BYTES: Final = 1 << 20
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)


@endpoint
async def get_blocks(request: Request, service: Service, principal: Principal) -> Response:
    """GET; a version that is edited in place meanwhile ends short."""
    block_bytes = _block_bytes(request.query_params.get("block_bytes", ""))
    version = request.query_params.get("version")
    content, opened = await open_content(service, principal, path_id(request), version)
    count = -(-content.size // block_bytes)
    if count > BLOCKS_MAX:
        opened.close()
        raise Problem("invalid_request", f"at most {BLOCKS_MAX} blocks: ask for larger ones", status=422)
    headers = {"etag": quote(content.version), "cache-control": "no-cache"}
    return _Answer(_digests(opened, content.size, block_bytes), MEDIA_TYPE, headers, opened)


class _Answer(StreamedAnswer):
    """Closes the content also when it was ended before its first byte: a generator's own `finally` would not run."""

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], media_type: str, headers: dict[str, str], opened: Opened
    ) -> None:
        super().__init__(chunks, media_type, headers)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, then close."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._opened.close()


def _block_bytes(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not BLOCK_MIN_BYTES <= number <= BLOCK_MAX_BYTES:
        detail = f"block_bytes is a number from {BLOCK_MIN_BYTES} to {BLOCK_MAX_BYTES}"
        raise Problem("invalid_request", detail, status=422)
    return number


async def _digests(opened: Opened, size: int, block_bytes: int) -> AsyncGenerator[bytes, None]:
    slice_bytes = max(_SLICE_BYTES // block_bytes, 1) * block_bytes
    for start in range(0, size, slice_bytes):
        told = await asyncio.to_thread(_slice, opened, start, min(start + slice_bytes, size), block_bytes)
        if told is None:
            return
        yield told


def _slice(opened: Opened, start: int, stop: int, block_bytes: int) -> bytes | None:
    """The digests of [start, stop); None when the file is not what it was."""
    told = bytearray()
    for at in range(start, stop, block_bytes):
        digest, position, end = hashlib.sha256(), at, min(at + block_bytes, stop)
        while position < end:
            data = opened.read(position, min(position + _READ_BYTES, end))
            if not data:
                return None
            digest.update(data)
            position += len(data)
        told += digest.digest()
    return bytes(told)


routes = [Route("/v1/items/{item_id}/content/blocks", get_blocks, methods=["GET"])]
