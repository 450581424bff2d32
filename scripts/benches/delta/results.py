"""What the delta bench found: samples per way, tree size and number of changes; a table, goals, and JSON. Pure."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from scripts.benches.report import table
from scripts.benches.samples import rounded

if TYPE_CHECKING:
    from pathlib import Path

DELTA = "AnchorFS, delta"
RESYNC = "AnchorFS, made to compare everything"
LISTING = "AnchorFS, find -newer on its mount"
RCLONE = "rclone lsf -R (WebDAV)"
CHECK = "rclone check (WebDAV)"
ETAGS = "ETag walk (as Nextcloud clients)"
SMB = "SMB, find -newer on its mount"
SMB_LOOK = "SMB, one stat of a file whose name is known"
NOT_MEASURED = "not measured: "  # begins the name of a fact: which part, and why
MILLION = 1_000_000  # files: what the bar of a thousand times is about
_HEADS = ["way", "files", "changes", "RTT", "time", "lowest … highest", "requests", "bytes", "CPU here", "CPU there"]


@dataclass(slots=True, kw_only=True)
class Measure:
    """One way to learn of `changes` changes among `items` files; a sample per run. None: not measured for this way."""

    way: str
    items: int
    changes: int
    round_trip_ms: float = 0.0
    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    bytes_moved: list[int] = field(default_factory=list)
    client_cpu_s: list[float] = field(default_factory=list)
    server_cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """Of the runs."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bar: `found` against `limit`, in the words of `what`."""

    what: str
    found: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it holds."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def cells(self) -> list[str]:
        """A row of the table."""
        sign = "≥" if self.at_least else "≤"
        goal = f"{sign} {self.limit:,g} {self.unit}"
        return [self.what, f"{rounded(self.found)} {self.unit}", goal, "met" if self.is_met else "MISSED"]


@dataclass(slots=True, kw_only=True)
class DeltaReport:
    """All that the bench has to say. `figures` are single numbers, with their units in their names."""

    facts: dict[str, str]
    measures: list[Measure] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    bench: str = "delta"

    def find(self, way: str, items: int, changes: int, round_trip_ms: float = 0.0) -> Measure | None:
        """The measure of these, if it was taken."""
        wanted = (way, items, changes, round_trip_ms)
        return next((m for m in self.measures if (m.way, m.items, m.changes, m.round_trip_ms) == wanted), None)

    def completed_by(self, newer: DeltaReport, part: str) -> DeltaReport:
        """This one with what `newer`, a run of `part` alone, measured anew."""
        told = {(m.way, m.items, m.changes, m.round_trip_ms): m for m in (*self.measures, *newer.measures)}
        anew = ", ".join(newer.facts[name] for name in ("made", "machine", "AnchorFS") if name in newer.facts)
        kept = {name: fact for name, fact in self.facts.items() if part not in name}
        missing = {name: fact for name, fact in newer.facts.items() if name.startswith(NOT_MEASURED)}
        facts = kept | missing | {f"measured anew: {part}": anew}
        return DeltaReport(facts=facts, measures=list(told.values()), figures=self.figures | newer.figures)

    def goals(self) -> list[Goal]:
        """The bars that this run can say something about."""
        return [*self._delta_goals(), *self._single_goals()]

    def _delta_goals(self) -> list[Goal]:
        sizes = sorted({m.items for m in self.measures if m.way == DELTA and m.changes == 100 and not m.round_trip_ms})
        if not sizes:
            return []
        most, least = self.find(DELTA, sizes[-1], 100), self.find(DELTA, sizes[0], 100)
        assert most is not None  # noqa: S101 - its size was found above
        assert least is not None  # noqa: S101
        words = f"100 changes in {sizes[-1]:,} files, until visible"
        goals = [
            Goal(what=words, found=most.median_s * 1e3, limit=100, unit="ms"),
            Goal(what=f"{words}: bytes", found=statistics.median(most.bytes_moved) / 1e3, limit=100, unit="KB"),
        ]
        for way in (RESYNC, RCLONE):
            other = self.find(way, sizes[-1], 100)
            if other is not None and sizes[-1] >= MILLION:
                faster = other.median_s / most.median_s
                what = f"{words}: faster than {way}"
                goals.append(Goal(what=what, found=faster, limit=1000, unit="times", at_least=True))
        if len(sizes) == 1:
            return goals
        what = f"growth from {sizes[0]:,} to {sizes[-1]:,} files"
        return [*goals, Goal(what=what, found=most.median_s / least.median_s, limit=1.5, unit="times")]

    def _single_goals(self) -> list[Goal]:
        limits = {
            "first stat after the mount begins, s": (1.0, "s", False),
            "memory at the first stat, MiB": (120.0, "MiB", False),
            "pull of many changes, changes/s": (20_000.0, "changes/s", True),
            "seen by stat, p50, ms": (15.0, "ms", False),
            "seen by stat, p99, ms": (60.0, "ms", False),
        }
        return [
            Goal(what=name, found=self.figures[name], limit=limit, unit=unit, at_least=at_least)
            for name, (limit, unit, at_least) in limits.items()
            if name in self.figures
        ]

    def markdown(self) -> str:
        """Facts, goals, every measure, single figures."""
        facts = [f"- {key}: {value}" for key, value in self.facts.items()]
        goals = table([["goal", "found", "bar", ""], *(goal.cells() for goal in self.goals())])
        ordered = sorted(self.measures, key=lambda m: (m.round_trip_ms, m.changes, m.items, m.median_s))
        rows = table([_HEADS, *(_row(measure) for measure in ordered)])
        figures = [f"- {name}: {rounded(value)}" for name, value in self.figures.items()]
        parts = [["# scripts/bench delta"], facts, goals, rows, figures]
        return "\n\n".join("\n".join(part) for part in parts) + "\n"

    def write_json(self, path: Path) -> None:
        """Every sample."""
        document = {
            "bench": self.bench,
            "facts": self.facts,
            "goals": [asdict(goal) | {"met": goal.is_met} for goal in self.goals()],
            "figures": self.figures,
            "measures": [asdict(measure) for measure in self.measures],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> DeltaReport:
    """A report that was kept."""
    document = json.loads(path.read_text(encoding="utf-8"))
    measures = [Measure(**measure) for measure in document["measures"]]
    return DeltaReport(facts=document["facts"], measures=measures, figures=document["figures"])


def _row(measure: Measure) -> list[str]:
    """CPU in milliseconds, bytes in kilobytes."""
    spread = f"{_time(min(measure.seconds))} … {_time(max(measure.seconds))}" if len(measure.seconds) > 1 else "one run"
    return [
        measure.way, f"{measure.items:,}", f"{measure.changes:,}", f"{measure.round_trip_ms:g} ms",
        _time(measure.median_s), spread, _median(measure.requests), _median(measure.bytes_moved, 1e3, " KB"),
        _median(measure.client_cpu_s, 1e-3, " ms"), _median(measure.server_cpu_s, 1e-3, " ms"),
    ]  # fmt: skip


def _time(seconds: float) -> str:
    return f"{rounded(seconds)} s" if seconds >= 1 else f"{rounded(seconds * 1e3)} ms"


def _median(values: list[int] | list[float], per: float = 1, unit: str = "") -> str:
    return f"{statistics.median(values) / per:,.0f}{unit}" if values else ""
