"""Which contents give their room back when the cache is over its limit, and which bytes of a large one. Pure.

The candidates are what may go: on the remote as well, not dirty, not pinned, not open. Who asks says which those are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cache.model import ContentId

DEFAULT_FLOOR_BYTES = 256 << 20  # room left for everybody else on that disk
LARGE_BYTES = 64 << 20  # from here on a part of a file is worth keeping
GRAIN_BYTES = 1 << 20  # holes begin and end here: few ranges to remember, whole blocks on any disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A content that may be dropped."""

    content_id: ContentId
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """What goes of one content."""

    content_id: ContentId
    freed_bytes: int
    whole: bool  # False: a part of a large content is enough


def victims(candidates: Iterable[Candidate], excess_bytes: int) -> list[Victim]:
    """The least recently used that free `excess_bytes`; all that free anything when they do not suffice.

    `candidates` come least recently used first and are read only as far as needed, so the cost is that of
    what is dropped, not of what is held. One that takes no room on the disk is passed over: it gains nothing.
    A large one of which enough would be left loses a part only.
    """
    chosen: list[Victim] = []
    remaining = iter(candidates)
    while excess_bytes > 0 and (candidate := next(remaining, None)) is not None:
        if candidate.disk_bytes <= 0:
            continue
        whole = candidate.disk_bytes - excess_bytes < LARGE_BYTES
        freed = candidate.disk_bytes if whole else excess_bytes
        chosen.append(Victim(content_id=candidate.content_id, freed_bytes=freed, whole=whole))
        excess_bytes -= freed
    return chosen


def kept(resident: ranges.Ranges, freed_bytes: int) -> ranges.Ranges:
    """What is left when at least `freed_bytes` go: the end goes first.

    Beginnings are what programs look at again: headers, tables of contents, the part already watched.
    """
    left = ranges.total(resident) - freed_bytes
    for start, stop in resident:
        if stop - start > left:
            middle = (start + max(left, 0)) // GRAIN_BYTES * GRAIN_BYTES
            return ranges.clip(resident, max(middle, start))
        left -= stop - start
    return resident
