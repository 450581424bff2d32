"""What each failure of the transport means, to a request that reads and to one that mutates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from cache.model import ItemId, Version
from sync.remote import Unknown, Unreachable
from sync.remotes.anchor import AnchorRemote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Failing(httpx.AsyncBaseTransport):
    """Fails with the same error each time."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.timeouts: dict[str, float] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Never answers."""
        self.timeouts = request.extensions["timeout"]
        raise self.error


class Dripping(httpx.AsyncByteStream):
    """A byte a second, for ever."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(10_000):
            await trio.sleep(1)
            yield b" "


class Slow(httpx.AsyncBaseTransport):
    """Answers with a drip."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As said."""
        return httpx.Response(200, stream=Dripping(), request=request)


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError])
async def test_what_was_not_sent_is_unreachable(kind: type[httpx.TransportError]) -> None:
    remote = AnchorRemote("http://drive", None, transport=Failing(kind("why")))
    with pytest.raises(Unreachable):
        await remote.root()
    with pytest.raises(Unreachable):
        await remote.remove(ItemId("i"), Version("v"), key="k")


@pytest.mark.parametrize(
    "kind",
    [
        httpx.ReadError,
        httpx.WriteError,
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.RemoteProtocolError,
        httpx.CloseError,
    ],
)
async def test_what_was_sent_is_unknown_to_a_mutation(kind: type[httpx.TransportError]) -> None:
    transport = Failing(kind("why"))
    remote = AnchorRemote("http://drive", None, transport=transport)
    with pytest.raises(Unreachable):
        await remote.root()
    with pytest.raises(Unknown):
        await remote.remove(ItemId("i"), Version("v"), key="k")
    assert transport.timeouts == {"connect": 10, "read": 30, "write": 30, "pool": 60}


async def test_a_failure_without_words_is_told_in_those_of_its_cause() -> None:
    wordless = httpx.ConnectError("")
    wordless.__cause__ = ssl.SSLError(1, "[SSL] record layer failure")
    with pytest.raises(Unreachable, match=r"GET root: ConnectError: .*record layer failure"):
        await AnchorRemote("https://drive", None, transport=Failing(wordless)).root()


async def test_a_dripping_answer_ends_at_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    remote = AnchorRemote("http://drive", None, transport=Slow())
    with pytest.raises(Unreachable):
        await remote.root()
    assert trio.current_time() <= 200
    with pytest.raises(Unknown):
        await remote.set_attributes(ItemId("i"), Version("v"), mode=0, mtime_ns=0, key="k")
    assert autojump_clock.autojump_threshold == 0
