"""A word on the desktop when a mount needs its person: a conflict, a change that cannot be sent, a token refused.

Shown by `notify-send` (libnotify), where it is installed and a session runs; asked for with `-o notify`. Only what is
new is told, and what is told names the mount and the command, never a file.
"""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from cache.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 2.0
SHOW_S = 10.0


class Statistics(Protocol):
    """What is looked at."""

    @property
    def connection(self) -> str:
        """online, offline or signed-out."""
        ...

    @property
    def conflicts(self) -> int:
        """Open ones."""
        ...

    @property
    def queue_parked(self) -> int:
        """Changes that cannot be sent as things are."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What was told last."""

    conflicts: int
    parked: int
    signed_out: bool

    @classmethod
    def of(cls, numbers: Statistics) -> Standing:
        """As it is now."""
        return cls(numbers.conflicts, numbers.queue_parked, numbers.connection == "signed-out")


def news(before: Standing, now: Standing) -> list[str]:
    """What a person has not been told yet. Pure."""
    told = []
    if now.conflicts > before.conflicts:
        told.append(f"{now.conflicts - before.conflicts} files were changed on two sides: anchorfs conflicts")
    if now.parked > before.parked:
        told.append(f"{now.parked - before.parked} changes cannot be sent: anchorfs queue")
    if now.signed_out and not before.signed_out:
        told.append("the server refuses the token: anchorfs login, then mount again")
    return told


async def watch(mountpoint: str, statistics: Callable[[], Statistics], program: str = "notify-send") -> None:
    """Look now and then, until cancelled or until nothing can be shown here."""
    before = Standing.of(statistics())
    while True:
        await trio.sleep(LOOK_INTERVAL_S)
        try:
            now = Standing.of(statistics())
        except LocalError as error:  # a catalog that cannot be read: nothing else is told any more
            await _show(program, mountpoint, str(error))
            return
        for text in news(before, now):
            if not await _show(program, mountpoint, text):
                return
        before = now


async def _show(program: str, mountpoint: str, text: str) -> bool:
    words = [program, "--app-name=AnchorFS", "--", mountpoint, text]
    try:
        with trio.move_on_after(SHOW_S):
            await trio.run_process(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError as error:
        log.info("no notices are shown: %s: %s", program, error.strerror)
        return False
    return True
