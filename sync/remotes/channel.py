"""Requests and answers of one server, whatever it speaks: what is asked goes out once, an answer that was not expected
is an error of the tree, and every answer read whole has a cap and a deadline."""

from __future__ import annotations

import abc
import contextlib
from typing import TYPE_CHECKING, NamedTuple

import httpx
import trio

from sync.remote import ProtocolViolation, RemoteError
from sync.remotes.answers import Answer, whole
from sync.remotes.asking import READ_S, Ask, lost, translated
from sync.remotes.pools import Pools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BODY_MAX_BYTES = 32 << 20  # 1,000 items with the longest escaped names and symlink targets stay below
PROBLEM_MAX_BYTES = 256 << 10


class Reply(NamedTuple):
    """An answer that was read whole."""

    status: int
    headers: httpx.Headers
    body: bytes


class Channel(abc.ABC):
    """The connections to one server."""

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._pools = Pools(make)
        self._broken_off = trio.Event()

    @abc.abstractmethod
    def _request(self, ask: Ask) -> httpx.Request:
        """What goes out."""

    @abc.abstractmethod
    def _error_of(self, ask: Ask, reply: Reply) -> RemoteError:
        """The error that a refusal, 4xx or 5xx, means."""

    @contextlib.asynccontextmanager
    async def opened(self, ask: Ask) -> AsyncIterator[Answer]:
        """The answer with its body unread, if its status is one of `ask.expect`; else the error it means."""
        request = self._request(ask)
        async with self._pools.borrowed() as transport:
            with translated(ask):
                answer = Answer(await transport.handle_async_request(request))
            try:
                self._noted(answer)
                if answer.status not in ask.expect:
                    raise await self._refusal(answer, ask)
                yield answer
            finally:
                if not answer.ended:
                    self._broken_off.set()
                await answer.aclose()

    def _noted(self, answer: Answer) -> None:  # noqa: B027 - most note nothing
        """Whatever an answer tells beside what was asked for."""

    async def _refusal(self, answer: Answer, ask: Ask) -> RemoteError:
        """The body is read as far as it goes and fits."""
        if not 400 <= answer.status < 600:
            return ProtocolViolation(f"{ask}: HTTP {answer.status}")  # redirects are never followed
        body = b""
        with contextlib.suppress(httpx.HTTPError, ProtocolViolation, trio.TooSlowError), trio.fail_after(READ_S):
            body = await whole(answer, PROBLEM_MAX_BYTES)
        return self._error_of(ask, Reply(answer.status, answer.headers, body))

    async def reply(self, ask: Ask, cap_bytes: int = BODY_MAX_BYTES) -> Reply:
        """The whole answer, its body at most `cap_bytes`."""
        try:
            with trio.fail_after(ask.answer_s):
                async with self.opened(ask) as answer:
                    with translated(ask):
                        return Reply(answer.status, answer.headers, await whole(answer, cap_bytes))
        except trio.TooSlowError:
            raise lost(ask, "no whole answer in time") from None

    async def body(self, ask: Ask) -> bytes:
        """The whole body of the answer."""
        return (await self.reply(ask)).body

    async def headers(self, ask: Ask) -> httpx.Headers:
        """The fields of an answer whose body says nothing."""
        return (await self.reply(ask, PROBLEM_MAX_BYTES)).headers

    async def renew(self, *, drop: bool) -> None:
        """Open new connections for what is asked next; see `Pools.renew`."""
        await self._pools.renew(drop=drop)
        self._broken_off.set()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pools.aclose()
