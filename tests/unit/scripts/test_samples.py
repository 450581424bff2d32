"""What a bench makes of its samples."""

from __future__ import annotations

import pytest

from scripts.benches.samples import Bar, Limit, Series, Summary, Unit, rounded, shown, spread_percent

# The machine was twice as slow in the second run: the ratios do not show it.
SERIES = Series(
    name="stat", unit=Unit.MICROSECONDS, seconds={"disk": [1e-6, 2e-6, 1e-6], "ours": [1.2e-6, 2.4e-6, 1.3e-6]}
)


def test_a_summary_is_the_median_between_the_farthest_values() -> None:
    assert Summary.of([3.0, 1.0, 2.0, 9.0]) == Summary(median=2.5, low=1.0, high=9.0)


def test_ratios_are_taken_run_by_run() -> None:
    ratio = SERIES.ratio("ours", "disk")
    assert ratio.median == pytest.approx(1.2)
    assert ratio.low == pytest.approx(1.2)
    assert ratio.high == pytest.approx(1.3)


def test_a_series_wants_the_same_runs_everywhere() -> None:
    uneven = Series(name="stat", unit=Unit.MICROSECONDS, seconds={"disk": [1.0], "ours": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"shorter|longer"):
        uneven.ratio("ours", "disk")


@pytest.mark.parametrize(("at_most", "met"), [(1.25, True), (1.15, False)])
def test_a_bar_is_held_by_the_median(at_most: float, met: bool) -> None:
    assert Bar(place="ours", than="disk", at_most=at_most).is_met(SERIES) is met


@pytest.mark.parametrize(("at_most", "met"), [(1.3e-6, True), (1.2e-6, False)])
def test_a_limit_is_held_by_the_median(at_most: float, met: bool) -> None:
    assert Limit(place="ours", at_most=at_most).is_met(SERIES) is met


@pytest.mark.parametrize(
    ("seconds", "unit", "text"),
    [(1.7e-6, Unit.MICROSECONDS, "1.70"), (0.0325, Unit.MILLISECONDS, "32.5"), (1e-9, Unit.THROUGHPUT, "1,000")],
)
def test_samples_are_shown_in_their_unit(seconds: float, unit: Unit, text: str) -> None:
    assert shown(seconds, unit) == text


@pytest.mark.parametrize(("value", "text"), [(0.0567, "0.06"), (9.994, "9.99"), (99.94, "99.9"), (1234.5, "1,234")])
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert rounded(value) == text


def test_the_spread_is_to_the_farther_end() -> None:
    assert spread_percent(Summary(median=10.0, low=9.0, high=13.0)) == pytest.approx(30.0)
