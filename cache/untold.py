"""What open and closed contents know that the catalog was not told of yet: residency that grew, and uses.

Owner: the trio thread. Told late, never early, and in order: what `take` gave is written down before it is taken again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import contents, ranges

if TYPE_CHECKING:
    import sqlite3

    from cache.model import ContentId
    from cache.opened import OpenContent


class Untold:
    """See the module."""

    def __init__(self) -> None:
        self._grown: set[OpenContent] = set()
        self._resident: dict[ContentId, ranges.Ranges] = {}
        self._used: set[ContentId] = set()

    def grown(self, opened: OpenContent) -> None:
        """An open content holds more, or was found to hold less."""
        self._grown.add(opened)

    def closed(self, opened: OpenContent) -> None:
        """Its last user left."""
        self._grown.discard(opened)
        if not opened.dirty and opened.unsaved:
            self._resident[opened.content_id] = opened.resident
        self._used.add(opened.content_id)

    def resident(self, content_id: ContentId | None) -> ranges.Ranges | None:
        """What a closed content holds, if the catalog does not know."""
        return None if content_id is None else self._resident.get(content_id)

    def overruled(self, content_id: ContentId) -> None:
        """The catalog is being told something newer."""
        self._resident.pop(content_id, None)

    def unused(self, content_id: ContentId) -> None:
        """What just ended was no use of it."""
        self._used.discard(content_id)

    def growth_bytes(self, reader: sqlite3.Connection) -> int:
        """How much more is held than the catalog says."""
        known = {**self._resident, **{each.content_id: each.resident for each in self._grown if not each.dirty}}
        return sum(ranges.total(held) - contents.held_bytes(reader, content_id) for content_id, held in known.items())

    def take(self) -> tuple[dict[ContentId, ranges.Ranges], set[ContentId]]:
        """Residency and uses to write down; then call `told`, or `take_back` when it failed."""
        for opened in self._grown:
            if not opened.dirty:
                self._resident[opened.content_id] = opened.resident
                opened.unsaved = False
        self._grown.clear()
        used, self._used = self._used, set()
        return {**self._resident}, used

    def told(self, resident: dict[ContentId, ranges.Ranges]) -> None:
        """This stands in the catalog; what grew meanwhile does not."""
        for content_id, held in resident.items():
            if self._resident.get(content_id) is held:
                del self._resident[content_id]

    def take_back(self, used: set[ContentId]) -> None:
        """It could not be written down."""
        self._used |= used
