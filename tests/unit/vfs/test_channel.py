"""Requests are taken one after another without the scheduler, which gets its turn all the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyfuse3
import pytest
import trio
import trio.testing

from tests.harness.waiting import DEADLINE_S
from vfs import channel as module
from vfs.answers import Answers
from vfs.channel import Channel, Turn, take_requests
from vfs.notifications import Notifications

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A descriptor to wait for, and one that makes it readable."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


async def test_who_comes_back_at_once_has_the_turn_before_those_who_wait() -> None:
    """A switch between tasks for each request is what this is against."""
    turn, order = Turn(Answers()), []

    async def other() -> None:
        async with turn:
            order.append("other")

    async with trio.open_nursery() as nursery:
        async with turn:
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
        async with turn:
            order.append("again")
    assert order == ["again", "other"]


async def test_who_waits_has_the_turn_when_the_other_awaits_something() -> None:
    """A worker whose request waits for the network leaves the channel to the next."""
    turn, taken = Turn(Answers()), trio.Event()

    async def other() -> None:
        async with turn:
            taken.set()

    async with trio.open_nursery() as nursery:
        async with turn:
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(DEADLINE_S):
            await taken.wait()


async def test_a_cancelled_wait_for_the_turn_is_forgotten() -> None:
    """Nobody is woken who is gone, and the next one is."""
    turn, taken = Turn(Answers()), trio.Event()

    async def other() -> None:
        async with turn:
            taken.set()

    async with trio.open_nursery() as nursery:
        async with turn:
            with trio.move_on_after(0.01) as waiting:
                await turn.__aenter__()
            assert waiting.cancelled_caught
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(DEADLINE_S):
            await taken.wait()


class Passes(trio.abc.Instrument):
    """How often the scheduler looked what else there is to do."""

    count = 0

    def before_io_wait(self, timeout: float) -> None:
        """One more."""
        del timeout
        self.count += 1


async def test_a_request_that_is_there_is_taken_without_the_scheduler(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, send = pipe
    os.write(send, b"x")
    monkeypatch.setattr(module, "STRETCH_S", 60.0)
    channel, passes = Channel(), Passes()
    trio.lowlevel.add_instrument(passes)
    for _ in range(3):
        await channel.wait_readable(receive)
    trio.lowlevel.remove_instrument(passes)
    assert passes.count == 0


async def test_the_scheduler_is_let_in_when_an_answer_left_work_behind(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """News for the kernel, above all."""
    receive, send = pipe
    os.write(send, b"x")
    monkeypatch.setattr(module, "STRETCH_S", 60.0)
    channel, passes = Channel(), Passes()
    trio.lowlevel.add_instrument(passes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)
        await channel.wait_readable(receive)
        assert passes.count
    trio.lowlevel.remove_instrument(passes)


async def test_the_scheduler_is_let_in_however_many_requests_come(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of requests starves nobody."""
    receive, send = pipe
    os.write(send, b"x")
    monkeypatch.setattr(module, "STRETCH_S", 0.01)
    channel, passes = Channel(), Passes()
    trio.lowlevel.add_instrument(passes)
    deadline_s = trio.current_time() + DEADLINE_S
    while not passes.count and trio.current_time() < deadline_s:
        await channel.wait_readable(receive)
    trio.lowlevel.remove_instrument(passes)
    assert passes.count


async def test_what_does_not_come_is_waited_for_by_the_scheduler(pipe: tuple[int, int]) -> None:
    """And a channel that is closed meanwhile says so."""
    receive, send = pipe
    channel = Channel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.wait_readable, receive)
        await trio.testing.wait_all_tasks_blocked()
        os.write(send, b"x")
    os.read(receive, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_closes, receive)
        with pytest.raises(trio.ClosedResourceError):
            await channel.wait_readable(receive)


async def _closes(fd: int) -> None:
    await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.notify_closing(fd)


async def test_pyfuse3_has_its_own_trio_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replacement is for the main loop only."""

    async def main(max_tasks: int) -> None:
        assert max_tasks == module.MAX_TASKS
        assert isinstance(vars(pyfuse3)["trio"].Lock(), Turn)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(pyfuse3, "main", main)
    await take_requests(Answers(), Notifications())
    assert vars(pyfuse3)["trio"] is trio
