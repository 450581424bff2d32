"""Zeros as holes: what was sparse where it came from takes no room here either."""

from __future__ import annotations

import os
from typing import Final

MIN_BYTES: Final = 4096  # one block of most file systems: a smaller hole frees nothing


def append(fd: int, data: memoryview, size_bytes: int) -> int:
    """Write to the end of a file that is `size_bytes` long; how many bytes it grew by. OSError."""
    if not are_zeros(data):
        return os.pwrite(fd, data, size_bytes)
    os.ftruncate(fd, size_bytes + len(data))
    return len(data)


def are_zeros(data: memoryview) -> bool:
    """Whether a piece is worth a hole. A look at three bytes decides about most."""
    count = len(data)
    if count < MIN_BYTES or data[0] or data[count // 2] or data[-1]:
        return False
    return bytes(data) == bytes(count)
