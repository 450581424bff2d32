"""scripts/chaos --minutes N --seed S: raise a storm, tell what came of it; exit status 1 unless all is well."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.benches.running import ended_in_order
from scripts.storms.raising import Report, Settings, run

SHOWN = 12


def main() -> int:
    """0 when nothing was lost, wrong or broken; otherwise the evidence is kept, and 1."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the storm blows (2)")
    parser.add_argument("--seed", type=int, default=1, help="decides what is tried and when (1)")
    parser.add_argument("--dir", type=Path, default=None, help="a folder to work below (the system's for temporary)")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="anchorfs-chaos-", dir=given.dir)).resolve()
    print(f"seed {given.seed}, {given.minutes:g} minutes, in {folder}", flush=True)
    with ended_in_order():
        report = run(Settings(seed=given.seed, seconds=given.minutes * 60), folder / "drive")
    _tell(report)
    if not report.well:
        print(f"the evidence is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _tell(report: Report) -> None:
    storm = report.storm
    print(f"operations   {_sum(storm.operations)}")
    print(f"interrupted  {_sum(storm.interrupted)}")
    print(f"kill -9      {_sum(storm.kills)}")
    print(f"faults       {_sum(report.faults)} in {report.requests} requests; links cut {report.outages} times")
    print(f"a caller hung in a killed mount for {storm.longest_block_s:.2f} s at most")
    for name, found in (("lost", storm.lost), ("wrong", storm.wrong), ("broken", storm.broken)):
        print(f"{name:<12} {len(found)}")
        for each in found[:SHOWN]:
            print(f"    {each}")
    print(f"{'well' if report.well else 'NOT WELL'}, after {report.took_s:.0f} s")


def _sum(counted: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in sorted(counted.items(), key=lambda each: -each[1]))
    return f"{sum(counted.values())} ({parts})" if counted else "0"


if __name__ == "__main__":
    sys.exit(main())
