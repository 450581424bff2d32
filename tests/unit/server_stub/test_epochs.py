"""How far anchors hold, over starts of the server and copies of its state."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server_stub import epochs
from server_stub.epochs import Epochs

GROWTH = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def started(known: Epochs, newest: int, floor: int = 0, *, start: int = 0) -> Epochs:
    return known.and_then(f"{len(known.begun)}:{start}".encode().ljust(8), newest=newest, floor=floor)


@given(GROWTH)
def test_what_was_told_in_any_epoch_holds(growth: list[int]) -> None:
    known, newest, told = Epochs(), 0, list[tuple[bytes, int]]()
    for changes in growth:
        known = started(known, newest)
        for _ in range(changes):
            newest += 1
            told.append((known.of(newest), newest))
    assert all(seq <= known.reached(epoch, newest) for epoch, seq in told)
    assert all(known.of(seq) == epoch for epoch, seq in told), "an anchor is the same after each start"
    assert known.reached(b"foreign!", newest) == -1
    assert not any(known.lacks(epoch, seq, newest) for epoch, seq in told)


@given(GROWTH, st.integers(0, 11), st.integers(0, 5), st.integers(0, 60))
def test_of_what_a_copy_lost_nothing_holds_however_far_it_goes_on(
    growth: list[int], copied_at: int, into: int, since: int
) -> None:  # fmt: skip
    known, newest, told = Epochs(), 0, list[tuple[bytes, int]]()
    copy, copied = Epochs(), 0
    for number, changes in enumerate(growth):
        known = started(known, newest)
        for each in range(changes + 1):
            if number == copied_at % len(growth) and each == min(into, changes):
                copy, copied = known, newest
            if each < changes:
                newest += 1
                told.append((known.of(newest), newest))
    restored = started(copy, copied, start=1)
    for epoch, seq in told:
        assert (seq <= restored.reached(epoch, copied + since)) == (seq <= copied)
        assert restored.lacks(epoch, seq, copied + since) == (seq > copied)


def test_epochs_that_no_anchor_reaches_back_to_go() -> None:
    """An anchor of theirs is merely old."""
    known, told = Epochs(), list[tuple[bytes, int]]()
    for number in range(epochs.KEPT + 5):
        known = started(known, number, start=number)
        told.append((known.of(number + 1), number + 1))
    assert len(known.begun) == epochs.KEPT
    left = started(known, epochs.KEPT + 5, floor=epochs.KEPT + 5)
    assert len(left.begun) == 2
    for each in (known, left):
        assert not any(each.lacks(epoch, seq, epochs.KEPT + 5) for epoch, seq in told)
