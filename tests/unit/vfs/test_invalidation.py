"""Kernel notifications: coalesced, in a thread, only for what the kernel holds."""

from __future__ import annotations

import errno
import logging
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from cache.model import ROOT_INO, EntryChanged, Ino, News, NodeChanged
from tests.harness.waiting import DEADLINE_S
from vfs import invalidation
from vfs.invalidation import Invalidation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIVE, SIX, SEVEN = Ino(5), Ino(6), Ino(7)


@dataclass
class FakeKernel:
    """Records the calls; `raises` says what it answers, and `gates` hold calls up as the kernel does."""

    calls: list[tuple[object, ...]] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    raises: dict[object, list[BaseException]] = field(default_factory=dict)
    gates: dict[object, threading.Event] = field(default_factory=dict)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def invalidate_inode(self, inode: int, attr_only: bool = False) -> None:
        self._called(inode, ("inode", inode, attr_only))

    def invalidate_entry(self, inode_p: int, name: bytes, deleted: int = 0) -> None:
        self._called(name, ("entry", inode_p, name, deleted))

    def _called(self, what: object, call: tuple[object, ...]) -> None:
        self.threads.append(threading.get_ident())
        self.entered.release()
        if what in self.gates:
            assert self.gates[what].wait(DEADLINE_S)
        self.calls.append(call)
        self.answered.release()
        if self.raises.get(what):
            raise self.raises[what].pop(0)


class Known(set[Ino]):
    """What the kernel is said to hold, and the names that it was told do not exist."""

    missed = frozenset({(ROOT_INO, "missed")})
    paged: frozenset[Ino] = frozenset()  # whose pages an older reader has

    def may_miss(self, folder: Ino, name: str) -> bool:
        return (folder, name) in self.missed

    def knows(self, ino: Ino) -> bool:
        return ino in self

    def keeps_pages(self, ino: Ino) -> bool:
        return ino in self.paged


class Rig:
    """An Invalidation with a fake kernel behind it."""

    def __init__(self) -> None:
        self.send, receive = trio.open_memory_channel[News](1000)
        self.kernel = FakeKernel()
        self.known = Known({ROOT_INO, FIVE, SIX})
        self.invalidation = Invalidation(receive, self.known, self.kernel)

    async def deliver(self, *news: News) -> list[tuple[object, ...]]:
        """Queue all, run until the channel is empty and closed."""
        for one in news:
            self.send.send_nowait(one)
        self.send.close()
        with trio.fail_after(DEADLINE_S):
            await self.invalidation.run()
        return self.kernel.calls

    @asynccontextmanager
    async def running(self) -> AsyncIterator[trio.CancelScope]:
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.invalidation.run)
                yield nursery.cancel_scope
                nursery.cancel_scope.cancel()

    async def once(self, happened: threading.Semaphore) -> None:
        """Wait until it happened once more."""
        assert await trio.to_thread.run_sync(happened.acquire, True, DEADLINE_S)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(invalidation, "_AGAIN_AFTER_S", 0.001)
    return Rig()


async def test_news_reaches_the_kernel_from_a_thread(rig: Rig) -> None:
    calls = await rig.deliver(NodeChanged(FIVE), EntryChanged(ROOT_INO, "ü", SIX))
    assert calls == [("inode", FIVE, True), ("entry", ROOT_INO, "ü".encode(), SIX)]
    assert threading.get_ident() not in rig.kernel.threads


async def test_what_is_queued_is_coalesced_and_what_blocks_comes_last(rig: Rig) -> None:
    calls = await rig.deliver(
        NodeChanged(FIVE, content=True),
        NodeChanged(FIVE),
        EntryChanged(ROOT_INO, "a", FIVE),
        EntryChanged(ROOT_INO, "a"),
        EntryChanged(ROOT_INO, "a", SIX),
        NodeChanged(SIX),
        NodeChanged(SIX),
    )
    assert calls == [("inode", SIX, True), ("entry", ROOT_INO, b"a", FIVE), ("inode", FIVE, False)]
    assert len(set(rig.kernel.threads)) == 1


async def test_pages_of_an_older_reader_are_left_to_him(rig: Rig) -> None:
    rig.known.paged = frozenset({FIVE})
    calls = await rig.deliver(NodeChanged(FIVE, content=True), NodeChanged(SIX, content=True))
    assert calls == [("inode", FIVE, True), ("inode", SIX, False)]


async def test_what_the_kernel_does_not_hold_costs_nothing(rig: Rig) -> None:
    assert await rig.deliver(NodeChanged(SEVEN, content=True), EntryChanged(SEVEN, "x")) == []


async def test_a_name_that_appeared_is_told_only_where_its_absence_was(rig: Rig) -> None:
    told = await rig.deliver(
        EntryChanged(ROOT_INO, "missed", appeared=True), EntryChanged(ROOT_INO, "never asked for", appeared=True)
    )
    assert told == [("entry", ROOT_INO, b"missed", 0)]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTEMPTY, errno.EBUSY, errno.ENOTCONN, errno.ENODEV])
