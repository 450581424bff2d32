"""What looks came to, added up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from server_stub.external.doubts import Told
    from server_stub.external.looking import Certainty, Spot

TOLD_MAX: Final = 100_000  # one by one, of a tree that came here at once; all of them are counted


@dataclass(slots=True)
class Outcomes:
    """What one look came to, or several."""

    told: list[Told] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # new or moved here: their entries are not known
    waiting: list[str] = field(default_factory=list)  # not at their place, not decided about
    vacated: list[Spot] = field(default_factory=list)  # where a file lies whose name belonged to an item until now
    unread: dict[Spot, Certainty] = field(default_factory=dict)  # only the bytes can tell: to be read, then looked at
    unfinished: list[Spot] = field(default_factory=list)  # more ends there than one transaction takes: look again
    is_unfinished: bool = False  # of one look: nothing else was written
    removed: int = 0
    unreadable: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every name that was looked at was decided about, or is noted as missing."""
        return not (self.unread or self.unfinished)

    def add(self, other: Outcomes) -> None:
        """Take in what another look came to."""
        self.told += other.told[: max(TOLD_MAX - len(self.told), 0)]
        self.folders += other.folders
        self.waiting += other.waiting
        self.unread |= other.unread
        self.unfinished += other.unfinished
        self.removed += other.removed
        self.unreadable += other.unreadable
