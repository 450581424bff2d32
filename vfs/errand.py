"""What a command and the mount process that it starts say to each other, one line of JSON each way.

It crosses on pipes: a token never stands in argv or in the environment of a process that lives for weeks.
"""

from __future__ import annotations

import msgspec

from vfs.config import MountConfig
from vfs.failure import Told


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent tells the child."""

    config: MountConfig
    log_file: str
    lifeline: bool  # leave when standard input ends: the parent is gone


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the child tells the parent."""

    ready: bool
    failure: Told | None = None
