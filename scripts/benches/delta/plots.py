"""Time against the size of the tree, a line per way and number of changes: log-log, medians with the spread of runs.

matplotlib is installed when this is first wanted, as other things are that only benches need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.benches.delta import results
from scripts.benches.tools import matplotlib_pyplot

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benches.delta.results import DeltaReport, Measure

_COLOURS = {
    results.RESYNC: "#b35806", results.LISTING: "#e08214", results.RCLONE: "#542788", results.CHECK: "#8073ac",
    results.ETAGS: "#5a5a5a",
}  # fmt: skip
_DELTA_COLOURS = ("#c7e9c0", "#a1d99b", "#74c476", "#31a354", "#006d2c", "#00441b")
_MARKERS = "ovs^Dph"


def draw(report: DeltaReport, stem: Path) -> list[Path]:
    """stem.svg and stem.png; nothing when there is too little for a line."""
    near = [measure for measure in report.measures if not measure.round_trip_ms]
    if len({measure.items for measure in near}) < 2:
        return []
    pyplot = matplotlib_pyplot()
    figure, axes = pyplot.subplots(figsize=(9, 5.6), layout="constrained")
    counts = sorted({m.changes for m in near if m.way == results.DELTA})
    for number, changes in enumerate(counts):
        line = [m for m in near if m.way == results.DELTA and m.changes == changes]
        colour = _DELTA_COLOURS[min(number, len(_DELTA_COLOURS) - 1)]
        marker = _MARKERS[number % len(_MARKERS)]
        _line(axes, line, label=f"{results.DELTA} of {changes:,}", color=colour, marker=marker, linestyle="-")
    for way, colour in _COLOURS.items():
        line = [measure for measure in near if measure.way == way]
        _line(axes, line, label=way, color=colour, marker="x", linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="files in the tree", ylabel="seconds until the changes are known")
    title = "What changed? The feed tells (until seen by stat); everything else looks (100 changes)"
    figure.suptitle(title, fontsize=11)
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    files = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    for file in files:
        figure.savefig(file, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)
    return files


def _line(axes: Any, measures: list[Measure], **look: str) -> None:  # noqa: ANN401 - untyped
    if not measures:
        return
    points = sorted(measures, key=lambda measure: measure.items)
    medians = [measure.median_s for measure in points]
    below = [measure.median_s - min(measure.seconds) for measure in points]
    above = [max(measure.seconds) - measure.median_s for measure in points]
    sizes = [measure.items for measure in points]
    axes.errorbar(sizes, medians, yerr=[below, above], markersize=5, capsize=2, linewidth=1.3, **look)
