"""One request, one answer, below every protocol: httpx's transport, and the body as it comes.

Requests go to the transport itself, not through an httpx client: so there are no cookies, no redirects, no decoding of
compressed bodies, and an answer costs less CPU. Every body that is read whole has a cap.
"""

from __future__ import annotations

import contextlib
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpcore
import httpx

from sync.remote import ProtocolViolation
from sync.remotes.passing import pass_bodies_on

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from sync.remotes.asking import Ask

CONNECT_S, WRITE_S, POOL_S = 10.0, 30.0, 60.0
RETRY_AFTER_MAX_S = 3600.0
RECEIVE_BYTES = 1 << 20  # at a time: each piece of a body passes eight layers, and httpcore's default is 64 KiB
LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0)


def _proxy_for(scheme: str, host: str) -> str | None:
    """The environment's proxy; never for this machine itself."""
    if host in {"localhost", "::1"} or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)


def transport_to(url: str, *, limits: httpx.Limits, tls: ssl.SSLContext | None) -> httpx.AsyncBaseTransport:
    """A pool of connections to one server."""
    httpcore.AsyncHTTP11Connection.READ_NUM_BYTES = RECEIVE_BYTES
    pass_bodies_on()
    parts = urlsplit(url)
    return httpx.AsyncHTTPTransport(
        verify=tls or True,
        http1=True,
        http2=False,
        limits=limits,
        proxy=_proxy_for(parts.scheme, parts.hostname or ""),
    )


def timeouts(ask: Ask) -> dict[str, Any]:
    """How long each step of a request may take, as httpx's transport wants it told."""
    return {"timeout": {"connect": CONNECT_S, "read": ask.read_s, "write": WRITE_S, "pool": POOL_S}}


def retry_after_of(text: str | None) -> float | None:
    """Seconds of a Retry-After header, bounded; a date is not read: no decision depends on the wall clock."""
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return min(float(text[:9]), RETRY_AFTER_MAX_S)


def clock_of(headers: httpx.Headers) -> float | None:
    """The server's clock as the Date of an answer tells it, seconds since the epoch; None: not at all."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


class Answer:
    """Status, headers, and the body as it arrives; iterating raises httpx's failures."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.ended = False  # read to its end: only then is its connection of further use
        self._response = response
        self._chunks: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._chunks is None:
            if not isinstance(self._response.stream, httpx.AsyncByteStream):
                raise ProtocolViolation("the transport gave no stream")
            self._chunks = aiter(self._response.stream)
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self.ended = True
            raise

    async def aclose(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        with contextlib.suppress(httpx.HTTPError):
            await self._response.aclose()
        if self._chunks is not None:
            # httpx nests async generators. Running them into the closed connection ends every one of them
            # here and now; left alone, the garbage collector would find them suspended and trio would
            # complain.
            with contextlib.suppress(httpx.HTTPError, httpx.StreamError):
                async for _ in self._chunks:
                    continue


def require_identity(answer: Answer) -> None:
    """No compressed body: it was not asked for, and its length would be no length of content."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ProtocolViolation("a compressed body, though identity was asked for")


async def whole(answer: Answer, cap_bytes: int) -> bytes:
    """The body, if it is no longer than `cap_bytes`; ProtocolViolation."""
    require_identity(answer)
    body = bytearray()
    async for chunk in answer:
        body += chunk
        if len(body) > cap_bytes:
            raise ProtocolViolation(f"the answer is longer than {cap_bytes} bytes")
    return bytes(body)
