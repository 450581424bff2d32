"""The choice of victims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cache.evict import Candidate, victims
from cache.model import ContentId

if TYPE_CHECKING:
    from collections.abc import Iterator


def candidate(content_id: int, disk_bytes: int) -> Candidate:
    return Candidate(content_id=ContentId(content_id), disk_bytes=disk_bytes, last_use_s=content_id)


def test_nothing_goes_when_nothing_is_too_much() -> None:
    assert victims([candidate(1, 10)], 0) == []
    assert victims([candidate(1, 10)], -5) == []


def test_no_more_is_read_than_needed() -> None:
    read: list[int] = []

    def held() -> Iterator[Candidate]:
        for number in range(1000):
            read.append(number)
            yield candidate(number, 10)

    assert victims(held(), 25) == [0, 1, 2]
    assert read == [0, 1, 2]


def test_what_takes_no_room_stays() -> None:
    assert victims([candidate(1, 0), candidate(2, 5), candidate(3, 5)], 4) == [2]


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(-10, 400))
def test_enough_and_not_one_more(sizes: list[int], excess_bytes: int) -> None:
    held = [candidate(number, size) for number, size in enumerate(sizes)]
    chosen = victims(held, excess_bytes)
    freed = sum(sizes[number] for number in chosen)
    assert freed >= min(excess_bytes, sum(sizes))
    if chosen:
        assert freed - sizes[chosen[-1]] < excess_bytes
    assert chosen == sorted(chosen)
