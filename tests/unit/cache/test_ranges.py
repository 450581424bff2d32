"""Byte ranges against a plain set of integers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import ranges

if TYPE_CHECKING:
    from cache.ranges import Ranges

LIMIT = 40

bounds = st.tuples(st.integers(0, LIMIT), st.integers(0, LIMIT)).map(lambda pair: (min(pair), max(pair)))
edits = st.lists(st.tuples(st.booleans(), bounds), max_size=12)


def built(steps: list[tuple[bool, tuple[int, int]]]) -> tuple[Ranges, set[int]]:
    held: Ranges = ()
    oracle: set[int] = set()
    for adding, (start, stop) in steps:
        if adding:
            held = ranges.add(held, start, stop)
            oracle |= set(range(start, stop))
        else:
            held = ranges.remove(held, start, stop)
            oracle -= set(range(start, stop))
    return held, oracle


def members(held: Ranges) -> set[int]:
    return {byte for start, stop in held for byte in range(start, stop)}


def assert_canonical(held: Ranges) -> None:
    assert all(start < stop for start, stop in held)
    assert all(left[1] < right[0] for left, right in pairwise(held))


@given(edits)
@settings(max_examples=200)
def test_add_and_remove_are_set_union_and_difference(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    held, oracle = built(steps)
    assert members(held) == oracle
    assert ranges.total(held) == len(oracle)
    assert_canonical(held)


@given(edits, bounds)
@settings(max_examples=200)
def test_questions_agree_with_the_set(steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    held, oracle = built(steps)
    start, stop = asked
    wanted = set(range(start, stop))
    gaps = ranges.missing(held, start, stop)
    assert members(gaps) == wanted - oracle
    assert_canonical(gaps)
    assert ranges.covers(held, start, stop) == (wanted <= oracle)
    assert ranges.first_missing(held, start) == min(set(range(start, max(oracle, default=0) + start + 2)) - oracle)
    clipped = ranges.clip(held, stop)
    assert members(clipped) == {byte for byte in oracle if byte < stop}
    assert_canonical(clipped)


@given(edits)
@settings(max_examples=100)
def test_the_stored_form_comes_back(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    held, _ = built(steps)
    assert ranges.decode(ranges.encode(held)) == held


@given(edits.filter(bool), st.data())
@settings(max_examples=100)
def test_a_flipped_bit_is_found(steps: list[tuple[bool, tuple[int, int]]], data: st.DataObject) -> None:
    held, _ = built([*steps, (True, (3, 7))])
    stored = bytearray(ranges.encode(held))
    bit = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ValueError, match="damaged ranges"):
        ranges.decode(bytes(stored))


@given(st.binary(min_size=1, max_size=24))
def test_random_bytes_are_refused_or_canonical(stored: bytes) -> None:
    try:
        held = ranges.decode(stored)
    except ValueError:
        return
    assert ranges.encode(held) == stored


def test_a_cut_form_is_refused() -> None:
    stored = ranges.encode(((0, 4096), (1 << 40, (1 << 40) + 5)))
    for length in range(1, len(stored)):
        with pytest.raises(ValueError, match="damaged ranges"):
            ranges.decode(stored[:length])


def test_the_stored_form_is_compact() -> None:
    assert ranges.encode(()) == b""
    assert len(ranges.encode(((0, 1 << 40),))) <= 12


@pytest.mark.parametrize("held", [((5, 5),), ((0, 4), (4, 8)), ((1 << 63, (1 << 63) + 1),)])
def test_what_encode_would_never_be_given_is_not_read_back(held: Ranges) -> None:
    with pytest.raises(ValueError, match="damaged ranges"):
        ranges.decode(ranges.encode(held))


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4)])
def test_bounds_that_are_no_range_are_refused(start: int, stop: int) -> None:
    for call in (ranges.add, ranges.remove, ranges.covers, ranges.missing):
        with pytest.raises(ValueError, match="no half-open range"):
            call((), start, stop)


def test_neighbours_become_one() -> None:
    assert ranges.add(((0, 4), (8, 12)), 4, 8) == ((0, 12),)
