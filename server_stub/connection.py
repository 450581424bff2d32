"""One HTTP connection with limits: uvicorn's protocol, bounded in what it holds and how long it waits.

A request head has a size, a count of fields and a deadline; a body and a reader that stand still are cut off. What
cannot be parsed is answered by a problem document, unless another answer is on its way: then the connection ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server_stub.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

_FIELD_OVERHEAD_BYTES: Final = 32  # what a field costs beside its text, as HTTP/2 counts it (RFC 9113 §6.5.2)
_REASONS: Final = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may hold and how long it may stand still."""

    head_max_bytes: int = 65_536  # request line and fields; a name of 255 bytes is 765 when percent-encoded
    fields_max: int = 100
    head_timeout_s: float = 30.0  # from the connection, or a request's first byte, to the end of its head
    stall_timeout_s: float = 60.0  # a body that sends nothing, a reader that takes nothing


class LimitedConfig(uvicorn.Config):
    """uvicorn's configuration with the limits of a connection."""

    limits: Limits = Limits()


class _HeadTooLarge(Exception):
    """Raised inside the parser, which turns every exception into its own."""


class LimitedProtocol(HttpToolsProtocol):
    """Every timer of a connection ends with it."""

    config: LimitedConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head, but not for ever."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._refusal: Problem | None = None
        self._received_s = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for timer in (self._head_timer, self._body_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._body_timer = self._write_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, also when it never ends."""
        self._received_s = self.loop.time()
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            self._await_head()
        super().data_received(data)
        if self._in_head and not self.transport.is_closing() and self._head_bytes > self.config.limits.head_max_bytes:
            self._refusal = _head_too_large()
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A new head."""
        super().on_message_begin()
        self._in_head = True
        self._text_bytes = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """The request line counts."""
        super().on_url(url)
        self._weigh(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """So does every field."""
        super().on_header(name, value)
        self._weigh(len(name) + len(value) + _FIELD_OVERHEAD_BYTES)

    def on_headers_complete(self) -> None:
        """The head is in time; from here on a body must keep coming."""
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(self.config.limits.stall_timeout_s, self._check_body)

    def on_message_complete(self) -> None:
        """What follows belongs to the next head."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request of ours; in the middle of another answer only the end is safe."""
        refusal = self._refusal or Problem("invalid_request", msg)
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.write(_written(refusal))
        self.transport.close()

    def pause_writing(self) -> None:
        """The reader is slow: from now on it must take something in time."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.config.limits.stall_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It took something."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, _overloaded if app is service_unavailable else app)

    def _weigh(self, size_bytes: int) -> None:
        self._text_bytes += size_bytes
        limits = self.config.limits
        if self._text_bytes > limits.head_max_bytes or len(self.headers) > limits.fields_max:
            self._refusal = _head_too_large()
            raise _HeadTooLarge

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.config.limits.head_timeout_s, self._end_slow_head)

    def _end_slow_head(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refusal = Problem("request_timeout", "the request did not arrive in time")
            self.send_400_response("")
        elif not self._is_answering():
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _check_body(self) -> None:
        """While a body is awaited and we are ready to take it, something must come."""
        self._body_timer = None
        if self.transport.is_closing() or not self._is_answering() or not self.cycle.more_body:
            return
        if self.flow.read_paused:
            self._received_s = self.loop.time()
        left_s = self._received_s + self.config.limits.stall_timeout_s - self.loop.time()
        if left_s <= 0:
            self.transport.abort()
            return
        self._body_timer = self.loop.call_later(left_s, self._check_body)


def _head_too_large() -> Problem:
    return Problem("head_too_large", "the request line and its header fields are too large")


def _written(problem: Problem) -> bytes:
    """A whole answer, for a request that never became one."""
    body = problem.body()
    head = (
        f"HTTP/1.1 {problem.status} {_REASONS[problem.status]}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _overloaded(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """More requests at once than the server takes."""
    problem = Problem("unavailable", "too many requests at once", headers={"retry-after": "1"})
    body = problem.body()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
