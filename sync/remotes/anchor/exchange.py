"""One request, one answer: below it httpx's transport, above it values and the error tree.

Requests go to the transport itself, not through an httpx client: so there are no cookies, no redirects, no
decoding of compressed bodies, and an answer costs less CPU. The token travels in the Authorization header
only. Every body has a cap, every answer read whole a deadline: an endless or dripping one ends as a
failure.
"""

from __future__ import annotations

import contextlib
import urllib.request
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpcore
import httpx
import trio

from sync.remote import ProtocolViolation, RemoteError
from sync.remotes.anchor.asking import READ_S, Ask, lost, translated
from sync.remotes.anchor.problems import Refusal, error_of, problem_of, retry_after_of
from sync.remotes.anchor.wire import decode

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

CONNECT_S, WRITE_S, POOL_S = 10.0, 30.0, 60.0
BODY_MAX_BYTES = 32 << 20  # 1,000 items with the longest escaped names and symlink targets stay below
PROBLEM_MAX_BYTES = 256 << 10
RECEIVE_BYTES = 1 << 20  # at a time: each piece of a body passes eight layers, and httpcore's default is 64 KiB
LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0)
SPARE = 3  # connections kept open for who comes next: for bytes, for names, and one more
SPARE_PAUSE_S = 0.5  # between two times that spare ones are opened: readers who hop about break off many answers

_T = TypeVar("_T")


def _proxy_for(scheme: str, host: str) -> str | None:
    """The environment's proxy; never for this machine itself."""
    if host in {"localhost", "::1"} or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)


def _checked(url: str, token: str | None) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL of a drive begins with http:// or https:// and names a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the URL of a drive holds no password, query or fragment")
    if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
        raise ValueError("the token holds characters that no header can carry")
    return url.rstrip("/")


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


class Exchange:
    """A connection pool to one server."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        transport: httpx.AsyncBaseTransport | None,
        limits: httpx.Limits,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.url = _checked(url, token)
        parts = urlsplit(self.url)
        self._headers = {
            "accept": "application/json, application/problem+json",
            "accept-encoding": "identity",
            "user-agent": "anchorfs",
        }
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._broken_off = trio.Event()
        httpcore.AsyncHTTP11Connection.READ_NUM_BYTES = RECEIVE_BYTES
        self._transport = transport or httpx.AsyncHTTPTransport(
            verify=tls or True,
            http1=True,
            http2=False,
            limits=limits,
            proxy=_proxy_for(parts.scheme, parts.hostname or ""),
        )

    def _request(self, ask: Ask) -> httpx.Request:
        query = f"?{urlencode(ask.query, quote_via=quote)}" if ask.query else ""
        return httpx.Request(
            ask.method,
            f"{self.url}/v1/{ask.path}{query}",
            headers={**self._headers, **ask.headers},
            content=ask.content,
            extensions={
                "timeout": {"connect": CONNECT_S, "read": ask.read_s, "write": WRITE_S, "pool": POOL_S},
            },
        )

    @contextlib.asynccontextmanager
    async def opened(self, ask: Ask) -> AsyncIterator[Answer]:
        """The answer with its body unread, if its status is one of `ask.expect`; else the error it means."""
        request = self._request(ask)
        with translated(ask):
            answer = Answer(await self._transport.handle_async_request(request))
        try:
            if answer.status not in ask.expect:
                raise await _refusal(answer, ask)
            yield answer
        finally:
            if not answer.ended:
                self._broken_off.set()
            await answer.aclose()

    async def keep_spare(self, ask: Ask) -> None:
        """Have connections open for who comes next, from now on and whenever an answer was broken off, which costs its
        connection; until cancelled. `ask`: what is small to answer. While the server is away nothing is opened."""
        while True:
            self._broken_off = trio.Event()
            async with trio.open_nursery() as nursery:
                for _ in range(SPARE):  # at once: each takes a connection of its own
                    nursery.start_soon(self._knock, ask)
            await trio.sleep(SPARE_PAUSE_S)
            await self._broken_off.wait()

    async def _knock(self, ask: Ask) -> None:
        with contextlib.suppress(RemoteError):
            await self.body(ask)

    async def answer(self, ask: Ask, kind: type[_T]) -> _T:
        """The whole answer, decoded."""
        return decode(kind, await self.body(ask))

    async def body(self, ask: Ask) -> bytes:
        """The whole body of the answer, at most BODY_MAX_BYTES."""
        try:
            with trio.fail_after(ask.answer_s):
                async with self.opened(ask) as answer:
                    with translated(ask):
                        return await _whole(answer, BODY_MAX_BYTES)
        except trio.TooSlowError:
            raise lost(ask, "no whole answer in time") from None

    async def headers(self, ask: Ask) -> httpx.Headers:
        """The fields of an answer whose body says nothing."""
        try:
            with trio.fail_after(ask.answer_s):
                async with self.opened(ask) as answer:
                    with translated(ask):
                        await _whole(answer, PROBLEM_MAX_BYTES)
                    return answer.headers
        except trio.TooSlowError:
            raise lost(ask, "no whole answer in time") from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


def require_identity(answer: Answer) -> None:
    """No compressed body: it was not asked for, and its length would be no length of content."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ProtocolViolation("a compressed body, though identity was asked for")


async def _whole(answer: Answer, cap_bytes: int) -> bytes:
    require_identity(answer)
    body = bytearray()
    async for chunk in answer:
        body += chunk
        if len(body) > cap_bytes:
            raise ProtocolViolation(f"the answer is longer than {cap_bytes} bytes")
    return bytes(body)


async def _refusal(answer: Answer, ask: Ask) -> RemoteError:
    """The error that a status outside of `ask.expect` means; its body is read as far as it goes and fits."""
    if not 400 <= answer.status < 600:
        return ProtocolViolation(f"{ask}: HTTP {answer.status}")  # redirects are never followed
    body = b""
    with contextlib.suppress(httpx.HTTPError, ProtocolViolation, trio.TooSlowError), trio.fail_after(READ_S):
        body = await _whole(answer, PROBLEM_MAX_BYTES)
    return error_of(
        Refusal(
            status=answer.status,
            problem=problem_of(body),
            retry_after_s=retry_after_of(answer.headers.get("retry-after")),
            mutates=ask.mutates,
            asked=ask.asked,
        )
    )
