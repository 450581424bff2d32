"""Which folder keeps the drive of a mount point, mounted or not: a link for each in the state folder.

A link whose folder is gone tells nothing, and goes when the next one is made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cache.private import make_private
from vfs.config import short_hash, state_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def remember(mountpoint: str, cache_dir: str, environment: Mapping[str, str]) -> None:
    """This is what was mounted there last. Raises OSError."""
    link = _link(mountpoint, environment)
    make_private(link.parent)
    for each in link.parent.iterdir():
        if not each.exists():
            each.unlink(missing_ok=True)
    fresh = link.with_suffix(f".{os.getpid()}")
    fresh.symlink_to(cache_dir)
    fresh.replace(link)


def kept_for(mountpoint: str, environment: Mapping[str, str]) -> Path | None:
    """The folder of the drive that was mounted there last, if it is there."""
    try:
        folder = _link(mountpoint, environment).readlink()
    except OSError:
        return None
    return folder if folder.is_dir() else None


def _link(mountpoint: str, environment: Mapping[str, str]) -> Path:
    return state_home(dict(environment)) / "mountpoints" / short_hash(mountpoint)
