"""Random work on open files, mappings and names, in a mount and on a local disk: never a difference.

Meanwhile changes are sent, bytes evicted, files changed on another machine, and the mount ended and killed. With
`--long` 300 seeds; scripts/soak goes on for as long as it is told.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.interop.rest import stopped_in_order
from tests.soak.shadow import Difference, Shadow
from tests.soak.steps import Step, drawn, shorter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.drives import Drive

STEPS = 150
SHRINK_TRIES = 60


def difference(shadow: Shadow, name: str, steps: tuple[Step, ...]) -> str:
    """What differs after these steps; nothing: ""."""
    try:
        shadow.compare(name, steps)
    except Difference as found:
        return str(found)
    return ""


def _still_differs(shadow: Shadow, names: Iterator[int], steps: tuple[Step, ...]) -> bool:
    return bool(difference(shadow, f"shorter {next(names)}", steps))


@pytest.mark.fuse
def test_a_mount_and_a_local_disk_give_the_same_answers(
    lonely: Drive, tmp_path: Path, often: Callable[[int, int], int]
) -> None:
    one, two = lonely.mount("one", "--cache-size", "8M"), lonely.mount("two")
    (tmp_path / "local").mkdir()
    shadow = Shadow(one, two, lonely.served, tmp_path / "local")
    for seed in range(often(8, 300)):
        steps = drawn(seed, STEPS, remounts=seed % 4 == 3)
        if found := difference(shadow, f"{seed}", steps):
            names = itertools.count()
            few = shorter(steps, partial(_still_differs, shadow, names), tries=SHRINK_TRIES)
            told = "\n".join(map(str, few))
            pytest.fail(f"seed {seed}: {found}\nas few steps as show it now:\n{told}")
    stopped_in_order(one)


def test_the_same_seed_draws_the_same_work() -> None:
    assert drawn(5, 50) == drawn(5, 50)
    assert drawn(5, 50) != drawn(6, 50)
    assert drawn(5, 1)[0].data == drawn(5, 1)[0].data


def test_a_failure_is_made_as_short_as_it_can_be() -> None:
    """Of 80 steps two are needed, in their order."""
    steps = drawn(3, 80)
    first, second = steps[20], steps[61]

    def breaks(some: tuple[Step, ...]) -> bool:
        return first in some and second in some and some.index(first) < some.index(second)

    assert shorter(steps, breaks) == (first, second)
