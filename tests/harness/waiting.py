"""Waiting for what another process will do: asked often, bounded by a deadline, never hoped for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 60.0  # of what hangs, on a machine with other work to do; no promise is measured by it
PAUSE_S = 0.02


def until(question: Callable[[], object], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Return when `question` is true; AssertionError that names `what` when it is not in time.

    An OSError is "not yet": a name that does not exist so far.
    """
    deadline = time.monotonic() + deadline_s
    while not _holds(question):
        assert time.monotonic() < deadline, f"waited {deadline_s} s in vain for {what}"
        time.sleep(PAUSE_S)


def _holds(question: Callable[[], object]) -> bool:
    try:
        return bool(question())
    except OSError:
        return False
