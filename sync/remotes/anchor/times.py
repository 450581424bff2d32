"""RFC 3339 text to integer nanoseconds since the epoch and back, exact to the nanosecond. Pure.

Text is UTC with a `Z`, as the protocol says; floats are never involved. What does not fit signed 64 bits
(years 1677 to 2262) is clamped when read: a strange time stamp of one file must not make a whole answer
unusable.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
NS_MIN, NS_MAX = -(1 << 63), (1 << 63) - 1
_SHAPE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


def ns_of_text(text: str) -> int:
    """Nanoseconds since the epoch; ValueError when `text` is no RFC 3339 time in UTC."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time in UTC")
    fraction_ns = int((match[2] or "0").ljust(9, "0"))
    return min(max(_seconds(match[1]) * _NS + fraction_ns, NS_MIN), NS_MAX)


@lru_cache(maxsize=4096)  # neighbours in a folder were often made in the same second
def _seconds(text: str) -> int:
    day, hour, minute, second = date.fromisoformat(text[:10]), int(text[11:13]), int(text[14:16]), int(text[17:19])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no such time of day")
    return (((day.toordinal() - _EPOCH_ORDINAL) * 24 + hour) * 60 + minute) * 60 + second


def text_of_ns(time_ns: int) -> str:
    """RFC 3339 with nine fractional digits; `time_ns` is clamped to signed 64 bits."""
    seconds, fraction_ns = divmod(min(max(time_ns, NS_MIN), NS_MAX), _NS)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction_ns:09}Z"
