"""What was measured, and what may be said about it. Pure.

A sample is seconds per unit of work. Places are measured in turn within each run, so a ratio is taken run by run: what
slows the machine for a while slows both sides of it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from enum import StrEnum

MIB = 1 << 20


class Unit(StrEnum):
    """How a sample is shown."""

    MICROSECONDS = "µs"
    MILLISECONDS = "ms"
    SECONDS = "s"
    MEBIBYTES = "MiB"  # the sample is a number of mebibytes and no time
    RATE = "1/s"  # the sample is seconds per request
    THROUGHPUT = "MB/s"  # the sample is seconds per byte


_PER_SECOND = {Unit.MICROSECONDS: 1e6, Unit.MILLISECONDS: 1e3, Unit.SECONDS: 1.0, Unit.MEBIBYTES: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A goal: the time at `place`, divided by the time at `than`, is `at_most`."""

    place: str
    than: str
    at_most: float

    def is_met(self, series: Series) -> bool:
        """Whether the median of the ratios holds the goal."""
        return series.ratio(self.place, self.than).median <= self.at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A goal of its own: the median sample at `place` is `at_most`, in the sample's unit."""

    place: str
    at_most: float

    def is_met(self, series: Series) -> bool:
        """Whether the median holds the goal."""
        return series.summary(self.place).median <= self.at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A median with the range that it was drawn from."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Summary:
        """Of at least one value."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One measure at one place or more: the same number of samples each, the n-th of all places from one run."""

    name: str
    unit: Unit
    seconds: dict[str, list[float]]
    bar: Bar | Limit | None = None

    def summary(self, place: str) -> Summary:
        """Seconds per unit of work."""
        return Summary.of(self.seconds[place])

    def ratio(self, place: str, than: str) -> Summary:
        """How many times as long `place` takes as `than`."""
        pairs = zip(self.seconds[place], self.seconds[than], strict=True)
        return Summary.of([mine / theirs for mine, theirs in pairs])


def shown(seconds: float, unit: Unit) -> str:
    """A sample as people read it, three digits."""
    if unit is Unit.RATE:
        return rounded(1 / seconds)
    value = 1e-6 / seconds if unit is Unit.THROUGHPUT else seconds * _PER_SECOND[unit]
    return rounded(value)


def rounded(value: float) -> str:
    """Three significant digits, never in exponents."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread_percent(summary: Summary) -> float:
    """From the median to the farther end, in percent of the median."""
    return 100 * max(summary.high - summary.median, summary.median - summary.low) / summary.median
