"""One stream of server-sent events: the newest anchor, whenever there is one.

Law: the stream holds one number, so a reader that takes nothing costs a full socket buffer and no more (the
connection ends it after a while); what is committed meanwhile is one event. Losing, doubling or reordering events is
harmless. The token is asked for again with every comment line: a revoked one ends the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from server_stub.service import Service

_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream(Response):
    """Lean on purpose: one task beside the request's own, because a thousand of them stand idle."""

    media_type = "text/event-stream"

    def __init__(self, service: Service, after: int, may_go_on: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]  # it ends when somebody hangs up
        self._service = service
        self._after = after
        self._may_go_on = may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reader is gone, the token is revoked or the server stops."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        self._service.notifier.streams += 1
        try:
            await self._events(gone, send)
        finally:
            self._service.notifier.streams -= 1
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
        await send({"type": "http.response.body", "body": b""})

    async def _events(self, gone: asyncio.Future[None], send: Send) -> None:
        settings, notifier = self._service.settings, self._service.notifier
        await _say(send, ": hello\n\n")

        def is_over() -> bool:
            return notifier.closed or gone.done()

        while not is_over():
            if await notifier.wait(self._after, settings.keepalive_s, gone):
                self._after = notifier.newest_seq
                anchor = self._service.anchor(self._after)
                await _say(send, f'event: anchor\nid: {anchor}\ndata: {{"anchor":"{anchor}"}}\n\n')
                await asyncio.wait([gone], timeout=settings.stream_interval_s)
            elif not is_over():
                if not await self._may_go_on():
                    return
                await _say(send, ": nothing new\n\n")


async def _say(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
