"""The same at a distance, beside SMB through a VPN: without deltas a virtual drive loses to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scripts.benches.delta import results
from scripts.benches.delta.changes import Changer, Sort
from scripts.benches.delta.others import SmbMount, find_newer
from scripts.benches.delta.results import DeltaReport, Measure
from scripts.benches.delta.stage import Stage, await_true
from scripts.benches.delta.timing import deltas, make_and_await, note_spent
from scripts.benches.tools import rclone_program
from tests.harness import samba

if TYPE_CHECKING:
    from contextlib import ExitStack

    from scripts.benches.settings import Settings

FAR_MS = 20.0


def run(settings: Settings, report: DeltaReport, stack: ExitStack, stage: Stage) -> None:
    """Deltas, SMB, and everything compared."""
    items, changer = stage.items, Changer(stage.items)
    deltas(stage, changer, report, 100, min(settings.runs, 5))
    if samba.missing() is not None:
        report.facts["SMB"] = f"not measured: {samba.missing()}"
    else:
        _smb(settings, report, stack, stage, changer)
    stage.stop_client()
    changes = changer.pick(100)
    make_and_await(stage, changes)
    stage.forget_anchor()
    measure = Measure(way=results.RESYNC, items=items, changes=100, round_trip_ms=FAR_MS)
    before, began_s = stage.spent(), time.perf_counter()
    stage.start_client()
    stage.pull()
    measure.seconds.append(time.perf_counter() - began_s)
    note_spent(stage, measure, before)
    report.measures.append(measure)


def _smb(settings: Settings, report: DeltaReport, stack: ExitStack, stage: Stage, changer: Changer) -> None:
    settings.say("SMB over the same tree, at the same distance")
    smb = SmbMount(stack, stage.base, stage.root, rclone_program(), FAR_MS)
    find = Measure(way=results.SMB, items=stage.items, changes=100, round_trip_ms=FAR_MS)
    look = Measure(way=results.SMB_LOOK, items=stage.items, changes=100, round_trip_ms=FAR_MS)
    for _ in range(min(settings.runs, 2)):
        stamp = stage.base / "smb-stamp"
        stamp.touch()
        changes = changer.pick(100)
        make_and_await(stage, changes)
        edit = next(change for change in changes if change.sort is Sort.EDIT)
        time.sleep(1.1)  # what its mount believes for a second is over
        began_s = time.perf_counter()
        await_true(lambda edit=edit: edit.shows(smb.path), "an edit through SMB")  # type: ignore[misc]
        look.seconds.append(time.perf_counter() - began_s)
        time.sleep(1.1)
        began_s = time.perf_counter()
        find_newer(smb.path, stamp)
        find.seconds.append(time.perf_counter() - began_s)
    report.measures += [find, look]
