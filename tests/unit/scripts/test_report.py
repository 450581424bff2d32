"""A bench's table and its JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from scripts.benches.report import Report, joined, markdown, write_json
from scripts.benches.samples import Bar, Limit, Series, Unit

if TYPE_CHECKING:
    from pathlib import Path

REPORT = Report(
    bench="kernel",
    facts={"machine": "a small one"},
    places=["ext4", "AnchorFS"],
    compared=[("AnchorFS", "ext4")],
    series=[
        Series(
            name="stat, warm", unit=Unit.MICROSECONDS, seconds={"ext4": [1e-6, 2e-6], "AnchorFS": [1.2e-6, 2.4e-6]},
            bar=Bar(place="AnchorFS", than="ext4", at_most=1.3),
        ),
        Series(
            name="ls", unit=Unit.MILLISECONDS, seconds={"ext4": [1e-3, 1e-3], "AnchorFS": [3e-3, 3e-3]},
            bar=Bar(place="AnchorFS", than="ext4", at_most=2.2),
        ),
    ],
)  # fmt: skip


def test_the_table_has_a_row_per_measure_and_says_which_bars_are_missed() -> None:
    rows = [line for line in markdown(REPORT).splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1, "the columns stand below each other"
    stat, ls = rows[2:]
    assert "1.50 ±33 %" in stat
    assert "1.20x (1.20 … 1.20)" in stat
    assert "met: AnchorFS ≤ 1.30x ext4" in stat
    assert "MISSED: AnchorFS ≤ 2.20x ext4" in ls


def test_the_facts_come_with_the_figures() -> None:
    assert "- machine: a small one" in markdown(REPORT).splitlines()


def test_json_keeps_every_sample(tmp_path: Path) -> None:
    target = tmp_path / "results" / "kernel.json"
    write_json(REPORT, target)
    told = json.loads(target.read_text(encoding="utf-8"))
    assert told["measures"][0]["seconds"] == REPORT.series[0].seconds
    assert told["measures"][0]["time_ratios"]["AnchorFS/ext4"]["median"] == 1.2
    assert [measure["bar"]["met"] for measure in told["measures"]] == [True, False]


def test_what_was_measured_before_is_kept_but_for_what_is_made_anew(tmp_path: Path) -> None:
    kept = tmp_path / "kernel.json"
    write_json(REPORT, kept)
    again = Series(name="ls", unit=Unit.MILLISECONDS, seconds={"ext4": [1e-3, 1e-3], "AnchorFS": [2e-3, 2e-3]})
    new = Series(
        name="find", unit=Unit.SECONDS, seconds={"AnchorFS": [0.5, 0.5]}, bar=Limit(place="AnchorFS", at_most=1.0)
    )
    report = joined(replace(REPORT, facts={"machine": "another one"}, series=[again, new]), kept)
    assert report.series == [REPORT.series[0], again, new]
    assert report.facts == {"machine": "a small one; another one"}
    write_json(report, kept)
    assert joined(replace(REPORT, series=[]), kept).series == report.series


def test_a_place_that_took_no_part_leaves_its_cells_empty() -> None:
    alone = Series(
        name="first byte", unit=Unit.MILLISECONDS, seconds={"AnchorFS": [0.04, 0.05]},
        bar=Limit(place="AnchorFS", at_most=0.045),
    )  # fmt: skip
    report = Report(bench="hydrate", facts={}, places=REPORT.places, compared=REPORT.compared, series=[alone])
    row = [cell.strip() for cell in markdown(report).splitlines()[-1].strip("|").split("|")]
    assert row == ["first byte [ms]", "", "45.0 ±11 %", "", "met: AnchorFS ≤ 45.0 ms"]
