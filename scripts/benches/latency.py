"""A report of how soon something is seen: per operation a few words on what was found, and a distribution. Pure."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from scripts.benches.report import table

if TYPE_CHECKING:
    from pathlib import Path

P50_GOAL_S = 0.1
P99_GOAL_S = 1.0
_HEADS = ["operation", "a scan finds it", "real time finds it", "id kept by both", "n", "p50", "p99", "goal"]
_LEGEND = (
    "Latency: from smbclient's prompt being back to the moment at which the change is seen in another machine's mount, "
    f"asked every millisecond. The goal is a median of {P50_GOAL_S * 1e3:.0f} ms and {P99_GOAL_S:.0f} s for 99 of 100."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation: `scan` and `at_once` say whether it was found that way, `kept` whether its id is what it was."""

    name: str
    scan: bool
    at_once: bool
    kept: bool | None  # None: there was nothing before, or is nothing after
    scan_kept: bool | None
    seconds: list[float]

    def percentile(self, percent: int) -> float:
        """By the nearest rank: of few samples, 99 is the slowest."""
        ranked = sorted(self.seconds)
        return ranked[max(0, -(-percent * len(ranked) // 100) - 1)]

    @property
    def is_in_goal(self) -> bool:
        """Both halves of it."""
        return statistics.median(self.seconds) <= P50_GOAL_S and self.percentile(99) <= P99_GOAL_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """All that the bench has to say; `bursts` are facts about what came all at once."""

    bench: str
    facts: dict[str, str]
    rows: list[Row]
    bursts: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """The facts, the table, the bursts."""
        lines = table([_HEADS, *(_cells(row) for row in self.rows)])
        facts = [f"- {key}: {value}" for key, value in self.facts.items()]
        bursts = [f"- {key}: {value}" for key, value in self.bursts.items()]
        return "\n".join([f"# scripts/bench {self.bench}", "", *facts, "", _LEGEND, "", *lines, "", *bursts, ""])

    def write_json(self, path: Path) -> None:
        """Every sample in seconds."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _cells(row: Row) -> list[str]:
    kept = "" if row.kept is None else _word(row.kept and bool(row.scan_kept))
    times = [f"{1e3 * seconds:.0f} ms" for seconds in (statistics.median(row.seconds), row.percentile(99))]
    found = [_word(row.scan), _word(row.at_once), kept]
    return [row.name, *found, str(len(row.seconds)), *times, "met" if row.is_in_goal else "MISSED"]


def _word(yes: bool) -> str:
    return "yes" if yes else "NO"
