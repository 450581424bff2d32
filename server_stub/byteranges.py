"""Byte ranges (RFC 9110 §14). Pure. Ranges are half-open [start, stop).

Amplification is limited: more than 50 ranges, or ranges that together ask for more than the whole, are
answered with the whole representation, as §14.2 allows.
"""

from __future__ import annotations

import re
from typing import Final

RANGES_MAX: Final = 50
_SPEC: Final = re.compile(r"(\d*)-(\d*)", re.ASCII)
_DIGITS_MAX: Final = 19


class Unsatisfiable(Exception):
    """No asked range overlaps the content: 416."""


def parse_ranges(field: str, size: int) -> list[tuple[int, int]] | None:
    """The satisfiable ranges in asked order; None: answer the whole (other unit, malformed, or too greedy).

    Raises Unsatisfiable.
    """
    unit, equals, specs = field.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    members = [spec.strip() for spec in specs.split(",") if spec.strip()]
    if not members or len(members) > RANGES_MAX:
        return None
    ranges: list[tuple[int, int]] = []
    for member in members:
        bounds = _bounds(member, size)
        if bounds is None:
            return None
        if bounds[0] < bounds[1]:
            ranges.append(bounds)
    if not ranges:
        raise Unsatisfiable
    greedy = len(ranges) > 1 and sum(stop - start for start, stop in ranges) > size
    return None if greedy else ranges


def _bounds(member: str, size: int) -> tuple[int, int] | None:
    """[start, stop) cut to the size, empty when unsatisfiable; None when malformed."""
    match = _SPEC.fullmatch(member)
    if match is None or max(len(match[1]), len(match[2])) > _DIGITS_MAX:
        return None
    first, last = match[1], match[2]
    if not first:
        return None if not last else (max(size - int(last), 0), size)
    if not last:
        return (min(int(first), size), size)
    if int(last) < int(first):
        return None
    return (min(int(first), size), min(int(last) + 1, size))
