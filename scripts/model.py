"""Tell many histories of the model: `scripts/model --examples 10000 --seed 1 [--steps 30] [--theme wide]`.

The history of a seed is always the same one. One that ends badly is told with its seed, made shorter, and traced;
then the exit status is 1.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.model.history import Ending, History, Step, Theme, drawn, shorter, told

if TYPE_CHECKING:
    from tests.model.world import World

SHOWN = 3  # histories told in full, of all that break in one place one
TOLD_EVERY_S = 60.0  # where a line stays, as in a file
TOLD_LIVE_EVERY_S = 0.5


def main() -> int:
    """0 when every history ended well."""
    parser = argparse.ArgumentParser(prog="scripts/model", description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="how many histories (1000)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed; the next has the next (1)")
    parser.add_argument("--steps", type=int, default=30, help="how long each is (30)")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no further one after so long")
    parser.add_argument(
        "--theme", type=Theme, choices=list(Theme), default=Theme.COMMON,
        help="what they are about (common); wide: more can happen; names: few things, many names, hardly an answer",
    )  # fmt: skip
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.freeze()  # what is imported stays; and a history leaves little that looking for it often would pay for
    gc.set_threshold(100_000, 50, 50)
    started, broken, count = time.monotonic(), defaultdict[str, list[int]](list), 0
    progress = Progress(given.examples)
    for seed in range(given.seed, given.seed + given.examples):
        if time.monotonic() - started > given.minutes * 60:
            break
        count += 1
        ending = told(drawn(seed, given.steps, given.theme))
        if ending.broke:
            broken[ending.broke].append(seed)
            progress.line(f"seed {seed}: {ending.broke}")
        progress.tell(count, sum(map(len, broken.values())))
    took_s = time.monotonic() - started
    failed = sum(map(len, broken.values()))
    progress.line(f"{count} histories of {given.steps} steps, {failed} ended badly, {count / took_s:.1f} a second")
    for broke, seeds in sorted(broken.items(), key=lambda each: -len(each[1]))[:SHOWN]:
        _tell(drawn(seeds[0], given.steps, given.theme), broke)
    return 1 if broken else 0


class Progress:
    """How far it is: one line that changes on a terminal, else one now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._live = sys.stdout.isatty()
        self._started_s = self._told_s = time.monotonic()

    def tell(self, count: int, failed: int) -> None:
        """After each history."""
        now_s = time.monotonic()
        if now_s - self._told_s < (TOLD_LIVE_EVERY_S if self._live else TOLD_EVERY_S):
            return
        self._told_s = now_s
        each_s = (now_s - self._started_s) / count
        text = f"{count} of {self._total}, {failed} ended badly, {each_s * (self._total - count) / 60:.0f} min left"
        print(f"\r\033[K{text}" if self._live else text, end="" if self._live else "\n", flush=True)

    def line(self, text: str) -> None:
        """A line that stays."""
        print(f"\r\033[K{text}" if self._live else text, flush=True)


def _tell(whole: History, broke: str) -> None:
    history = shorter(whole, Ending(broke=broke))
    print(f"\nseed {history.seed}, {history.machines} machines, {history.ground}: {broke}")

    def show(step: Step, world: World) -> None:
        print(f"  {step}\n      server {world.drive.tree()}")
        for machine in world.machines:
            rows = [f"{row.ino} {row.aspect} {row.state} {row.reason or ''}" for row in machine.outbox()]
            print(f"      {machine.name} {machine.tree()} {rows}")

    ending = told(history, show)
    for step in history.steps:
        print(f"  {step!r},")
    print(ending.trace)


if __name__ == "__main__":
    sys.exit(main())
