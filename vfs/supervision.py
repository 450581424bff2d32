"""What the machine around a mount is told, and tells: the service manager's notices, its watchdog, and sleep.

A service of Type=notify says when it is ready and when it stops, and as long as its loop turns that it lives
(sd_notify(3)). A machine that slept has missed what the server told meanwhile, so the first thing is to ask.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 5.0
SLEPT_MIN_S = 2.0


class ServiceManager:
    """The other end of NOTIFY_SOCKET; without one nothing is said."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._untold: dict[str, str] = {}  # by their names
        self.watchdog_s = _watchdog_s(environment)

    def tell(self, *facts: str) -> None:
        """`READY=1`, `STATUS=…` and their like; a manager that does not listen is no reason to fail, or to wait: it is
        told with what comes next."""
        if not self._address.startswith(("/", "@")):
            return
        self._untold |= {fact.partition("=")[0]: fact for fact in facts}
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_UNIX, kind) as connection:
            try:
                connection.sendto("\n".join(self._untold.values()).encode(), address)
                self._untold.clear()
            except OSError as error:
                log.debug("the service manager does not listen: %s", error)

    async def keep_alive(self) -> None:
        """Say that we live, twice as often as is asked, until cancelled."""
        if self.watchdog_s is None:
            return
        while True:
            self.tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """How often we have to be heard, if it is us who are watched."""
    told, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    return int(told) / 1e6 if told.isdecimal() and int(told) > 0 and pid == str(os.getpid()) else None


async def watch_sleep(wake: Callable[[], None], slept_s: Callable[[], float] | None = None) -> None:
    """Call `wake` after each time that this machine slept, until cancelled."""
    total = slept_s or _slept_s
    before = total()
    while True:
        await trio.sleep(LOOK_INTERVAL_S)
        if (now := total()) - before >= SLEPT_MIN_S:
            log.info("this machine slept for %.0f s", now - before)
            wake()
        before = now


def _slept_s() -> float:
    """How long this machine has slept since it was started (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
