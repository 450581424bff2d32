"""scripts/soak's judgement: what filled up in the first half is flat in the second, what goes on growing is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from scripts.metering import WINDOWS, Meter, Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR_S = 3600


def metered(tmp_path: Path, memory_mib: Callable[[float], float], descriptors: Callable[[float], int]) -> Meter:
    """An hour, looked at every ten seconds; both as functions of the time, 0 to 1."""
    meter = Meter("it", os.getpid(), tmp_path / "log")
    meter.samples = [
        Sample(at_s, memory_mib(at_s / HOUR_S), descriptors(at_s / HOUR_S), 3, 1.0) for at_s in range(0, HOUR_S + 1, 10)
    ]
    return meter


@pytest.mark.parametrize(
    ("memory_mib", "is_flat"),
    [
        (lambda _: 100.0, True),
        (lambda t: 60 + 100 * min(t, 0.45), True),  # filled up
        (lambda t: 100 + (40 if int(t * 360) % 60 == 7 else 0), True),  # now and then for a moment
        (lambda t: 60 + 40 * t, False),
        (lambda t: 60 + 9 * t, True),  # 3.75 MiB between the windows
        (lambda t: 60 + 10 * t, False),  # 4.2
        (lambda t: 200 + 20 * t, True),  # 5 % of 211
        (lambda t: 200 + 30 * t, False),
    ],
)
def test_memory(tmp_path: Path, memory_mib: Callable[[float], float], is_flat: bool) -> None:
    assert metered(tmp_path, memory_mib, lambda _: 20).verdict().is_flat == is_flat


@pytest.mark.parametrize(
    ("descriptors", "is_flat"),
    [
        (lambda _: 20, True),
        (lambda t: 20 + int(t * 360) % 9, True),  # files that are open just then
        (lambda t: 20 + int(t * 12), False),
        (lambda t: 20 + (t > 0.9), False),  # one that is not given back
        (lambda t: 25 - int(t * 3), True),
        (lambda t: 23 + 2 * (int(t * 12) % 2), True),  # kept connections
        (lambda t: 23 + 2 * (int(t * 12) % 2) + int(t * 4), False),
    ],
)
def test_descriptors(tmp_path: Path, descriptors: Callable[[float], int], is_flat: bool) -> None:
    assert metered(tmp_path, lambda _: 100.0, descriptors).verdict().is_flat == is_flat


def test_a_process_is_looked_at_and_told_in_windows(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(1 << 20))
    meter = Meter("it", os.getpid(), tmp_path / "log")
    with (tmp_path / "log").open("rb"):
        meter.sample(0.0)
    meter.sample(30.0)
    meter.sample(60.0)
    first, second, _ = meter.samples
    assert first.descriptors == second.descriptors + 1
    assert first.memory_mib > 5
    assert first.log_mib == 1.0
    assert [round(each.from_s) for each in meter.windows()] == [0, 30, 55]
    assert len(meter.table().splitlines()) == 2 + 3
    assert WINDOWS == 12
