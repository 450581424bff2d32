"""Holes in files: fallocate(2), which Python does not have."""

from __future__ import annotations

import ctypes
import errno
import os

_FALLOC_FL_KEEP_SIZE = 0x01
_FALLOC_FL_PUNCH_HOLE = 0x02

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int


def make_hole(fd: int, start: int, stop: int) -> None:
    """All bytes of [start, stop) read as zero, and whole blocks among them take no room. The size stays.

    Raises OSError(EOPNOTSUPP) where the file system cannot (fallocate(2))."""
    while stop > start and _fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, start, stop - start) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:  # ctypes does not start an interrupted call again
            raise OSError(number, os.strerror(number))
