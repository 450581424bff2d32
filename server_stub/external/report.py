"""What a walk saw and did, told while it runs and at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server_stub.external.doubts import Outcome, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server_stub.external.looking import Certainty, Spot
    from server_stub.external.outcomes import Outcomes

_QUIET = frozenset({"told", "unread", "began_s"})


@dataclass(slots=True)
class Report:
    """Figures of one walk, or of one look at doubts."""

    folders: int = 0  # looked at
    unchanged: int = 0  # of them, told by their own times that no name changed
    items: int = 0  # looked at
    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    held: int = 0  # would be removed, and wait for a word from a person
    left_out: int = 0  # names that the drive cannot hold
    unreadable: int = 0
    quick: bool = False
    resumed: bool = False
    seconds: float = 0.0
    began_s: float = field(default_factory=time.monotonic)
    told: list[Told] = field(default_factory=list)  # of doubts: what was found, in the order of the feed
    unread: Mapping[Spot, Certainty] = field(default_factory=dict)  # of doubts: files that are yet to be read

    def note(self, outcomes: Outcomes) -> None:
        """Add what one look came to."""
        for each in outcomes.told:
            self.added += each.outcome is Outcome.ADDED
            self.changed += each.outcome is Outcome.CHANGED
            self.moved += each.outcome is Outcome.MOVED
        self.removed += outcomes.removed
        self.unreadable += outcomes.unreadable

    @property
    def is_news(self) -> bool:
        """Whether anything was found."""
        return bool(self.added or self.changed or self.moved or self.removed or self.held)

    def end(self) -> Report:
        """Stop the clock."""
        self.seconds = time.monotonic() - self.began_s
        return self

    def as_dict(self) -> dict[str, float]:
        """For the control socket and the log."""
        seconds = self.seconds or time.monotonic() - self.began_s
        figures = {name: getattr(self, name) for name in self.__slots__ if name not in _QUIET}
        return figures | {"seconds": round(seconds, 3), "items_per_s": round(self.items / seconds) if seconds else 0}
