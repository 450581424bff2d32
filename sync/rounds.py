"""Which rows of the outbox are looked at when something may have changed: a wall of rows that wait costs little.

The oldest page always. Of the rest, while anything is under way, one page at a time, going round until all of it was
looked at since the last change; with nothing under way all of it at once, as nothing would tell when to look again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_ON_S = 0.02  # until the next page, when nothing happens before


def through(page: Callable[[int], int | None], last: int | None, is_enough: Callable[[], bool]) -> int | None:
    """Page after page behind a number, until it is enough; tells the last one looked at, or None: that was all."""
    while last is not None and not is_enough():
        last = page(last)
    return last


class Rounds:
    """How far the look round has come."""

    def __init__(self) -> None:
        self._further: int | None = None
        self._again = False

    @property
    def unfinished(self) -> bool:
        """Whether there are rows that were not looked at since something changed."""
        return self._further is not None

    def look(self, page: Callable[[int], int | None], is_busy: Callable[[], bool], *, changed: bool) -> None:
        """`page(after)` looks at the rows behind a number and tells the last one, or None: no more need be looked at
        now. `changed`: since the last call, so that what was looked at before counts no more."""
        self._again |= changed and self._further is not None
        first = page(-1)
        last = through(page, first, is_busy)
        if first is None or last is None:
            self._further, self._again = None, False
            return
        self._further = page(max(self._further or first, last))
        if self._further is None and self._again:
            self._further, self._again = first, False
