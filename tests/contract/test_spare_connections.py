"""Connections are open before somebody needs one, also after an answer was broken off, and anew over another way."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sync.remote import Unreachable
from sync.remotes.anchor import AnchorRemote
from sync.remotes.anchor.exchange import SPARE
from tests.contract.raw_server import ID, VERSION
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FEED = b'{"changes": [], "anchor": "a", "has_more": false}'
FIRST = b"the first bytes"


def head(length: int, *fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {length}", *fields, "", ""]).encode()


class Host:
    """Answers any number of requests of a connection; a content never comes to its end.

    Changes are answered to SPARE who ask, together: a way so short could be used by one after the other.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.feeds = 0
        self.go_on = trio.Event()  # with a content
        self._together = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        self.connections += 1
        request = b""
        with contextlib.suppress(trio.BrokenResourceError):
            while part := await stream.receive_some(65536):
                request += part
                if request.endswith(b"\r\n\r\n"):
                    await stream.send_all(await self._answer(request))
                    if b"/content" in request:
                        await self.go_on.wait()
                        await stream.send_all(FIRST)
                    request = b""

    async def _answer(self, request: bytes) -> bytes:
        if b"/content" in request:
            return head(1 << 30, f'ETag: "{VERSION}"') + FIRST
        self.feeds += 1
        together = self._together
        if self.feeds % SPARE == 0:
            together.set()
            self._together = trio.Event()
        await together.wait()
        return head(len(FEED), "Content-Type: application/json") + FEED


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Host, AnchorRemote]]:
    """A server, and a client that keeps spare connections to it."""
    monkeypatch.setattr("sync.remotes.anchor.exchange.SPARE_PAUSE_S", 0.0)
    made = Host()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1"))
            remote = AnchorRemote(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", None)
            nursery.start_soon(remote.keep_spare)
            yield made, remote
            await remote.aclose()
            nursery.cancel_scope.cancel()


async def test_a_way_that_was_lost_ends_nothing_but_is_not_used_again(host: tuple[Host, AnchorRemote]) -> None:
    server, remote = host
    await until_asked(server, SPARE)
    async with remote.read(ID, VERSION, 0, 0) as reader:
        chunks = aiter(reader)
        assert await anext(chunks) == FIRST
        await remote.renew(drop=False)
        await until_asked(server, 2 * SPARE)
        assert server.connections == 2 * SPARE
        server.go_on.set()
        assert await anext(chunks) == FIRST


async def test_over_another_way_what_was_under_way_ends(host: tuple[Host, AnchorRemote]) -> None:
    server, remote = host
    await until_asked(server, SPARE)
    async with remote.read(ID, VERSION, 0, 0) as reader:
        chunks = aiter(reader)
        assert await anext(chunks) == FIRST
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(remote.renew, drop=True))
            with pytest.raises(Unreachable):
                await anext(chunks)
    await until_asked(server, 2 * SPARE)


async def until_asked(host: Host, feeds: int) -> None:
    while host.feeds < feeds:  # noqa: ASYNC110  # the fixture has the deadline
        await trio.sleep(0.001)
    await trio.testing.wait_all_tasks_blocked(0.05)  # and the client has taken the last answer in


async def test_who_comes_next_needs_no_new_connection(host: tuple[Host, AnchorRemote]) -> None:
    server, remote = host
    await until_asked(server, SPARE)
    assert server.connections == SPARE
    async with remote.read(ID, VERSION, 0, 0) as reader:
        async for chunk in reader:
            assert chunk == FIRST
            break
        assert server.connections == SPARE


async def test_a_broken_off_answer_is_made_up_for(host: tuple[Host, AnchorRemote]) -> None:
    server, remote = host
    await until_asked(server, SPARE)
    async with remote.read(ID, VERSION, 0, 0) as reader:
        await anext(aiter(reader))
    await until_asked(server, 2 * SPARE)
    assert server.connections == SPARE + 1
