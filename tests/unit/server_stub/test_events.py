"""A stream holds one number: a reader that takes nothing costs nothing more, and is told the newest state at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from server_stub.events import EventStream
from server_stub.push import Notifier
from tests.harness.waiting import DEADLINE_S

SETTINGS = SimpleNamespace(keepalive_s=60.0, stream_interval_s=0.0)


class Reader:
    """The other end of a stream: takes a message when it is told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.may_take = asyncio.Event()
        self.is_gone = asyncio.Event()
        self.offered = asyncio.Event()
        self.was_told = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:  # noqa: ANN401
        self.offered.set()
        await self.may_take.wait()
        if message["type"] == "http.response.body":
            self.taken.append(message["body"].decode())
            if self.taken[-1].startswith("event:"):
                self.was_told.set()


async def yes() -> bool:
    return True


def events(taken: list[str]) -> list[str]:
    return [text for text in taken if text.startswith("event:")]


def test_a_reader_that_takes_nothing_is_told_only_the_newest() -> None:
    async def scenario() -> list[str]:
        notifier, reader = Notifier(), Reader()
        service: Any = SimpleNamespace(settings=SETTINGS, notifier=notifier, anchor=str)
        stream = EventStream(service, 0, yes)
        running = asyncio.create_task(stream({"type": "http", "method": "GET"}, reader.receive, reader.send))
        await reader.offered.wait()
        for seq in range(1, 10_001):
            notifier.announce(seq)
            if seq % 1_000 == 0:
                await asyncio.sleep(0)
        reader.may_take.set()
        async with asyncio.timeout(DEADLINE_S):
            await reader.was_told.wait()
            reader.is_gone.set()
            await running
        assert notifier.streams == 0
        return events(reader.taken)

    assert asyncio.run(scenario()) == ['event: anchor\nid: 10000\ndata: {"anchor":"10000"}\n\n']


def test_ringing_reaches_every_waiter_and_a_close_sends_them_home() -> None:
    async def scenario() -> None:
        notifier = Notifier()
        waiting = [asyncio.create_task(notifier.wait(0, 60)) for _ in range(100)]
        await asyncio.sleep(0)
        notifier.announce(1)
        assert all(await asyncio.gather(*waiting))
        assert await notifier.wait(0, 60), "news that is there already is not waited for"
        assert not await notifier.wait(1, 0.01)
        last = asyncio.create_task(notifier.wait(1, 60))
        await asyncio.sleep(0)
        notifier.close()
        async with asyncio.timeout(DEADLINE_S):
            assert not await last

    asyncio.run(scenario())
