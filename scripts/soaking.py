"""Work for long: `scripts/soak --minutes 10 --seed 1 [--workers 3]`; exit status 1 on a difference, or when it grows.

Each worker does histories of random work in a folder of its own (tests/soak), one seed after another. Memory and
descriptors of the mount and of the server are sampled; their slopes are told per hour, over the second half.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benches.running import ended_in_order
from tests.harness.drives import Drive
from tests.interop.rest import stopped_in_order
from tests.soak.shadow import Difference, Shadow
from tests.soak.steps import drawn

SAMPLE_EVERY_S = 2.0
FEWEST_SAMPLES = 20
GROWTH_MAX_MIB_PER_HOUR = 64.0  # what an hour may add; noise of a short run is more, so that is only told
JUDGED_FROM_MINUTES = 30.0
DESCRIPTORS_MAX_GROWTH = 32.0


@dataclass(slots=True)
class Meter:
    """Samples of one process."""

    name: str
    pid: int
    times_s: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)

    def sample(self, now_s: float) -> None:
        """Look at it now (proc_pid_status(5))."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        resident_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        self.times_s.append(now_s)
        self.memory_mib.append(resident_kib / 1024)
        self.descriptors.append(float(sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())))

    def per_hour(self, values: list[float]) -> float:
        """How much it grows, by least squares over the second half."""
        half = len(values) // 2
        times, some = self.times_s[half:], values[half:]
        middle_s, mean = sum(times) / len(times), sum(some) / len(some)
        spread = sum((time_s - middle_s) ** 2 for time_s in times)
        slope = sum((time_s - middle_s) * (value - mean) for time_s, value in zip(times, some, strict=True))
        return slope / spread * 3600

    def tell(self) -> None:
        """One line."""
        for what, unit, values in (("memory", "MiB", self.memory_mib), ("descriptors", "", self.descriptors)):
            print(
                f"{self.name:<8} {what:<12} first {values[0]:.0f}, last {values[-1]:.0f}, at most"
                f" {max(values):.0f} {unit} · {self.per_hour(values):+.1f} {unit} an hour"
            )


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
            work.broken.append(f"seed {seed}: {type(found).__name__}: {found}")
        work.done += 1


def main() -> int:
    """0 when nothing differed and nothing grew."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (10)")
    parser.add_argument("--seed", type=int, default=1, help="the first history's; the next has the next (1)")
    parser.add_argument("--steps", type=int, default=300, help="how long each history is (300)")
    parser.add_argument("--workers", type=int, default=3, help="how many at a time (3)")
    parser.add_argument("--dir", type=Path, default=None, help="a folder to work below, on a disk with local semantics")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="anchorfs-soak-", dir=given.dir)).resolve()
    work = Work(time.monotonic() + given.minutes * 60, itertools.count(given.seed), given.steps)
    with ended_in_order():
        meters = _soak(folder, work, given.workers)
    print(f"{work.done} histories of {work.steps} steps; {len(work.broken)} broken")
    for each in work.broken:
        print(f"  {each}")
    grown = [meter for meter in meters if len(meter.times_s) >= FEWEST_SAMPLES and _grows(meter, given.minutes)]
    for meter in meters:
        meter.tell()
    if work.broken or grown:
        print(f"NOT WELL; the evidence is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _grows(meter: Meter, minutes: float) -> bool:
    if minutes < JUDGED_FROM_MINUTES:
        return max(meter.descriptors[-3:]) - min(meter.descriptors[:10]) > DESCRIPTORS_MAX_GROWTH
    descriptors, memory = meter.per_hour(meter.descriptors), meter.per_hour(meter.memory_mib)
    return descriptors > DESCRIPTORS_MAX_GROWTH or memory > GROWTH_MAX_MIB_PER_HOUR


def _soak(folder: Path, work: Work, workers: int) -> list[Meter]:
    with Drive(folder / "drive") as drive:
        one, two = drive.mount("one", "--cache-size", "32M"), drive.mount("two")
        (folder / "local").mkdir()
        shadow = Shadow(one, two, drive.served, folder / "local")
        meters = [Meter("mount", one.pid), Meter("server", drive.server.pid)]
        threads = [threading.Thread(target=_work, args=(shadow, work)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for meter in meters:
                meter.sample(time.monotonic())
            time.sleep(SAMPLE_EVERY_S)
        for thread in threads:
            thread.join()
        if not work.broken:
            stopped_in_order(one)
    return meters


if __name__ == "__main__":
    sys.exit(main())
