"""Named places where a test may kill the process: `ANCHORFS_FAILPOINT=name[:N]` kills at the Nth passing."""

from __future__ import annotations

import os
import signal

_name, _, _count = os.environ.get("ANCHORFS_FAILPOINT", "").partition(":")
_left = [int(_count or 1)]


def reached(name: str) -> None:
    """Die here by SIGKILL when the environment asks for it; otherwise nothing."""
    if name != _name:
        return
    _left[0] -= 1
    if _left[0] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
