"""Scan against delta: what it costs to learn what changed, by the change feed and by looking at everything.

Per tree size one stage is set up. The mount is frozen (SIGSTOP) while others change files on the server's disk, and
goes on when the server's feed has all of them. The clock runs from there until the changes are seen by stat through
the kernel. The other ways find the same changes on the same tree, each with the server that it is made for, from the
start of their program to its end.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from scripts.benches import facts
from scripts.benches.delta import results
from scripts.benches.delta.changes import Changer, Sort
from scripts.benches.delta.etags import Walk
from scripts.benches.delta.others import Rclone, SmbMount, find_newer
from scripts.benches.delta.results import DeltaReport, Measure
from scripts.benches.delta.sight import pull_of_many, seen_after
from scripts.benches.delta.stage import Stage, await_true, cpu_s
from scripts.benches.running import Program, scratch
from scripts.benches.tools import rclone_program
from tests.harness import samba

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.benches.delta.changes import Change
    from scripts.benches.settings import Settings

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
FAR_ITEMS, FAR_MS = 10_000, 20.0
PULLED_ITEMS, QUICK_PULLED = 100_000, 20_000
SEEN_SAMPLES, QUICK_SEEN = 200, 60
LARGE = 300_000  # files: from here on what looks at everything is done once
TIMED_MAX = 100  # of many changes, so many are waited for while the clock runs; then all are looked at


def run(settings: Settings) -> DeltaReport:
    """Measure everything, or with `only` the sizes or parts (near 1000 files, far, pull, sight) of that name."""
    report = DeltaReport(facts=facts.of_machine() | {"client's first state": "told by the server, without a walk"})
    sizes = QUICK_SIZES if settings.quick else SIZES
    for items in [each for each in sizes if settings.picks(f"near {each} files")]:
        with ExitStack() as stack:
            base = stack.enter_context(scratch(settings.folder))
            _Near(settings, report, stack, base, items, final=items == sizes[-1]).measure()
    if settings.picks("sight"):
        with ExitStack() as stack:
            seen_after(
                settings, report, _prepared(settings, stack, 10_000), QUICK_SEEN if settings.quick else SEEN_SAMPLES
            )
    if settings.picks("pull"):
        with ExitStack() as stack:
            count = QUICK_PULLED if settings.quick else PULLED_ITEMS
            pull_of_many(settings, report, _prepared(settings, stack, count), count)
    if settings.picks("far"):
        _far(settings, report)
    return report


def _prepared(settings: Settings, stack: ExitStack, items: int, *, round_trip_ms: float = 0.0) -> Stage:
    base = stack.enter_context(scratch(settings.folder))
    stage = Stage(stack, base / "stage", items, round_trip_ms=round_trip_ms)
    stage.seed()
    stage.start_client()
    return stage


class _Near:
    """All that is measured on one tree, without a distance."""

    def __init__(
        self, settings: Settings, report: DeltaReport, stack: ExitStack, base: Path, items: int, *, final: bool
    ) -> None:
        self._settings, self._report, self._stack, self._base, self._items = settings, report, stack, base, items
        self._final = final
        self._changer = Changer(items)
        self._say(f"{items:,} files: making, importing, telling")
        self._stage = Stage(stack, base / "stage", items)
        seeded_s = self._stage.seed()
        self._note("made, s", self._stage.built_s)
        self._note("imported by the server, s", self._stage.imported_s)
        self._note("told to the client as a whole, s", seeded_s)

    def measure(self) -> None:
        """Start, deltas, then everything that looks at everything."""
        self._start()
        for changes in self._counts():
            runs = self._settings.runs if changes <= 1000 else min(self._settings.runs, 2)
            self._say(f"{self._items:,} files: delta of {changes:,}")
            deltas(self._stage, self._changer, self._report, changes, runs)
        self._listing()
        self._etags()
        self._rclone()
        self._resync()

    def _say(self, what: str) -> None:
        self._settings.say(what)

    def _note(self, name: str, value: float) -> None:
        self._report.figures[f"{self._items:,} files: {name}"] = round(value, 4)

    def _counts(self) -> list[int]:
        wanted = {0, 1, 100, 10_000, self._items // 100}
        return sorted(each for each in wanted if each <= 100 or each <= self._items // 10)

    def _start(self) -> None:
        starts, resident, peak = [], [], []
        for _ in range(3):
            starts.append(self._stage.start_client())
            resident.append(self._stage.memory_mib())
            peak.append(self._stage.memory_mib("VmHWM"))
            self._stage.stop_client()
        self._stage.start_client()
        self._stage.pull()
        self._note("first stat after the mount begins, s", sorted(starts)[1])
        if self._final:
            self._report.figures["first stat after the mount begins, s"] = round(sorted(starts)[1], 3)
            self._report.figures["memory at the first stat, MiB"] = round(sorted(resident)[1], 1)
            self._report.figures["most memory until then, MiB"] = round(max(peak), 1)

    @property
    def _scans(self) -> int:
        return 1 if self._items >= LARGE else min(self._settings.runs, 3)

    def _timed(self, way: str, act: Callable[[], object], server_pid: int | None = None) -> Measure:
        measure = Measure(way=way, items=self._items, changes=100)
        self._say(f"{self._items:,} files: {way}")
        for _ in range(self._scans):
            before_s = 0.0 if server_pid is None else cpu_s(server_pid)
            began_s = time.perf_counter()
            act()
            measure.seconds.append(time.perf_counter() - began_s)
            if server_pid is not None:
                measure.server_cpu_s.append(cpu_s(server_pid) - before_s)
        self._report.measures.append(measure)
        return measure

    def _listing(self) -> None:
        stamp = self._base / "stamp"
        stamp.touch()
        make_and_await(self._stage, self._changer.pick(100))
        self._stage.pull()
        self._timed(results.LISTING, lambda: find_newer(self._stage.mountpoint, stamp), self._stage.running.pid)

    def _etags(self) -> None:
        ready = self._base / "etags.address"
        words = [sys.executable, "-m", "scripts.benches.delta.etags", self._stage.root, ready]
        server = Program(words, self._base / "etags.log")
        self._stack.callback(server.close)
        server.await_true(ready.exists, "ETag server")
        walk = Walk(ready.read_text(encoding="ascii"), {})
        measure = Measure(way=results.ETAGS, items=self._items, changes=100)
        self._say(f"{self._items:,} files: {results.ETAGS}")
        for _ in range(min(self._settings.runs, 3)):
            changes = self._changer.pick(100)
            make_and_await(self._stage, changes)
            walk.tell([path for change in changes for path in (change.path, change.to) if path])
            before_s, began_s = cpu_s(server.pid), time.perf_counter()
            requests, received, _ = walk.run()
            measure.seconds.append(time.perf_counter() - began_s)
            measure.server_cpu_s.append(cpu_s(server.pid) - before_s)
            measure.requests.append(requests)
            measure.bytes_moved.append(received)
        self._report.measures.append(measure)
        server.close()

    def _rclone(self) -> None:
        program = rclone_program()
        self._report.facts.setdefault("rclone", facts.of_rclone(program, ())["rclone"].partition(",")[0])
        rclone = Rclone(self._stack, self._base / "rclone", self._stage.root, program)
        self._timed(results.RCLONE, rclone.list_all)
        if self._items < LARGE:
            self._timed(results.CHECK, rclone.check)

    def _resync(self) -> None:
        """Our own client, as if there were no feed: it lists every folder that it knows, and compares."""
        stage = self._stage
        measure = Measure(way=results.RESYNC, items=self._items, changes=100)
        for _ in range(self._scans):
            self._say(f"{self._items:,} files: {results.RESYNC}")
            stage.stop_client()
            changes = self._changer.pick(100)
            make_and_await(stage, changes)
            stage.forget_anchor()
            before, began_s = stage.spent(), time.perf_counter()
            stage.start_client()
            stage.pull()
            measure.seconds.append(time.perf_counter() - began_s)
            note_spent(stage, measure, before)
            await_all(stage, changes)
        self._report.measures.append(measure)


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


def note_spent(stage: Stage, measure: Measure, before: object) -> None:
    """CPU, requests and bytes since then."""
    spent = stage.spent().since(before)  # type: ignore[arg-type]
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

    deadline_s = time.monotonic() + 300
    while not is_told():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the server's feed does not tell of all changes")
        time.sleep(0.2 + len(changes) / 5000)  # being asked for all of it again keeps the server from looking


def _is_whole(told: dict[str, Any], size: int) -> bool:
    """Whether the server saw the end of a change, and not a file that was just opened for it."""
    return told["type"] == "deleted" or told["item"]["is_folder"] or told["item"]["size"] == size


def await_all(stage: Stage, changes: Sequence[Change]) -> None:
    """Until each is seen by stat through the kernel."""
    for change in changes:
        await_true(lambda change=change: change.shows(stage.mountpoint), str(change))  # type: ignore[misc]


def _far(settings: Settings, report: DeltaReport) -> None:
    """The same at a distance, beside SMB through a VPN: without deltas a virtual drive loses to it."""
    items = 1_000 if settings.quick else FAR_ITEMS
    settings.say(f"{items:,} files at {FAR_MS:g} ms")
    with ExitStack() as stack:
        stage = _prepared(settings, stack, items, round_trip_ms=FAR_MS)
        changer = Changer(items)
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
