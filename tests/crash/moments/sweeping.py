"""A sweep over the moments of a recorded run: every one is died at, or told as one that was not reached.

A sweep takes one moment of a call, and none of those that are `SELDOM` tried; with `--long` every one of all, and with
`ANCHORFS_KILLS=N` N of each, spread over the run. A moment counts when the process died there. With
`ANCHORFS_KILLS_LOG=FILE` those that were are noted there, and not tried again: a sweep goes on where another one was
broken off.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

Bench = TypeVar("Bench")

SELDOM = {"chmod", "chown", "utime", "copy", "symlink"}  # what comes of them depends least on when a program ends
TRIES = 3
_WORKERS = 2
_KILLS = int(os.environ.get("ANCHORFS_KILLS", "1"))
_LOG = os.environ.get("ANCHORFS_KILLS_LOG")
_EVERY = 1_000_000
_TORN = "torn "


def tried(calls: Sequence[str], config: pytest.Config) -> list[str]:
    """Those of the calls that have a sweep."""
    return [call for call in calls if config.getoption("--long") or _KILLS > 1 or call not in SELDOM]


def workers(often: Callable[[int, int], int]) -> int:
    """How many benches a sweep has work for."""
    return min(often(_KILLS, _EVERY), _WORKERS)


def sweep(
    call: str,
    recorded: Sequence[str],
    often: Callable[[int, int], int],
    benches: Sequence[Bench],
    kill_at: Callable[[Bench, str, bool], bool],
) -> None:
    """Die at the moments of a call ("torn pwrite": half done), by `kill_at(bench, moment, torn)`, one at a time on each
    bench; AssertionError tells everything that was wrong, and what was not reached in three tries.
    """
    begun = time.monotonic()
    found = [moment for moment in recorded if moment.split()[0] == call.removeprefix(_TORN)]
    assert found, f"no {call} in the recorded run"
    step = max(len(found) // often(_KILLS, _EVERY), 1)
    before = _noted(call).intersection(found)
    chosen = [moment for moment in found[step // 2 :: step] if moment not in before]
    free: SimpleQueue[Bench] = SimpleQueue()
    for bench in benches:
        free.put(bench)

    def one(moment: str) -> str:
        bench = free.get()
        wrong = ""
        try:
            if any(kill_at(bench, moment, call.startswith(_TORN)) for _ in range(TRIES)):
                _note(call, moment)
            else:
                wrong = "not reached"
        except Exception as error:  # noqa: BLE001 - told with the others
            wrong = f"{type(error).__name__}: {error}"
        finally:
            free.put(bench)
        if wrong:
            print(f"{call}: {moment}: {wrong}", flush=True)  # noqa: T201 - at once: a sweep may be broken off
        return wrong

    with ThreadPoolExecutor(len(benches)) as pool:
        results = dict(zip(chosen, pool.map(one, chosen), strict=True))
    bad = {moment: result for moment, result in results.items() if result}
    told = f"{len(chosen)} tried, {len(chosen) - len(bad)} killed there and nothing lost, {len(before)} earlier"
    print(f"{call}: {len(found)} moments, {told}, {time.monotonic() - begun:.0f} s")  # noqa: T201
    assert not bad, "\n".join(f"{moment}: {result}" for moment, result in bad.items())


def _noted(call: str) -> set[str]:
    if _LOG is None or not Path(_LOG).exists():
        return set()
    lines = Path(_LOG).read_text().splitlines()
    return {line.removeprefix(f"{call}: ") for line in lines if line.startswith(f"{call}: ")}


def _note(call: str, moment: str) -> None:
    if _LOG is not None:
        with Path(_LOG).open("a") as log:
            log.write(f"{call}: {moment}\n")
