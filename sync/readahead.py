"""How far to fetch around a read, from how a content has been read so far. Pure.

    sequential   what follows, in windows that double up to WINDOW_MAX_BYTES
    strided      the same piece of the next strides
    random       the piece itself, in whole BLOCK_BYTES

The kernel reads ahead too and may send its requests out of order, so a read a little before or behind the expected
place is still part of a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BLOCK_BYTES = 128 << 10  # the kernel's usual request; asking for less saves nothing
WINDOW_MIN_BYTES = 1 << 20
WINDOW_MAX_BYTES = 16 << 20
SLACK_BYTES = 20 << 20  # how far out of order requests of one sequence may come: the kernel reads 16 MiB ahead
STRIDES_AHEAD = 4
STRIDES_KNOWN = 2  # times that a distance was the same as the one before


@dataclass(slots=True)
class AccessPattern:
    """What is remembered of the reads of one content."""

    expected: int = 0  # where a sequential reader goes on
    window: int = 0  # 0: no sequence is known
    last: int = -1  # where the last read began
    stride: int = 0
    equal_strides: int = field(default=0)

    def fetch(self, start: int, stop: int, size: int) -> list[tuple[int, int]]:
        """Ranges worth fetching for a read of [start, stop) in a content of `size` bytes; the first covers the read."""
        sequential = abs(start - self.expected) <= SLACK_BYTES if self.window or start else True
        self._note_stride(start)
        if sequential:
            self.window = min(max(self.window * 2, WINDOW_MIN_BYTES), WINDOW_MAX_BYTES)
        else:
            self.window = 0
        self.expected = max(stop, self.expected) if sequential else stop
        first = (start - start % BLOCK_BYTES, _up(stop))
        if sequential:
            return _within([(first[0], _up(max(stop, start + self.window)))], size)
        if self.equal_strides >= STRIDES_KNOWN and self.stride > 0:
            ahead = [(first[0] + n * self.stride, first[1] + n * self.stride) for n in range(1, STRIDES_AHEAD + 1)]
            return _within([first, *ahead], size)
        return _within([first], size)

    def _note_stride(self, start: int) -> None:
        distance = start - self.last if self.last >= 0 else 0
        self.equal_strides = self.equal_strides + 1 if distance == self.stride and distance else 0
        self.stride, self.last = distance, start


def _up(position: int) -> int:
    return -(-position // BLOCK_BYTES) * BLOCK_BYTES


def _within(wanted: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    return [(start, min(stop, size)) for start, stop in wanted if start < size]
