"""Our protocol's side of a channel: headers, bodies, problems. The token travels in the Authorization header only."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import trio

from sync.remote import RemoteError
from sync.remotes.anchor.problems import Refusal, error_of, problem_of
from sync.remotes.anchor.wire import decode
from sync.remotes.answers import retry_after_of, timeouts, transport_to
from sync.remotes.channel import Channel, Reply

if TYPE_CHECKING:
    import ssl

    from sync.remotes.asking import Ask

SPARE = 3  # connections kept open for who comes next: for bytes, for names, and one more
SPARE_PAUSE_S = 0.5  # between two times that spare ones are opened: readers who hop about break off many answers

_T = TypeVar("_T")


def _checked(url: str, token: str | None) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL of a drive begins with http:// or https:// and names a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the URL of a drive holds no password, query or fragment")
    if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
        raise ValueError("the token holds characters that no header can carry")
    return url.rstrip("/")


class Exchange(Channel):
    """A connection pool to one server of ours."""

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
        self._headers = {
            "accept": "application/json, application/problem+json",
            "accept-encoding": "identity",
            "user-agent": "anchorfs",
        }
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        super().__init__(lambda: transport or transport_to(self.url, limits=limits, tls=tls))

    def _request(self, ask: Ask) -> httpx.Request:
        query = f"?{urlencode(ask.query, quote_via=quote)}" if ask.query else ""
        return httpx.Request(
            ask.method,
            f"{self.url}/v1/{ask.path}{query}",
            headers={**self._headers, **ask.headers},
            content=ask.content,
            extensions=timeouts(ask),
        )

    def _error_of(self, ask: Ask, reply: Reply) -> RemoteError:
        return error_of(
            Refusal(
                status=reply.status,
                problem=problem_of(reply.body),
                retry_after_s=retry_after_of(reply.headers.get("retry-after")),
                mutates=ask.mutates,
                asked=ask.asked,
            )
        )

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
