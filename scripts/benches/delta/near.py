"""All that is measured on one tree, without a distance."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from scripts.benches import facts
from scripts.benches.delta import results
from scripts.benches.delta.changes import Changer
from scripts.benches.delta.etags import Walk
from scripts.benches.delta.others import Rclone, find_newer
from scripts.benches.delta.results import DeltaReport, Measure
from scripts.benches.delta.stage import Stage, cpu_s, memory_mib
from scripts.benches.delta.timing import await_all, deltas, make_and_await, note_spent
from scripts.benches.running import Program
from scripts.benches.tools import rclone_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from scripts.benches.settings import Settings

LARGE = 300_000  # files: from here on what looks at everything is done once; a run takes minutes
MIDDLE = 100_000  # from here on twice


class Near:
    """See the module."""

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
        """Start, deltas, then everything that looks at everything, the bars' own first: a run may be ended early."""
        self._start()
        for changes in self._counts():
            runs = self._settings.runs if changes <= 1000 else min(self._settings.runs, 2)
            self._say(f"{self._items:,} files: delta of {changes:,}")
            deltas(self._stage, self._changer, self._report, changes, runs)
        self._note("memory of the mount after all deltas, MiB", self._stage.memory_mib())
        self._note("memory of the server then, MiB", memory_mib(self._stage.server.pid, "VmRSS"))
        self._etags()
        self._rclone()
        self._resync()
        self._listing()
        self._note("most memory of the mount, with a walk through everything, MiB", self._stage.memory_mib("VmHWM"))

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
        return min(self._settings.runs, 1 if self._items >= LARGE else 2 if self._items >= MIDDLE else 3)

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
