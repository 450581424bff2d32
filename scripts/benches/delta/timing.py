"""Changes made while the mount is frozen, and the time until it shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scripts.benches.delta import results
from scripts.benches.delta.results import DeltaReport, Measure
from scripts.benches.delta.stage import Stage, await_true
from scripts.benches.running import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.benches.delta.changes import Change, Changer
    from scripts.benches.delta.stage import Spent

TIMED_MAX = 100  # of many changes, so many are waited for while the clock runs; then all are looked at
TOLD_WITHIN_S = 300.0


def deltas(stage: Stage, changer: Changer, report: DeltaReport, count: int, runs: int) -> None:
    """So many changes at once, `runs` times."""
    far_ms = stage.round_trip_ms
    measure = Measure(way=results.DELTA, items=stage.items, changes=count, round_trip_ms=far_ms)
    for _ in range(runs):
        changes = changer.pick(count)
        timed = changes[:: max(1, len(changes) // TIMED_MAX)]
        for change in changes:
            change.shows(stage.mountpoint)  # from here on the kernel holds what will be wrong
        if not changes:
            before, began_s = stage.spent(), time.perf_counter()
            stage.pull()
        else:
            stage.freeze()
            make_and_await(stage, changes)
            before, began_s = stage.spent(), time.perf_counter()
            stage.thaw()
            await_all(stage, timed)
        measure.seconds.append(time.perf_counter() - began_s)
        await_all(stage, changes)
        stage.pull()
        note_spent(stage, measure, before)
    report.measures.append(measure)


def note_spent(stage: Stage, measure: Measure, before: Spent) -> None:
    """CPU, requests and bytes since then."""
    spent = stage.spent().since(before)
    measure.client_cpu_s.append(spent.client_cpu_s)
    measure.server_cpu_s.append(spent.server_cpu_s)
    measure.requests.append(spent.requests)
    measure.bytes_moved.append(spent.up_bytes + spent.down_bytes)


def make_and_await(stage: Stage, changes: Sequence[Change]) -> None:
    """Change the server's disk; return when its feed tells all of it."""
    anchor = stage.newest_anchor()
    for change in changes:
        change.make(stage.root)

    size = max(change.size for change in changes)

    def is_told() -> bool:
        told = [each for each in stage.changes(anchor) if _is_whole(each, size)]
        return len({each.get("item_id") or each["item"]["item_id"] for each in told}) >= len(changes)

    deadline_s = time.monotonic() + TOLD_WITHIN_S
    while not is_told():
        if time.monotonic() > deadline_s:
            raise BenchFailedError("the server's feed does not tell of all changes")
        time.sleep(0.2 + len(changes) / 5000)  # being asked for all of it again keeps the server from looking


def _is_whole(told: dict[str, Any], size: int) -> bool:
    """Whether the server saw the end of a change, and not a file that was just opened for it."""
    return told["type"] == "deleted" or told["item"]["is_folder"] or told["item"]["size"] == size


def await_all(stage: Stage, changes: Sequence[Change]) -> None:
    """Until each is seen by stat through the kernel."""
    for change in changes:
        await_true(lambda change=change: change.shows(stage.mountpoint), str(change))  # type: ignore[misc]
