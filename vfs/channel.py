"""How the kernel's requests are taken off its channel: with as little scheduling between them as can be.

A program that works in the mount asks again within microseconds of an answer. So the task that has answered waits for
the next request itself, for an instant, before it lets the scheduler in. Measured on writes of 4 KiB: 37 µs of this
process's own time per write became 7 to 20. Whoever else waits for the trio thread waits for `STRETCH_S` at most.

pyfuse3 lets its idea of `trio` be replaced (its asyncio mode is that): of it, the lock between its workers and the wait
for the channel are ours here, everything else is trio's.
"""

from __future__ import annotations

import select
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import pyfuse3
import trio

from vfs.handshake import Handshake

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfs.answers import Answers
    from vfs.notifications import Notifications

INSTANT_S = 0.000_05  # about as long as a program takes that is woken on an idle core and asks at once
STRETCH_S = 0.001
MAX_TASKS = 512  # requests served at once: readers who wait for a slow server must not use them all up
_SELECT_FDS = 1024  # FD_SETSIZE: select(2) knows no others


class Turn:
    """A lock that belongs to whoever comes first once it is free, not to who has waited longest.

    A worker that answered without an await and comes back has it again, without a switch between tasks. One that
    waits is woken when it is given back, and looks: it has it as soon as the other awaits something.
    """

    def __init__(self, answers: Answers) -> None:
        self._held = False
        self._parked: deque[trio.lowlevel.Task] = deque()
        self._answers = answers

    async def __aenter__(self) -> None:
        answers = self._answers
        answers.passed_on = True
        if answers.pending:
            answers.pass_on()
        answers.workers_waiting += 1
        try:
            while self._held:
                await self._park(trio.lowlevel.current_task())
        except BaseException:
            answers.workers_waiting -= 1
            raise
        self._held = True

    async def __aexit__(self, *_how: object) -> None:
        self._answers.workers_waiting -= 1
        self._held = False
        if self._parked:
            trio.lowlevel.reschedule(self._parked.popleft())

    async def _park(self, task: trio.lowlevel.Task) -> None:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._parked.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        self._parked.append(task)
        await trio.lowlevel.wait_task_rescheduled(abort)


class Channel:
    """The wait for a request; `lowlevel` of what pyfuse3 takes for trio."""

    current_task = staticmethod(trio.lowlevel.current_task)
    current_trio_token = staticmethod(trio.lowlevel.current_trio_token)
    notify_closing = staticmethod(trio.lowlevel.notify_closing)

    def __init__(
        self, first: type[Handshake] | None = None, known: Callable[[int], None] = lambda _channel_fd: None
    ) -> None:
        self._scheduled_at_s = trio.current_time()
        self._known = known  # told of the channel, before anything is asked on it
        self._first = first  # has the first request, and its answer
        self._answered: Callable[[], None] | None = None

    async def wait_readable(self, fd: int) -> None:
        """Return when there is a request on the channel, or it was closed; raises trio.ClosedResourceError."""
        if self._first is not None:
            self._known(fd)
            handshake, self._first = self._first(fd), None
            self._answered = handshake.finish
            await handshake.begin()
            return
        if self._answered is not None:
            answered, self._answered = self._answered, None
            answered()
        if trio.current_time() - self._scheduled_at_s < STRETCH_S and not _others_can_run() and _is_readable(fd):
            return
        await trio.lowlevel.wait_readable(fd)
        self._scheduled_at_s = trio.current_time()


class _Trio:
    """What pyfuse3 uses of trio."""

    ClosedResourceError = trio.ClosedResourceError
    open_nursery = staticmethod(trio.open_nursery)

    def __init__(self, answers: Answers, known: Callable[[int], None]) -> None:
        self.lowlevel = Channel(Handshake, known)
        self.Lock = partial(Turn, answers)


async def take_requests(answers: Answers, notifications: Notifications) -> None:
    """Serve the mount that pyfuse3 was initialised with, until it ends."""

    def known(channel_fd: int) -> None:
        answers.attach(channel_fd)
        notifications.attach(channel_fd)

    module: Any = pyfuse3  # its stub does not tell of `trio`
    module.trio = _Trio(answers, known)
    try:
        await pyfuse3.main(max_tasks=MAX_TASKS)
    finally:
        module.trio = trio
        answers.close()
        notifications.close()


def _is_readable(fd: int) -> bool:
    """Whether something comes within an instant; other threads run meanwhile."""
    return fd < _SELECT_FDS and bool(select.select((fd,), (), (), INSTANT_S)[0])


def _others_can_run() -> bool:
    """Whether the answer that was given left work behind, such as news for the kernel: that is not kept waiting."""
    return trio.lowlevel.current_statistics().tasks_runnable > 0
