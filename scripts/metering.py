"""What a process takes over time, told in windows, and whether it grew: scripts/soak's judgement.

Flat is a process whose memory in the last window of the second half is beyond that in its first by no more than
5 % or 4 MiB, whichever is more, and whose fewest descriptors in the last window are no more than in some window of the
first half: kept connections come and go, what is lost does not come back. What fills to a bound, as caches do, has the
first half for it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path

WINDOWS = 12  # six in each half; five minutes each of an hour
GROWTH_MAX_SHARE = 0.05
GROWTH_MAX_MIB = 4.0
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at a process; sizes in MiB."""

    at_s: float
    memory_mib: float
    descriptors: int
    threads: int
    log_mib: float  # of its catalog's write-ahead log


@dataclass(frozen=True, slots=True)
class Window:
    """Samples of a stretch of time."""

    from_s: float
    to_s: float
    memory_mib: float  # median
    most_memory_mib: float
    fewest_descriptors: int
    most_descriptors: int
    most_threads: int
    most_log_mib: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one process."""

    name: str
    grown_mib: float
    allowed_mib: float
    grown_descriptors: int

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow."""
        return self.grown_mib <= self.allowed_mib and self.grown_descriptors <= 0

    def __str__(self) -> str:
        return (
            f"{self.name}: over the second half memory {self.grown_mib:+.1f} MiB (at most {self.allowed_mib:+.1f}),"
            f" fewest descriptors {self.grown_descriptors:+d} against the first half:"
            f" {'flat' if self.is_flat else 'NOT FLAT'}"
        )


@dataclass(slots=True)
class Meter:
    """Samples of one process."""

    name: str
    pid: int
    log_path: Path
    samples: list[Sample] = field(default_factory=list)

    def sample(self, at_s: float) -> None:
        """Look at it now (proc_pid_status(5)); seconds since the work began."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        told = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.strip()}
        log_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.samples.append(
            Sample(
                at_s=at_s,
                memory_mib=int(told["VmRSS"]) / _KIB_PER_MIB,
                descriptors=sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()),
                threads=int(told["Threads"]),
                log_mib=log_bytes / _KIB_PER_MIB**2,
            )
        )

    def windows(self) -> list[Window]:
        """The time in twelve parts; empty ones are left out."""
        length_s = self.samples[-1].at_s / WINDOWS or 1.0
        parts: dict[int, list[Sample]] = {}
        for each in self.samples:
            parts.setdefault(min(int(each.at_s / length_s), WINDOWS - 1), []).append(each)
        return [_window(some, number * length_s, length_s) for number, some in sorted(parts.items())]

    def verdict(self) -> Verdict:
        """Whether it was flat over the second half."""
        return judged(self.name, self.windows())

    def table(self) -> str:
        """Markdown."""
        head = "| minutes | memory, median (most) MiB | descriptors | threads, at most | catalog's log, at most MiB |"
        rows = [
            f"| {each.from_s / 60:.0f} to {each.to_s / 60:.0f} | {each.memory_mib:.1f} ({each.most_memory_mib:.1f})"
            f" | {each.fewest_descriptors} to {each.most_descriptors} | {each.most_threads} | {each.most_log_mib:.1f} |"
            for each in self.windows()
        ]
        return "\n".join((head, "|---|---|---|---|---|", *rows))


def judged(name: str, windows: list[Window]) -> Verdict:
    """See the module."""
    half = len(windows) // 2
    first, last = windows[half], windows[-1]
    return Verdict(
        name=name,
        grown_mib=last.memory_mib - first.memory_mib,
        allowed_mib=max(GROWTH_MAX_MIB, GROWTH_MAX_SHARE * first.memory_mib),
        grown_descriptors=last.fewest_descriptors - max(each.fewest_descriptors for each in windows[: half or 1]),
    )


def _window(samples: list[Sample], from_s: float, length_s: float) -> Window:
    return Window(
        from_s=from_s,
        to_s=from_s + length_s,
        memory_mib=statistics.median(each.memory_mib for each in samples),
        most_memory_mib=max(each.memory_mib for each in samples),
        fewest_descriptors=min(each.descriptors for each in samples),
        most_descriptors=max(each.descriptors for each in samples),
        most_threads=max(each.threads for each in samples),
        most_log_mib=max(each.log_mib for each in samples),
    )
