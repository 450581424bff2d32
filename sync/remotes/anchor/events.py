"""Server-sent events, counted: their data is not used, because a hint is only a reason to pull. Pure.

Law: the line syntax of the HTML standard (section 9.2, "Server-sent events"): CR, LF and CRLF end lines, a
blank line ends an event, an event without data is none, a line that begins with a colon is a comment.
"""

from __future__ import annotations

import re

from sync.remote import ProtocolViolation

LINE_MAX_BYTES = 8 << 10  # ours are below 1 KiB; unfinished lines are scanned again with every chunk
_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventCounter:
    """Fed with bytes as they come, tells how many events they completed."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_data = False

    def feed(self, chunk: bytes) -> int:
        """Events completed by `chunk`; ProtocolViolation when a line has no end."""
        text = self._rest + chunk
        held = text.endswith(b"\r")  # perhaps the first half of CRLF
        lines = _LINE_END.split(text[:-1] if held else text)
        self._rest = lines.pop() + (b"\r" if held else b"")
        if len(self._rest) > LINE_MAX_BYTES:
            raise ProtocolViolation("an event line without an end")
        return sum(self._take(line) for line in lines)

    def _take(self, line: bytes) -> int:
        if line:
            self._has_data |= line == b"data" or line.startswith(b"data:")
            return 0
        done, self._has_data = int(self._has_data), False
        return done