async def test_what_the_kernel_may_say_is_no_news(rig: Rig, caplog: pytest.LogCaptureFixture, number: int) -> None:
    rig.kernel.raises = {b"x": [OSError(number, "no")]}
    calls = await rig.deliver(EntryChanged(ROOT_INO, "x"), NodeChanged(FIVE, content=True))
    assert len(calls) == 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "no"), RuntimeError("no")])
async def test_anything_else_is_logged_and_the_rest_goes_on(
    rig: Rig, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    rig.kernel.raises = {b"x": [error]}
    calls = await rig.deliver(EntryChanged(ROOT_INO, "x"), NodeChanged(FIVE, content=True))
    assert len(calls) == 2
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.ERROR]


async def test_a_held_inode_that_the_kernel_denies_is_sent_once_more(rig: Rig) -> None:
    rig.kernel.raises = {FIVE: [OSError(errno.ENOENT, "not yet") for _ in range(5)]}
    calls = await rig.deliver(NodeChanged(FIVE, content=True))
    assert calls == [("inode", FIVE, False)] * 2


async def test_a_call_that_the_kernel_holds_does_not_hold_up_later_news(rig: Rig) -> None:
    gate = rig.kernel.gates[b"slow"] = threading.Event()
    try:
        async with rig.running():
            await rig.send.send(EntryChanged(ROOT_INO, "slow"))
            await rig.once(rig.kernel.entered)
            await rig.send.send(NodeChanged(FIVE))
            await rig.once(rig.kernel.answered)
            assert rig.kernel.calls == [("inode", FIVE, True)]
            gate.set()
    finally:
        gate.set()


async def test_the_end_waits_for_the_call_in_flight_and_keeps_the_rest(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "_GRACE_S", DEADLINE_S)
    gate = rig.kernel.gates[b"slow"] = threading.Event()
    rig.send.send_nowait(EntryChanged(ROOT_INO, "slow"))
    rig.send.send_nowait(NodeChanged(FIVE, content=True))
    ended = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            async with rig.running() as scope:
                await rig.once(rig.kernel.entered)
                scope.cancel()
                nursery.start_soon(open_when_waiting, gate, ended)
            assert rig.kernel.calls == [("entry", ROOT_INO, b"slow", 0)]
            ended.set()
    finally:
        gate.set()
    assert await rig.deliver() == [("entry", ROOT_INO, b"slow", 0), ("inode", FIVE, False)]


async def open_when_waiting(gate: threading.Event, ended: trio.Event) -> None:
    with trio.move_on_after(0.005):
        await ended.wait()
    assert not ended.is_set()  # the end did not come before the call did
    gate.set()


async def test_a_call_that_never_returns_does_not_hold_up_the_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalidation, "_GRACE_S", 0.002)
    gate = rig.kernel.gates[b"stuck"] = threading.Event()
    rig.send.send_nowait(EntryChanged(ROOT_INO, "stuck"))
    try:
        async with rig.running() as scope:
            await rig.once(rig.kernel.entered)
            scope.cancel()
        assert rig.kernel.calls == []
    finally:
        gate.set()
    await rig.deliver()
    for _ in range(2):  # the thread that nobody waits for is heard of when it comes to it
        await rig.once(rig.kernel.answered)
    assert rig.kernel.calls == [("entry", ROOT_INO, b"stuck", 0)] * 2


async def test_delivered_waits_for_all_that_was_news_by_then(rig: Rig) -> None:
    gate = rig.kernel.gates[FIVE] = threading.Event()
    told: list[int] = []

    async def ask(number: int) -> None:
        await rig.invalidation.delivered()
        told.append(number)

    async with rig.running(), trio.open_nursery() as nursery:
        await rig.invalidation.delivered()
        rig.send.send_nowait(NodeChanged(FIVE))
        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 2)
        await rig.once(rig.kernel.entered)
        assert told == []
        rig.send.send_nowait(NodeChanged(SIX))  # by another lane, and nobody asked for it
        await rig.once(rig.kernel.entered)
        await rig.once(rig.kernel.answered)
        assert told == []
        gate.set()
    assert sorted(told) == [1, 2]


async def test_delivered_waits_for_what_no_lane_has_taken(rig: Rig) -> None:
    for ino in (ROOT_INO, FIVE, SIX):
        rig.send.send_nowait(NodeChanged(ino))
    async with trio.open_nursery() as lanes:
        async with trio.open_nursery() as asking:
            for _ in range(2):
                asking.start_soon(rig.invalidation.delivered)
            await trio.testing.wait_all_tasks_blocked()
            assert rig.kernel.calls == []
            lanes.start_soon(rig.invalidation.run)
        assert len(rig.kernel.calls) == 3
        lanes.cancel_scope.cancel()
