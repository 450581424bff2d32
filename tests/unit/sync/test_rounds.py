"""Looking through an outbox: rows that wait are not all gone through for each one that went, and none is missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.rounds import Rounds

PAGE = 4


class Outbox:
    """So many rows, none of which may be sent; `look` tells which were looked at."""

    def __init__(self, rows: int, *, busy: bool) -> None:
        self._rows, self._busy = rows, busy
        self._looked: list[int] = []
        self.rounds = Rounds()

    def look(self, *, changed: bool) -> list[int]:
        self._looked = []
        self.rounds.look(self._page, lambda: self._busy, changed=changed)
        return self._looked

    def _page(self, after: int) -> int | None:
        page = list(range(self._rows))[after + 1 : after + 1 + PAGE]
        self._looked += page
        return page[-1] if len(page) == PAGE else None


def test_with_nothing_under_way_all_is_looked_at_at_once() -> None:
    outbox = Outbox(103, busy=False)
    assert outbox.look(changed=True) == list(range(103))
    assert not outbox.rounds.unfinished


def test_with_something_under_way_two_pages_are_looked_at() -> None:
    outbox = Outbox(1000, busy=True)
    for _ in range(50):
        assert len(outbox.look(changed=True)) <= 2 * PAGE
        assert outbox.rounds.unfinished


@given(rows=st.integers(0, 60), changes=st.lists(st.integers(1, 30), max_size=6))
def test_every_row_is_looked_at_after_the_last_change(rows: int, changes: list[int]) -> None:
    outbox = Outbox(rows, busy=True)
    for looks in changes:
        outbox.look(changed=True)
        for _ in range(looks):
            if outbox.rounds.unfinished:
                outbox.look(changed=False)
    seen = set(outbox.look(changed=True))
    for _ in range(2 * rows):
        if outbox.rounds.unfinished:
            seen.update(outbox.look(changed=False))
    assert seen == set(range(rows))
    assert not outbox.rounds.unfinished
