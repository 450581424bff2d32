"""The name service is asked once, its answer is judged, and the connection goes to what was judged."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server_stub.webhooks.posting import ANSWER_MAX_BYTES, Reply, TargetRefused, Unanswered, post
from server_stub.webhooks.targets import parse_target
from tests.harness.waiting import DEADLINE_S

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def answering(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nbody")
        writer.write(answer)
        await writer.drain()

    return handle


async def call(handler: Handler, *, timeout_s: float = DEADLINE_S, allow_private: bool = True) -> Reply:
    done = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = parse_target(f"http://127.0.0.1:{port}/")
        try:
            return await post(target, {"x-y": "z"}, b"body", allow_private=allow_private, timeout_s=timeout_s)
        finally:
            if allow_private:
                async with asyncio.timeout(DEADLINE_S):
                    await done.wait()


def test_an_answer() -> None:
    reply = asyncio.run(call(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nok")))
    assert (reply.status, reply.body, reply.headers[b"x"]) == (200, b"ok", b"y")


def test_no_more_is_read_than_is_wanted() -> None:
    reply = asyncio.run(call(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"a" * 100_000)))
    assert reply.body == b"a" * ANSWER_MAX_BYTES


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "not an HTTP answer"),
        (b"nonsense\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "not an HTTP answer"),
    ],
)
def test_answers_that_are_none(answer: bytes, reason: str) -> None:
    with pytest.raises(Unanswered, match=reason):
        asyncio.run(call(answering(answer)))


def test_a_receiver_that_says_nothing_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nbody")
        loop = asyncio.get_running_loop()
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + DEADLINE_S)  # that it is reached in time, is not asked here
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                await reader.read()

    with pytest.raises(Unanswered, match="no answer within"):
        asyncio.run(call(silent))


def test_loopback_is_refused_without_a_connection() -> None:
    async def touched(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pytest.fail("it was called")

    with pytest.raises(TargetRefused):
        asyncio.run(call(touched, allow_private=False))


def resolving(*addresses: str) -> tuple[Callable[..., Coroutine[Any, Any, list[Any]]], list[str]]:
    """A name service that gives these addresses, and the names that it was asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_options: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo, asked


def test_one_private_address_among_public_ones_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        getaddrinfo, _ = resolving("1.1.1.1", "127.0.0.1")
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        with pytest.raises(TargetRefused):
            await post(parse_target("http://rebinding.example/"), {}, b"", allow_private=False, timeout_s=DEADLINE_S)

    asyncio.run(scenario())


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its mind between two questions (DNS rebinding) is asked one question."""
    connected: list[str] = []

    async def open_connection(host: str, *_arguments: object, **_options: object) -> None:
        connected.append(host)
        raise ConnectionRefusedError(111, "refused")

    async def scenario() -> list[str]:
        getaddrinfo, asked = resolving("1.1.1.1", "9.9.9.9")
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(asyncio, "open_connection", open_connection)
        with pytest.raises(Unanswered):
            await post(parse_target("http://rebinding.example/"), {}, b"", allow_private=False, timeout_s=DEADLINE_S)
        return asked

    assert asyncio.run(scenario()) == ["rebinding.example"]
    assert connected == ["1.1.1.1", "9.9.9.9"]
