"""A short storm (scripts/chaos raises long ones): whatever is killed and cut, nothing is lost, nothing is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.storms.claims import ABSENT, Change
from scripts.storms.raising import Settings, run
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.fuse
def test_a_short_storm_passes_without_loss(tmp_path: Path) -> None:
    # Who hangs, hangs for ever; how soon one is let go is measured where the machine is not busy with other tests.
    settings = Settings(
        seed=11, seconds=5.0, life_s=(0.8, 2.0), kills_min=3, operations_min=31, blocked_max_s=DEADLINE_S
    )
    report = run(settings, tmp_path / "drive")
    storm = report.storm
    assert (storm.lost, storm.wrong, storm.broken) == ([], [], [])
    assert settings.is_met(storm), (storm.kills, storm.operations)
    assert report.faults


@pytest.mark.parametrize(
    ("found", "explained"),
    [(b"old bytes", True), (b"new byt", True), (b"new bytes!", True), (b"", True), (b"new bytes", True),
     (b"old byt", False), (b"newer", False), (ABSENT, False), (None, False)],
)  # fmt: skip
def test_an_interrupted_write_leaves_the_beginning_of_the_new_bytes(found: bytes | None, explained: bool) -> None:
    change = Change({"file": b"old bytes"}, {"file": b"new bytes!"})
    assert change.explains({"file": found}) is explained


def test_a_rename_is_done_or_not() -> None:
    change = Change({"a": b"x", "b": b"y"}, {"a": ABSENT, "b": b"x"}, at_once=True)
    assert change.explains({"a": b"x", "b": b"y"})
    assert change.explains({"a": ABSENT, "b": b"x"})
    assert not change.explains({"a": ABSENT, "b": b"y"})
    assert not change.explains({"a": b"x", "b": b"x"})
