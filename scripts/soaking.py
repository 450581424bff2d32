"""Work for long: `scripts/soak --minutes 60 [--workers 3]`; exit status 1 on a difference, or when it grows.

Each worker does histories of random work in a folder of its own (tests/soak), one seed after another, on a drive that
holds many other files. Memory and descriptors of a mount and of the server are sampled; scripts/metering.py judges a
run of half an hour or more.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benches import facts
from scripts.benches.running import ended_in_order
from scripts.metering import Meter
from tests.harness.drives import Drive
from tests.interop.rest import stopped_in_order
from tests.soak.shadow import Difference, Shadow
from tests.soak.steps import drawn

SAMPLE_EVERY_S = 2.0
JUDGED_FROM_MINUTES = 30.0
FILES_PER_FOLDER = 1000
START_WITHIN_S = 300.0  # the server takes all files in before it listens


@dataclass(slots=True)
class Work:
    """What the workers share."""

    deadline_s: float
    seeds: itertools.count[int]
    steps: int
    done: int = 0
    broken: list[str] = field(default_factory=list)


def _work(shadow: Shadow, work: Work) -> None:
    while time.monotonic() < work.deadline_s and not work.broken:
        seed = next(work.seeds)
        try:
            shadow.compare(f"{seed}", drawn(seed, work.steps))
        except (Difference, OSError) as found:
            told = "".join(traceback.format_exception(found, limit=-2)) if isinstance(found, OSError) else str(found)
            work.broken.append(f"seed {seed}: {told}")
        work.done += 1


def main() -> int:
    """0 when nothing differed and nothing grew."""
    given = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="anchorfs-soak-", dir=given.dir)).resolve()
    work = Work(0.0, itertools.count(given.seed), given.steps)
    with ended_in_order():
        meters = _soak(folder, work, given)
    verdicts = [meter.verdict() for meter in meters]
    judged = given.minutes >= JUDGED_FROM_MINUTES
    well = not work.broken and (not judged or all(each.is_flat for each in verdicts))
    lines = [
        "# scripts/soak\n",
        *(f"- {name}: {fact}" for name, fact in facts.of_machine().items()),
        f"- {given.minutes:g} minutes, {given.workers} at a time, among {given.files:,} files that nobody works on",
        f"- {work.done} histories of {work.steps} steps beside a local disk; {len(work.broken)} broken",
        *(f"  - {each}" for each in work.broken),
        *(f"- {each}" for each in verdicts),
        *(() if judged else ("- too short to be judged by that: caches are still filling",)),
        *(f"\n## {meter.name}\n\n{meter.table()}" for meter in meters),
    ]
    print("\n".join(lines))
    if given.keep is not None:
        given.keep.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if not well:
        print(f"NOT WELL; the evidence is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (10)")
    parser.add_argument("--seed", type=int, default=1, help="the first history's; the next has the next (1)")
    parser.add_argument("--steps", type=int, default=300, help="how long each history is (300)")
    parser.add_argument("--workers", type=int, default=3, help="how many at a time (3)")
    parser.add_argument("--files", type=int, default=100_000, help="how many other files the drive holds (100000)")
    parser.add_argument("--dir", type=Path, default=None, help="a folder to work below, on a disk with local semantics")
    parser.add_argument("--keep", type=Path, default=None, metavar="FILE", help="write what was found there, too")
    return parser


def _soak(folder: Path, work: Work, given: argparse.Namespace) -> list[Meter]:
    with ExitStack() as stack:
        drive = Drive(folder / "drive")
        _fill(drive.served, given.files)
        drive.server.start(within_s=START_WITHIN_S)
        stack.push(drive)
        one, two = drive.mount("one", "--cache-size", "32M"), drive.mount("two")
        for mount in (one, two):
            _look_at_all(mount.path)
        (folder / "local").mkdir()
        shadow = Shadow(one, two, drive.served, folder / "local")
        meters = [
            Meter("mount", one.pid, one.cache_dir / "state.db-wal"),
            Meter("server", drive.server.pid, drive.server.state / "drive.db-wal"),
        ]
        began_s = time.monotonic()
        work.deadline_s = began_s + given.minutes * 60
        threads = [threading.Thread(target=_work, args=(shadow, work)) for _ in range(given.workers)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for meter in meters:
                meter.sample(time.monotonic() - began_s)
            time.sleep(SAMPLE_EVERY_S)
        for thread in threads:
            thread.join()
        if not work.broken:
            stopped_in_order(one)
    return meters


def _fill(top: Path, files: int) -> None:
    """As many empty files, in folders: caches that are filled by them cannot be taken for a leak later."""
    for start in range(0, files, FILES_PER_FOLDER):
        folder = top / "others" / f"{start // FILES_PER_FOLDER:04d}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + FILES_PER_FOLDER, files)):
            (folder / f"{number:07d}").touch()


def _look_at_all(top: Path) -> None:
    for _ in os.walk(top):
        pass


if __name__ == "__main__":
    sys.exit(main())
