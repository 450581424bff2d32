"""Which contents to drop when the cache is over its limit. Pure.

The candidates are what may go: whole on the remote, not dirty, not pinned, not open. Who asks says which
those are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cache.model import ContentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A content that may be dropped."""

    content_id: ContentId
    disk_bytes: int
    last_use_s: int


def victims(candidates: Iterable[Candidate], excess_bytes: int) -> list[ContentId]:
    """The least recently used that free `excess_bytes`; all that free anything when they do not suffice.

    `candidates` come least recently used first and are read only as far as needed, so the cost is that of
    what is dropped, not of what is held. One that takes no room on the disk is passed over: it gains nothing.
    """
    chosen: list[ContentId] = []
    remaining = iter(candidates)
    while excess_bytes > 0 and (candidate := next(remaining, None)) is not None:
        if candidate.disk_bytes > 0:
            chosen.append(candidate.content_id)
            excess_bytes -= candidate.disk_bytes
    return chosen
