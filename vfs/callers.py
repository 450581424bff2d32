"""Lets go of callers that were killed while we make them wait: for the network, nothing else waits long.

The kernel does not let a killed process go while a request of it is with us, and the library tells nothing of
FUSE_INTERRUPT. So whoever waits is looked at now and then: a SIGKILL that is pending ends the wait with EINTR. Who the
caller is, a request tells; of a read, it is who opened the file.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S = 0.5
_SIGKILL_BIT = 1 << 8  # of the masks in /proc/PID/status (proc_pid_status(5))

caller: ContextVar[int] = ContextVar("caller", default=0)
"""The process (thread) id behind the request that this task serves; 0: not known."""
by_root: ContextVar[bool] = ContextVar("by_root", default=False)
"""Whether it is known that root made that request."""


class Callers:
    """Who waits; `run` must be running."""

    def __init__(self) -> None:
        self._waiting: dict[trio.CancelScope, int] = {}
        self._work = trio.Event()

    @contextmanager
    def waiting(self, pid: int) -> Iterator[None]:
        """What is done inside is ended when this process is killed; raises OSError (EINTR) then."""
        with trio.CancelScope() as scope:
            self._waiting[scope] = pid
            self._work.set()
            try:
                yield
            finally:
                del self._waiting[scope]
        if scope.cancelled_caught:
            raise OSError(errno.EINTR, "the caller was killed")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            await trio.sleep(LOOK_S)
            for scope, pid in self._waiting.items():
                if pid and is_killed(pid):
                    scope.cancel()
            if not self._waiting:
                self._work = trio.Event()


def is_killed(pid: int) -> bool:
    """Whether a SIGKILL is pending; one that is gone already was not waiting."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(int(mask, 16) & _SIGKILL_BIT for mask in masks)
