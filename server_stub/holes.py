"""Zeros as holes: what was sparse where it came from takes no room here either."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_BYTES: Final = 4096  # one block of most file systems: a smaller hole frees nothing


def append(fd: int, data: memoryview, size_bytes: int) -> int:
    """Write to the end of a file that is `size_bytes` long; how many bytes it grew by. OSError."""
    if not are_zeros(data):
        return os.pwrite(fd, data, size_bytes)
    os.ftruncate(fd, size_bytes + len(data))
    return len(data)


def stretches(fd: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Where a file has data in [start, stop), in order; the rest is holes. Moves the offset of `fd`. OSError."""
    while start < stop:
        try:
            begin = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        if begin >= stop:
            return
        start = min(os.lseek(fd, begin, os.SEEK_HOLE), stop)
        yield begin, start


def are_zeros(data: memoryview) -> bool:
    """Whether a piece is worth a hole. A look at three bytes decides about most."""
    count = len(data)
    if count < MIN_BYTES or data[0] or data[count // 2] or data[-1]:
        return False
    return bytes(data) == bytes(count)
