"""Waiting for a mount's process to end, so that the next command finds its cache directory free."""

from __future__ import annotations

import os
import select

from vfs.failure import Failure

END_TIMEOUT_S = 60.0


def wait_for_end(pid: int, timeout_s: float = END_TIMEOUT_S) -> None:
    """Return when the process has ended; Failure when it does not in time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([fd], [], [], timeout_s)
    finally:
        os.close(fd)
    if not ended:
        raise Failure("still-running", f"unmounted, but process {pid} has not ended after {timeout_s:.0f} s")
