"""Changes whose author is not known yet: a line that says who it was may come after the change was looked at.

A name is asked for until a line tells, or for as long as a line may be late. What is noted while an answer is on its
way is a change of its own, and stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from server_stub.watching.notices import FolderNames

SIGN_WITHIN_S: Final = 15.0  # after which a change stays unsigned
_MAX: Final = 10_000


class Unsigned:
    """Names, since when; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._since_s: dict[FolderNames, float] = {}

    def add(self, changed: Iterable[FolderNames], now_s: float) -> None:
        """Changes that have been noted without an author; those that are too many stay unsigned."""
        if len(self._since_s) < _MAX:
            self._since_s |= dict.fromkeys(changed, now_s)

    def asked(self) -> Mapping[FolderNames, float]:
        """What lines are looked for now; for `answered`."""
        return dict(self._since_s)

    def answered(self, asked: Mapping[FolderNames, float], told: Collection[FolderNames], now_s: float) -> None:
        """The authors of these were told and written down; of the others only those that can still be told stay."""
        for names, since_s in asked.items():
            ended = names in told or now_s - since_s >= SIGN_WITHIN_S
            if ended and self._since_s.get(names) == since_s:
                del self._since_s[names]
