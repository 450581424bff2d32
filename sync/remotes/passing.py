"""Bodies pass through h11 as they were received: not copied four times on their way.

h11 keeps what arrives in a growing array and takes slices of it, which is right for heads. Of a body in pieces of a MiB
that is 600 µs for each, more than the kernel takes to deliver it. So what arrives while nothing else waits is kept as
it is, and given out whole where all of it is asked for.
"""

from __future__ import annotations

from typing import Any, Self

from h11 import _connection  # what makes the buffer has no other seam
from h11._receivebuffer import ReceiveBuffer


class PassingBuffer(ReceiveBuffer):
    """As h11's own, to whoever asks it."""

    _data: Any  # bytes as they came, or an array

    def __iadd__(self, byteslike: bytes | bytearray) -> Self:
        if self._data:
            self._data = self._as_array()
            self._data += byteslike
        else:
            self._data = byteslike
        return self

    def maybe_extract_at_most(self, count: int) -> bytearray | None:
        """Up to `count` bytes of a body; None when none are here."""
        if not 0 < len(self._data) <= count:
            self._data = self._as_array()
            return super().maybe_extract_at_most(count)
        out, self._data = self._data, bytearray()
        self._next_line_search = self._multiple_lines_search = 0
        return out  # type: ignore[no-any-return]  # whoever gets it looks at it only

    def _extract(self, count: int) -> bytearray:
        self._data = self._as_array()
        return super()._extract(count)

    def _as_array(self) -> bytearray:
        return self._data if isinstance(self._data, bytearray) else bytearray(self._data)


def pass_bodies_on() -> None:
    """From here on connections of h11 have such a buffer."""
    _connection.ReceiveBuffer = PassingBuffer  # type: ignore[attr-defined]  # its own import
