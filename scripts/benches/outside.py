"""Changes made behind the server's back: which are found by a scan and which at once, whether ids stay, and how soon
another machine's mount shows them.

A real smbd shares the exported directory, smbclient changes it, a mount looks on. Every operation is done on a server
that watches, where its latency is taken, and once on a server that only scans, where nothing is found before the scan.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from scripts.benches import facts, places
from scripts.benches.latency import LatencyReport, Row
from scripts.benches.operations import Operation, operations
from scripts.benches.running import CHECKOUT, BenchFailedError, Program, scratch
from scripts.benches.smb import SmbSession
from tests.harness.samba import Samba, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benches.settings import Settings

BURST, QUICK_BURST = 20_000, 4_000
SAMPLES_PER_RUN = 10
_SEEN_WITHIN_S = 30.0
_ASK_EVERY_S = 0.001
_CONVERGE_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A server over a folder that smbd shares, and a machine that mounts its drive."""

    root: Path
    state: Path
    mount: Path
    url: str
    smb: SmbSession

    def scan(self) -> None:
        """Find everything now."""
        words = [sys.executable, "-m", "server_stub", "scan", "--root", str(self.root), "--state", str(self.state)]
        subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True)

    def figures(self) -> dict[str, float]:
        """Its own figures."""
        lines = self._ask("/metrics").decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def watch(self) -> str:
        """How current it is with what others do."""
        return str(json.loads(self._ask("/healthz"))["watch"])

    def _ask(self, target: str) -> bytes:
        with urlopen(self.url + target, timeout=_SEEN_WITHIN_S) as answer:  # noqa: S310 - our own server
            body: bytes = answer.read()
        return body


def run(settings: Settings) -> LatencyReport:
    """Measure everything."""
    reason = missing()
    if reason is not None:
        raise BenchFailedError(f"no smbd: {reason}")
    burst = QUICK_BURST if settings.quick else BURST
    with ExitStack() as stack:
        base = stack.enter_context(scratch(settings.folder))
        settings.say("starting two servers with smbd and a mount each")
        watched, scanned = _staged(stack, base / "watched", "auto"), _staged(stack, base / "scanned", "off")
        rows = [_row(operation, watched, scanned, settings) for operation in operations(base)]
        settings.say(f"{burst:,} operations at once")
        bursts = {f"{burst:,} operations in a burst": _burst(watched, burst)}
        log = (base / "watched" / "server.log").read_text(encoding="utf-8")
    kind = next(line.partition("watch: ")[2].split()[0] for line in log.splitlines() if "tells of changes" in line)
    return LatencyReport(
        bench="outside", facts=facts.of_machine() | {"watch": kind, "Samba": _samba_version()}, rows=rows, bursts=bursts
    )  # fmt: skip


def _staged(stack: ExitStack, base: Path, watch: str) -> Stage:
    root, state, ready = base / "root", base / "server", base / "ready.json"
    root.mkdir(parents=True)
    samba = stack.enter_context(Samba(base / "samba", root))
    words = [sys.executable, "-m", "server_stub", "serve", "--root", root, "--state", state, "--no-auth"]
    words += ["--listen", "127.0.0.1:0", "--ready-file", ready, "--watch", watch, "--scan-interval", "0"]
    server = Program([*words, "--samba-log", samba.audit_log, "--no-access-log"], base / "server.log")
    stack.callback(server.close)
    server.await_true(ready.exists, "server")
    url = str(json.loads(ready.read_text(encoding="utf-8"))["url"])
    place = places.mounted_anchorfs(stack, base, root, url)
    session = stack.enter_context(SmbSession(samba.words()))
    stage = Stage(root=root, state=state, mount=place.path, url=url, smb=session)
    wanted = "off" if watch == "off" else "watching"
    server.await_true(lambda: stage.watch() == wanted, "watch")
    return stage


