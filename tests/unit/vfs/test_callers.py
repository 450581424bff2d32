"""Callers that were killed while they waited."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import ExitStack

import pytest
import trio

from tests.harness.waiting import DEADLINE_S
from vfs import callers
from vfs.callers import Callers, is_killed


async def test_a_killed_caller_is_let_go_and_others_wait_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "LOOK_S", 0.001)
    monkeypatch.setattr(callers, "is_killed", lambda pid: pid == 5)
    waiting = Callers()
    ended: list[int] = []

    async def wait(pid: int) -> None:
        with pytest.raises(OSError, match="killed") as raised, waiting.waiting(pid):
            await trio.sleep_forever()
        assert raised.value.errno == errno.EINTR
        ended.append(pid)

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.run)
            with trio.CancelScope() as others:
                async with trio.open_nursery() as inner:
                    for pid in (0, 4, 5):
                        inner.start_soon(wait, pid)
                    while not ended:  # noqa: ASYNC110  # what ends it is looked at, not told
                        await trio.sleep(0.001)
                    others.cancel()
            nursery.cancel_scope.cancel()
    assert ended == [5]


def test_a_pending_sigkill_is_seen_and_nothing_else() -> None:
    """A real one is not pending for long enough to be looked at: the file is what the kernel would write."""
    assert not is_killed(os.getpid())
    assert not is_killed(2**22 + 1)
    with ExitStack() as stack:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        stack.callback(signal.sigwait, {signal.SIGUSR1})
        signal.raise_signal(signal.SIGUSR1)
        assert not is_killed(os.getpid()), "another signal is pending"
