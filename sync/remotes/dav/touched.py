"""Which places this machine changes while others are looked at.

A listing that was asked for before a change of ours was answered may tell the state before it; what it says of that
place is not taken. Places are (folder id, name). Pure, but for its own state; no await.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cache.model import ItemId

Place = tuple["ItemId | None", str]
KEPT_MAX = 10_000


class Touched:
    """`now` is taken before something is asked, and given to `since` with the answer."""

    def __init__(self) -> None:
        self.now = 0
        self._ended: dict[Place, int] = {}
        self._under_way: Counter[Place] = Counter()
        self._floor = 0  # what ended before is forgotten

    @contextmanager
    def changing(self, *places: Place) -> Iterator[None]:
        """While a request that changes these is under way, and until its answer is taken in."""
        self._under_way.update(places)
        try:
            yield
        finally:
            self._under_way.subtract(places)
            self._under_way += Counter()  # drops what is down to zero
            self.now += 1
            self._ended |= dict.fromkeys(places, self.now)
            if len(self._ended) > KEPT_MAX:
                self._ended.clear()
                self._floor = self.now

    def inside(self, then: int, folder_id: ItemId) -> bool:
        """The same of any place in a folder."""
        ended = (place[0] for place, at in self._ended.items() if at > then)
        return then < self._floor or any(
            each == folder_id for each in (*ended, *(place[0] for place in self._under_way))
        )

    def anything(self, then: int) -> bool:
        """The same of any place."""
        return self.now > then or bool(self._under_way)

    def since(self, then: int, place: Place) -> bool:
        """Whether it changed, or may have, after the moment `then`."""
        return then < self._floor or place in self._under_way or self._ended.get(place, 0) > then