def _row(operation: Operation, watched: Stage, scanned: Stage, settings: Settings) -> Row:
    settings.say(operation.name)
    samples = settings.runs * (1 if operation.is_long else SAMPLES_PER_RUN)
    names = [f"-{operation.name.replace(' ', '-')}-{number}" for number in range(samples)]
    told = [_sample(operation, watched, name, lambda: None) for name in names]
    by_scan, scan_kept = _sample(operation, scanned, names[0], scanned.scan)
    return Row(
        name=operation.name,
        scan=by_scan is not None,
        at_once=all(seconds is not None for seconds, _ in told),
        scan_kept=scan_kept,
        kept=None if operation.keeps is None else all(kept for _, kept in told),
        seconds=[_SEEN_WITHIN_S if seconds is None else seconds for seconds, _ in told],
    )


def _sample(
    operation: Operation, stage: Stage, name: str, catch_up: Callable[[], None]
) -> tuple[float | None, bool | None]:
    """Seconds until it was seen (None: it never was), and whether the id stayed (None: there is none to keep)."""
    for command in operation.prepare:
        stage.smb.do(command.replace("@", name))
    catch_up()
    ready = operation.ready
    if ready is not None and not _await((stage.mount / ready.replace("@", name)).exists):
        raise BenchFailedError(f"{operation.name}: what it begins with was never seen")
    item_id = None if operation.keeps is None else _item_id(stage.mount / operation.keeps.replace("@", name))
    target = stage.mount / operation.target.replace("@", name)
    done_s = stage.smb.do(operation.command.replace("@", name))
    catch_up()
    if not _await(lambda: operation.seen(target)):
        return None, None
    seconds = time.perf_counter() - done_s
    return seconds, None if item_id is None else _item_id(target) == item_id


def _await(question: Callable[[], bool]) -> bool:
    deadline_s = time.perf_counter() + _SEEN_WITHIN_S
    while time.perf_counter() < deadline_s:
        try:
            if question():
                return True
        except OSError:
            pass  # a name that is not there yet
        time.sleep(_ASK_EVERY_S)
    return False


def _item_id(path: Path) -> str:
    return os.getxattr(path, "user.anchorfs.item_id").decode()


def _burst(stage: Stage, count: int) -> str:
    """As fast as a process on the server can: files written, renamed across folders and deleted, folders renamed."""
    before = stage.figures()
    begun_s = time.perf_counter()
    done = _disturb(stage.root / "burst", count)
    worked_s = time.perf_counter() - begun_s
    want = _tree(stage.root / "burst")
    deadline_s = time.perf_counter() + _CONVERGE_WITHIN_S
    while (found := _tree(stage.mount / "burst")) != want and time.perf_counter() < deadline_s:
        time.sleep(0.1)
    agreed_s = time.perf_counter() - begun_s
    after = stage.figures()
    overflows, scans = (after[name] - before[name] for name in ("anchorfs_watch_overflows", "anchorfs_watch_scans"))
    missed = len(want.items() ^ found.items())
    return (
        f"{done:,} done in {worked_s:.1f} s, the mount agreed {agreed_s - worked_s:.1f} s after the last; {missed} of "
        f"the {len(want):,} files that are left missed, {overflows:.0f} overflows of the queue, {scans:.0f} scans"
    )


def _disturb(top: Path, count: int) -> int:
    top.mkdir()
    done = folders = 0
    while done < count:
        folder = top / f"folder-{folders}"
        folder.mkdir()
        for number in range(100):
            path = folder / f"a{number}"
            path.write_bytes(b"x" * number)
            if number % 2:
                path = path.rename(folder / f"b{number}")
            if number % 5 == 0:
                path.unlink()
        folder.rename(top / f"renamed-{folders}")
        (top / f"renamed-{folders}" / "late").write_bytes(b"into a folder that has just been renamed")
        folders += 1
        done += 1 + 100 + 50 + 20 + 1 + 1
    return done


def _tree(top: Path) -> dict[str, int]:
    """Sizes by path; what vanishes meanwhile is left out."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(top):
        for path in (Path(folder, name) for name in names):
            with suppress(OSError):
                found[str(path.relative_to(top))] = path.stat().st_size
    return found


def _samba_version() -> str:
    done = subprocess.run(["smbclient", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
