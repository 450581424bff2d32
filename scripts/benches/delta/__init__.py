"""Scan against delta: what it costs to learn what changed, by the change feed and by looking at everything.

Per tree size one stage is set up. The mount is frozen (SIGSTOP) while others change files on the server's disk, and
goes on when the server's feed has all of them. The clock runs from there until the changes are seen by stat through
the kernel. The other ways find the same changes on the same tree, each with the server that it is made for, from the
start of their program to its end.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from scripts.benches import facts
from scripts.benches.delta import far
from scripts.benches.delta.near import Near
from scripts.benches.delta.results import NOT_MEASURED, DeltaReport
from scripts.benches.delta.sight import pull_of_many, seen_after
from scripts.benches.delta.stage import Stage
from scripts.benches.running import BenchFailedError, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benches.settings import Settings

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
FAR_ITEMS, QUICK_FAR = 10_000, 1_000
PULLED_ITEMS, QUICK_PULLED = 100_000, 20_000
SEEN_SAMPLES, QUICK_SEEN = 200, 60


def run(settings: Settings) -> DeltaReport:
    """Measure everything, or with `only` the sizes or parts (near 1000 files, far, pull, sight) of that name.

    A part that fails is said to be missing, and takes none of the others along: the largest tree comes last. SIGTERM
    and Ctrl-C end the run; what was measured until then is told.
    """
    report = DeltaReport(facts=facts.of_machine() | {"client's first state": "told by the server, without a walk"})
    sizes = QUICK_SIZES if settings.quick else SIZES
    parts: dict[str, Callable[[ExitStack], None]] = {
        f"near {items} files": partial(_near, settings, report, items, final=items == sizes[-1]) for items in sizes
    }
    largest = parts.popitem()
    parts |= {
        "sight": partial(_sight, settings, report),
        "pull": partial(_pull, settings, report),
        "far": partial(_far, settings, report),
    }
    for name, part in (*parts.items(), largest):
        if settings.picks(name):
            try:
                with ExitStack() as stack:
                    part(stack)
            except (BenchFailedError, OSError, subprocess.SubprocessError) as error:
                settings.say(f"{name}: {error}")
                report.facts[f"{NOT_MEASURED}{name}"] = str(error).strip().splitlines()[-1]
            except (KeyboardInterrupt, SystemExit):
                report.facts["ended early"] = f"in {name}"
                break
    return report


def _near(settings: Settings, report: DeltaReport, items: int, stack: ExitStack, *, final: bool) -> None:
    base = stack.enter_context(scratch(settings.folder))
    Near(settings, report, stack, base, items, final=final).measure()


def _sight(settings: Settings, report: DeltaReport, stack: ExitStack) -> None:
    samples = QUICK_SEEN if settings.quick else SEEN_SAMPLES
    seen_after(settings, report, _prepared(settings, stack, 10_000), samples)


def _pull(settings: Settings, report: DeltaReport, stack: ExitStack) -> None:
    count = QUICK_PULLED if settings.quick else PULLED_ITEMS
    pull_of_many(settings, report, _prepared(settings, stack, count), count)


def _far(settings: Settings, report: DeltaReport, stack: ExitStack) -> None:
    items = QUICK_FAR if settings.quick else FAR_ITEMS
    settings.say(f"{items:,} files at {far.FAR_MS:g} ms")
    far.run(settings, report, stack, _prepared(settings, stack, items, round_trip_ms=far.FAR_MS))


def _prepared(settings: Settings, stack: ExitStack, items: int, *, round_trip_ms: float = 0.0) -> Stage:
    base = stack.enter_context(scratch(settings.folder))
    stage = Stage(stack, base / "stage", items, round_trip_ms=round_trip_ms)
    stage.seed()
    stage.start_client()
    return stage
