"""The choice of victims, and of what goes of a large one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cache import ranges
from cache.evict import GRAIN_BYTES, LARGE_BYTES, Candidate, kept, victims
from cache.model import ContentId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def candidate(content_id: int, disk_bytes: int) -> Candidate:
    return Candidate(content_id=ContentId(content_id), disk_bytes=disk_bytes)


def chosen_of(candidates: Iterable[Candidate], excess_bytes: int) -> list[int]:
    return [each.content_id for each in victims(candidates, excess_bytes)]


def test_nothing_goes_when_nothing_is_too_much() -> None:
    assert chosen_of([candidate(1, 10)], 0) == []
    assert chosen_of([candidate(1, 10)], -5) == []


def test_no_more_is_read_than_needed() -> None:
    read: list[int] = []

    def held() -> Iterator[Candidate]:
        for number in range(1000):
            read.append(number)
            yield candidate(number, 10)

    assert chosen_of(held(), 25) == [0, 1, 2]
    assert read == [0, 1, 2]


def test_what_takes_no_room_stays() -> None:
    assert chosen_of([candidate(1, 0), candidate(2, 5), candidate(3, 5)], 4) == [2]


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(-10, 400))
def test_enough_and_not_one_more(sizes: list[int], excess_bytes: int) -> None:
    held = [candidate(number, size) for number, size in enumerate(sizes)]
    chosen = chosen_of(held, excess_bytes)
    freed = sum(sizes[number] for number in chosen)
    assert freed >= min(excess_bytes, sum(sizes))
    if chosen:
        assert freed - sizes[chosen[-1]] < excess_bytes
    assert chosen == sorted(chosen)


def test_of_a_large_one_a_part_is_enough() -> None:
    large = candidate(1, 10 * LARGE_BYTES)
    (victim,) = victims([large], 3 * LARGE_BYTES)
    assert (victim.whole, victim.freed_bytes) == (False, 3 * LARGE_BYTES)
    (victim,) = victims([large], 10 * LARGE_BYTES - 5)
    assert (victim.whole, victim.freed_bytes) == (True, 10 * LARGE_BYTES)  # what would be left is not worth it
    first, second = victims([candidate(2, 7), large], 10)
    assert (first.whole, second.whole, second.freed_bytes) == (True, False, 3)


def test_the_end_goes_first() -> None:
    whole = ((0, 10 * GRAIN_BYTES),)
    assert kept(whole, 2 * GRAIN_BYTES) == ((0, 8 * GRAIN_BYTES),)
    assert kept(whole, 2 * GRAIN_BYTES + 1) == ((0, 7 * GRAIN_BYTES),)
    parts = ((0, GRAIN_BYTES), (5 * GRAIN_BYTES, 9 * GRAIN_BYTES))
    assert kept(parts, 4 * GRAIN_BYTES) == ((0, GRAIN_BYTES),)
    assert kept(parts, 5 * GRAIN_BYTES) == ()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=6), st.integers(1, 200))
def test_what_is_kept_is_less_by_at_least_so_much(pieces: list[tuple[int, int]], freed_megabytes: int) -> None:
    resident = ranges.EMPTY
    for start, length in pieces:
        resident = ranges.add(resident, start * GRAIN_BYTES // 3, (start + length) * GRAIN_BYTES // 3)
    freed_bytes = freed_megabytes * GRAIN_BYTES // 7
    left = kept(resident, freed_bytes)
    assert ranges.total(left) <= max(ranges.total(resident) - freed_bytes, 0)
    assert all(ranges.covers(resident, start, stop) for start, stop in left)
