"""A bench's results as text for the terminal, Markdown for the repository, and JSON with every sample."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from scripts.benches.samples import Bar, Limit, Series, Summary, Unit, rounded, shown, spread_percent

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a bench has to say. `compared` are pairs (place, than) of a column each."""

    bench: str
    facts: dict[str, str]
    places: list[str]
    compared: list[tuple[str, str]]
    series: list[Series]

    def markdown(self) -> str:
        """The facts, then one row per measure."""
        return markdown(self)

    def write_json(self, path: Path) -> None:
        """Every sample in seconds, and what was made of them."""
        write_json(self, path)


def markdown(report: Report) -> str:
    """The facts, then one row per measure."""
    heads = ["measure", *report.places, *(f"{place} / {than}, time" for place, than in report.compared), "bar"]
    lines = table([heads, *(_row(report, series) for series in report.series)])
    facts = [f"- {key}: {value}" for key, value in report.facts.items()]
    legend = "Medians, ± the farthest run in percent. Ratios are taken run by run: median (lowest … highest)."
    return "\n".join([f"# scripts/bench {report.bench}", "", *facts, "", legend, "", *lines, ""])


def table(rows: list[list[str]]) -> list[str]:
    """Lines of Markdown; the first row are the heads."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    heads, *rest = (_line(row, widths) for row in rows)
    return [heads, rule, *rest]


def write_json(report: Report, path: Path) -> None:
    """Every sample in seconds, and what was made of them."""
    document = {
        "bench": report.bench,
        "facts": report.facts,
        "measures": [_measure(report, series) for series in report.series],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def joined(report: Report, path: Path) -> Report:
    """With the measures and facts that a file keeps of earlier runs, but for those that were made anew."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["bench"] != report.bench:
        raise ValueError(f"{path} is of another bench")
    anew = {series.name: series for series in report.series}
    series = [anew.pop(each["name"], None) or _series_of(each) for each in kept["measures"]]
    facts = {key: _both(kept["facts"].get(key, value), value) for key, value in report.facts.items()}
    return replace(report, facts=facts, series=[*series, *anew.values()])


def _both(before: str, now: str) -> str:
    return before if now in before else f"{before}; {now}"


def _series_of(measure: dict[str, Any]) -> Series:
    told = measure["bar"] and {key: value for key, value in measure["bar"].items() if key != "met"}
    bar = None if told is None else Bar(**told) if "than" in told else Limit(**told)
    return Series(name=measure["name"], unit=Unit(measure["unit"]), seconds=measure["seconds"], bar=bar)


def _row(report: Report, series: Series) -> list[str]:
    cells = [f"{series.name} [{series.unit}]"]
    for place in report.places:
        if place not in series.seconds:
            cells.append("")
            continue
        summary = series.summary(place)
        cells.append(f"{shown(summary.median, series.unit)} ±{spread_percent(summary):.0f} %")
    cells += ["" if not _is_told(pair, series) else _ratio(series.ratio(*pair)) for pair in report.compared]
    return [*cells, _bar(series)]


def _is_told(pair: tuple[str, str], series: Series) -> bool:
    return all(place in series.seconds for place in pair)


def _ratio(summary: Summary) -> str:
    return f"{rounded(summary.median)}x ({rounded(summary.low)} … {rounded(summary.high)})"


def _bar(series: Series) -> str:
    bar = series.bar
    if bar is None:
        return ""
    word = "met" if bar.is_met(series) else "MISSED"
    if isinstance(bar, Limit):
        return f"{word}: {bar.place} ≤ {shown(bar.at_most, series.unit)} {series.unit}"
    return f"{word}: {bar.place} ≤ {rounded(bar.at_most)}x {bar.than}"


def _line(cells: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _measure(report: Report, series: Series) -> dict[str, object]:
    bar = series.bar
    return {
        "name": series.name,
        "unit": str(series.unit),
        "seconds": series.seconds,
        "median_seconds": {place: series.summary(place).median for place in series.seconds},
        "time_ratios": {
            "/".join(pair): _summary(series.ratio(*pair)) for pair in report.compared if _is_told(pair, series)
        },
        "bar": None if bar is None else asdict(bar) | {"met": bar.is_met(series)},
    }


def _summary(summary: Summary) -> dict[str, float]:
    return {"median": summary.median, "low": summary.low, "high": summary.high}
