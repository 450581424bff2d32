"""RFC 3339 with nanoseconds, both ways, and HTTP dates. Pure; integers, never floats."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Final

NANOS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What 64 bits of nanoseconds hold, in whole seconds: the years 1677 to 2262. The index keeps no more.
_FIRST_S: Final = -(1 << 63) // NANOS + 1
_LAST_S: Final = ((1 << 63) - 1) // NANOS - 1
_SHAPE: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_instant(ns: int) -> str:
    """`2026-01-02T03:04:05.000000006Z`; times outside of what can be kept are clamped."""
    seconds, nanos = divmod(ns, NANOS)
    return f"{_whole_second(seconds)}.{nanos:09d}Z"


@lru_cache(maxsize=4096)  # neighbours in a folder were often made in the same second
def _whole_second(seconds: int) -> str:
    seconds = min(max(seconds, _FIRST_S), _LAST_S)
    days, rest = divmod(seconds, 86_400)
    day = datetime.fromordinal(days + 719_163)
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def clamped(ns: int) -> int:
    """The nearest time that the index can keep: a file system may hold later ones."""
    return min(max(ns, _FIRST_S * NANOS), _LAST_S * NANOS)


def parse_instant(text: str) -> int:
    """Nanoseconds since the epoch; ValueError for anything that RFC 3339 does not allow. Digits beyond
    nanoseconds are cut.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time")
    date, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    delta = moment - _EPOCH
    seconds = delta.days * 86_400 + delta.seconds
    if not _FIRST_S <= seconds <= _LAST_S:
        raise ValueError("outside the years 1678 to 2261")
    return seconds * NANOS + int((fraction or "").ljust(9, "0"))


def http_date(ns: int) -> str:
    """RFC 9110 §5.6.7; seconds, clamped to what the format can say."""
    seconds = min(max(ns // NANOS, _FIRST_S), _LAST_S)
    return formatdate(seconds, usegmt=True)


def from_http_date(text: str) -> int | None:
    """Seconds since the epoch, or None when it is no HTTP date (then the header is ignored)."""
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int((moment - _EPOCH).total_seconds())
