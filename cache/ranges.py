"""Half-open byte ranges as a set: which bytes of a content are here. Pure.

A `Ranges` is sorted, disjoint and non-adjacent, so equal sets are equal tuples. Every function takes and
returns values in that form; positions are bytes from 0. A search costs O(log n), an answer its own length.
The stored form carries a checksum: a flipped bit must never turn a hole into bytes that seem to be here.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from operator import itemgetter

Ranges = tuple[tuple[int, int], ...]

EMPTY: Ranges = ()
POSITION_MAX = (1 << 63) - 1  # what off_t can say

_START = itemgetter(0)
_STOP = itemgetter(1)
_CHECKSUM_BYTES = 4


def add(ranges: Ranges, start: int, stop: int) -> Ranges:
    """`ranges` with the bytes of [start, stop) added. Raises ValueError for bounds that are no range."""
    _check(start, stop)
    if start == stop:
        return ranges
    low = bisect_left(ranges, start, key=_STOP)  # the first that touches or follows
    high = bisect_right(ranges, stop, key=_START)
    if low < high:
        start = min(start, ranges[low][0])
        stop = max(stop, ranges[high - 1][1])
    return (*ranges[:low], (start, stop), *ranges[high:])


def remove(ranges: Ranges, start: int, stop: int) -> Ranges:
    """`ranges` without the bytes of [start, stop). Raises ValueError for bounds that are no range."""
    _check(start, stop)
    low, high = _overlapping(ranges, start, stop)
    if start == stop or low >= high:
        return ranges
    first_start, last_stop = ranges[low][0], ranges[high - 1][1]
    before: Ranges = ((first_start, start),) if first_start < start else EMPTY
    after: Ranges = ((stop, last_stop),) if stop < last_stop else EMPTY
    return ranges[:low] + before + after + ranges[high:]


def covers(ranges: Ranges, start: int, stop: int) -> bool:
    """Whether every byte of [start, stop) is in `ranges`; an empty range always is."""
    _check(start, stop)
    if start == stop:
        return True
    position = bisect_right(ranges, start, key=_START) - 1
    return position >= 0 and ranges[position][1] >= stop


def missing(ranges: Ranges, start: int, stop: int) -> Ranges:
    """The bytes of [start, stop) that are not in `ranges`."""
    _check(start, stop)
    low, high = _overlapping(ranges, start, stop)
    gaps: list[tuple[int, int]] = []
    for held_start, held_stop in ranges[low:high]:
        if start < held_start:
            gaps.append((start, held_start))
        start = held_stop
    if start < stop:
        gaps.append((start, stop))
    return tuple(gaps)


def first_missing(ranges: Ranges, position: int) -> int:
    """The first byte at or after `position` that is in no range."""
    index = bisect_right(ranges, position, key=_START) - 1
    if index >= 0 and ranges[index][1] > position:
        return ranges[index][1]
    return position


def clip(ranges: Ranges, size: int) -> Ranges:
    """The bytes of `ranges` below `size`: what a truncation leaves."""
    _check(0, size)
    high = bisect_left(ranges, size, key=_START)
    if high == 0:
        return EMPTY
    last_start, last_stop = ranges[high - 1]
    return (*ranges[: high - 1], (last_start, min(last_stop, size)))


def total(ranges: Ranges) -> int:
    """How many bytes."""
    return sum(stop - start for start, stop in ranges)


def encode(ranges: Ranges) -> bytes:
    """The stored form: gap and length of each range as LEB128 numbers, then a CRC-32; b"" for none."""
    if not ranges:
        return b""
    body = bytearray()
    position = 0
    for start, stop in ranges:
        _put(body, start - position)
        _put(body, stop - start)
        position = stop
    return bytes(body) + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big")


def decode(stored: bytes) -> Ranges:
    """The inverse of `encode`. Raises ValueError for anything that `encode` does not write."""
    if not stored:
        return EMPTY
    body, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
    if not body or zlib.crc32(body) != int.from_bytes(checksum, "big"):
        raise ValueError("damaged ranges: wrong checksum")
    found: list[tuple[int, int]] = []
    at = position = 0
    while at < len(body):
        gap, at = _get(body, at)
        length, at = _get(body, at)
        start = position + gap
        position = start + length
        if length == 0 or (gap == 0 and found) or position > POSITION_MAX:
            raise ValueError("damaged ranges: empty, adjacent or out of bounds")
        found.append((start, position))
    return tuple(found)


def _check(start: int, stop: int) -> None:
    if not 0 <= start <= stop:
        raise ValueError(f"no half-open range: [{start}, {stop})")


def _overlapping(ranges: Ranges, start: int, stop: int) -> tuple[int, int]:
    """The slice of those that share a byte with [start, stop)."""
    return bisect_right(ranges, start, key=_STOP), bisect_left(ranges, stop, key=_START)


def _put(body: bytearray, number: int) -> None:
    while number > 0x7F:
        body.append(0x80 | (number & 0x7F))
        number >>= 7
    body.append(number)


def _get(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
    raise ValueError("damaged ranges: a number without an end")
