"""scripts/bench NAME: pick the bench, run it, tell and keep what it found."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches import delta, hydrate, kernel, outside, page, scan, server
from scripts.benches.delta import account
from scripts.benches.delta.results import DeltaReport, read
from scripts.benches.report import Report, joined
from scripts.benches.running import BenchFailedError, ended_in_order
from scripts.benches.settings import QUICK_RUNS, RUNS, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benches.latency import LatencyReport
    from scripts.benches.scan import ScanReport

    AnyReport = Report | LatencyReport | ScanReport | DeltaReport

BENCHES: dict[str, Callable[[Settings], AnyReport]] = {
    "delta": delta.run,
    "hydrate": hydrate.run,
    "kernel": kernel.run,
    "outside": outside.run,
    "scan": scan.run,
    "server": server.run,
}
REPORT, PAGE_HELP = "report", "one page of what is kept"
DISK = "/var/tmp"  # noqa: S108 - by the file system hierarchy standard on a disk, where /tmp may be memory


def main() -> int:
    """0 when everything was measured, whether or not a bar was met."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "name",
        choices=[*sorted(BENCHES), REPORT],
        metavar="NAME",
        help=f"{', '.join(sorted(BENCHES))}, or {REPORT}: {PAGE_HELP}",
    )
    parser.add_argument("--quick", action="store_true", help="less data, fewer runs: within five minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every sample here, and the table beside it")
    parser.add_argument("--runs", type=int, metavar="N", help=f"{RUNS}, with --quick {QUICK_RUNS}")
    parser.add_argument("--dir", type=Path, default=Path(DISK), help=f"a folder on the disk to compare with ({DISK})")
    parser.add_argument(
        "--only",
        default="",
        metavar="PART[|PART]",
        help="cases with one of these in their names (delta: one); of delta, hydrate, kernel the others stay in FILE",
    )
    parser.add_argument(
        "--remote", metavar="URL", help="delta: an account instead, dav+https://USER@HOST/PATH or nextcloud+https://…"
    )
    given = parser.parse_args()
    if given.remote is not None and given.name != "delta":
        parser.error("--remote is for delta")
    if given.name == REPORT:
        print(page.write())
        return 0
    runs = given.runs or (QUICK_RUNS if given.quick else RUNS)
    if runs < 1:
        parser.error("--runs wants one at least")
    try:
        with ended_in_order():
            settings = Settings(quick=given.quick, runs=runs, folder=given.dir, only=given.only)
            run = BENCHES[given.name] if given.remote is None else partial(account.run, url=given.remote)
            report = run(settings)
    except BenchFailedError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    print(report.markdown())
    if given.json is not None:
        if given.only and given.json.exists():
            report = _completed(report, given.json, given.only)
        report.write_json(given.json)
        given.json.with_suffix(".md").write_text(report.markdown(), encoding="utf-8")
    return 0


def _completed(report: AnyReport, kept: Path, only: str) -> AnyReport:
    """With what is kept of the cases that were not picked."""
    if isinstance(report, DeltaReport):
        return read(kept).completed_by(report, only)
    return joined(report, kept) if isinstance(report, Report) else report


if __name__ == "__main__":
    sys.exit(main())
