"""One seed, one history: hundreds of them, each of which must end well, and the same whenever it is told.

500 of 30 steps, with `--long` 50,000; scripts/model tells any others, and makes one that ends badly shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.history import drawn, told

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 30
TOLD_AGAIN = 50  # every so manieth


@pytest.mark.usefixtures("_rarely_collected")
def test_every_seed_ends_well_and_always_alike(often: Callable[[int, int], int]) -> None:
    for seed in range(often(500, 50_000)):
        history = drawn(seed, STEPS)
        ending = told(history)
        assert not ending.broke, f"scripts/model --examples 1 --seed {seed}: {ending.trace}"
        if seed % TOLD_AGAIN == 0:
            assert told(history) == ending, f"seed {seed} has two endings"
