"""One state directory, one process: the lock file says who."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from cache.errors import CacheInUse
from cache.private import make_private

if TYPE_CHECKING:
    from pathlib import Path


def take(directory: Path) -> int:
    """Lock the directory, made where it is missing, until the returned descriptor is closed, also by the process's
    death; raises CacheInUse."""
    make_private(directory)
    path = directory / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise CacheInUse("the cache directory is in use", path=str(directory), pid=pid) from None
    with suppress(OSError):  # a full disk: the number is a help for people, the lock is held without it
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
