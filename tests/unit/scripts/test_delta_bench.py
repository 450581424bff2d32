"""What the delta bench says of what it measured, and that the ways it compares with find what they should."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from scripts.benches.delta import etags, results
from scripts.benches.delta.changes import Changer, Sort
from scripts.benches.delta.results import DeltaReport, Measure
from scripts.benches.delta.sight import percentile
from scripts.benches.delta.stage import build, file_name

if TYPE_CHECKING:
    from pathlib import Path


def measured(way: str, items: int, *seconds: float, moved: int = 50_000) -> Measure:
    return Measure(way=way, items=items, changes=100, seconds=list(seconds), bytes_moved=[moved])


def test_bars_are_held_against_the_largest_tree_and_the_smallest() -> None:
    report = DeltaReport(facts={}, figures={"pull of many changes, changes/s": 19_999.0})
    report.measures = [
        measured(results.DELTA, 1_000, 0.04, 0.05, 0.06),
        measured(results.DELTA, 1_000_000, 0.05, 0.06, 0.09),
        measured(results.RESYNC, 1_000_000, 61.0),
        measured(results.RCLONE, 1_000_000, 59.0),
    ]
    told = {goal.what: goal for goal in report.goals()}
    words = "100 changes in 1,000,000 files, until visible"
    assert told[words].found == pytest.approx(60.0)
    assert told[f"{words}: bytes"].is_met
    assert told[f"{words}: faster than {results.RESYNC}"].is_met
    assert not told[f"{words}: faster than {results.RCLONE}"].is_met
    assert told["growth from 1,000 to 1,000,000 files"].found == pytest.approx(1.2)
    assert told["pull of many changes, changes/s"].cells()[-1] == "MISSED"


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    report = DeltaReport(facts={"made": "today"}, measures=[measured(results.DELTA, 1_000, 0.04)], figures={"a": 1.5})
    report.write_json(tmp_path / "delta.json")
    assert results.read(tmp_path / "delta.json") == report
    assert "| AnchorFS, delta | 1,000" in report.markdown()


def test_a_part_that_is_measured_anew_takes_nothing_else_away() -> None:
    far = Measure(way=results.DELTA, items=1_000, changes=100, round_trip_ms=20.0, seconds=[0.1])
    kept = DeltaReport(
        facts={"made": "yesterday", f"{results.NOT_MEASURED}pull": "why", f"{results.NOT_MEASURED}far": "too"},
        measures=[measured(results.DELTA, 1_000, 0.04), far],
        figures={"a": 1.0, "b": 2.0},
    )
    newer = DeltaReport(facts={"made": "today"}, measures=[measured(results.DELTA, 1_000, 0.03)], figures={"b": 3.0})
    whole = kept.completed_by(newer, "pull")
    assert [(m.round_trip_ms, m.seconds) for m in whole.measures] == [(0.0, [0.03]), (20.0, [0.1])]
    assert whole.figures == {"a": 1.0, "b": 3.0}
    assert whole.facts == {
        "made": "yesterday", f"{results.NOT_MEASURED}far": "too", "measured anew: pull": "today",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 10, 100])
def test_changes_are_as_many_as_asked_and_of_different_files(tmp_path: Path, count: int) -> None:
    build(tmp_path, 1_000)
    changer = Changer(1_000)
    for _ in range(4):  # also of what earlier ones left
        changes = changer.pick(count)
        assert len({change.path for change in changes}) == count
        for change in changes:
            assert not change.shows(tmp_path)
            change.make(tmp_path)
            assert change.shows(tmp_path)
        assert sum(change.sort is Sort.MOVE for change in changes) == count // 100
    assert (tmp_path / file_name(0)).stat().st_size == 0


def test_the_walk_by_etags_goes_only_where_something_changed(tmp_path: Path) -> None:
    build(tmp_path, 1_000)
    server = etags._Server(tmp_path)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        walk = etags.Walk(f"127.0.0.1:{server.server_address[1]}", {})
        assert walk.run()[0] == 1
        walk.tell([file_name(5), file_name(7), file_name(305)])
        requests, received, entries = walk.run()
        assert requests == 4  # the root, the group, and two folders of ten
        assert entries > 200
        assert received > entries * 100
        assert walk.run()[0] == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_of_few_samples_the_slowest_stands_for_99_of_100() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile([float(number) for number in range(1, 201)], 50) == 100.0
