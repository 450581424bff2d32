"""How far a stream runs on, from how a content was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.readahead import BLOCK_BYTES, STRIDES_AHEAD, WINDOW_MAX_BYTES, WINDOW_MIN_BYTES, AccessPattern

GIB = 1 << 30
MIB = 1 << 20


@given(st.integers(1, 4 * GIB), st.lists(st.tuples(st.integers(0, 4 * GIB), st.integers(1, MIB)), max_size=30))
def test_whatever_was_read_before_the_first_range_covers_the_read_within_the_size(
    size: int, reads: list[tuple[int, int]]
) -> None:
    pattern = AccessPattern()
    for offset, length in reads:
        start, stop = offset % size, min(offset % size + length, size)
        first, *ahead = pattern.fetch(start, stop, size)
        assert first[0] <= start
        assert stop <= first[1]
        assert all(0 <= low < high <= size for low, high in [first, *ahead])
        assert sum(high - low for low, high in [first, *ahead]) <= WINDOW_MAX_BYTES + 7 * (length + 2 * BLOCK_BYTES)


def test_a_sequence_runs_on_in_windows_that_double_to_a_bound() -> None:
    pattern, reached, position = AccessPattern(), [], 0
    for _ in range(8):
        (_, stop), *_ = pattern.fetch(position, position + BLOCK_BYTES, GIB)
        reached.append(stop - position)
        position += BLOCK_BYTES
    assert reached[0] == WINDOW_MIN_BYTES
    assert reached == sorted(reached)
    assert reached[-1] == WINDOW_MAX_BYTES


def test_requests_of_one_sequence_may_come_out_of_order() -> None:
    pattern = AccessPattern()
    for position in (0, 2 * MIB, MIB, 4 * MIB, 3 * MIB):
        pattern.fetch(position, position + MIB, GIB)
    assert pattern.window > WINDOW_MIN_BYTES


def test_random_reads_ask_for_their_blocks_only() -> None:
    pattern = AccessPattern()
    pattern.fetch(0, 4096, GIB)
    for position in (700 * MIB, 100 * MIB, 400 * MIB):
        ranges = pattern.fetch(position + 5, position + 4101, GIB)
        assert ranges == [(position, position + BLOCK_BYTES)]


def test_equal_strides_are_followed() -> None:
    pattern = AccessPattern()
    for turn in range(4):
        ranges = pattern.fetch(turn * 64 * MIB, turn * 64 * MIB + 4096, GIB)
    assert ranges == [(n * 64 * MIB, n * 64 * MIB + BLOCK_BYTES) for n in range(3, 4 + STRIDES_AHEAD)]
