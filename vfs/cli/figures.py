"""`stats`: the numbers of running mounts, for people, scripts and Prometheus.

Names of metrics are a promise, as those of `status --json` are. Labels are mount points and programs, never file names.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from rich.table import Table

from vfs.cli.asking import ask, records, the_mount
from vfs.cli.printing import Json, escape, out, print_json, reporting
from vfs.failure import ExitStatus, Failure
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Report = dict[str, object]

_GAUGES: Final = {
    "anchor_age_s": ("anchor_age_seconds", "Since the change feed was last known to be applied; -1: never yet."),
    "queue_pending": ("queue_pending", "Local changes that the server does not have yet."),
    "queue_parked": ("queue_parked", "Local changes that cannot be sent as things are."),
    "queue_held": ("queue_held", "Local changes that wait for approval."),
    "uploads_active": ("uploads_active", "Uploads under way."),
    "downloads_active": ("downloads_active", "Downloads under way."),
    "cache_bytes": ("cache_bytes", "What file contents take here."),
    "cache_limit": ("cache_limit_bytes", "What they may take."),
    "conflicts": ("conflicts", "Conflict copies that nobody settled yet."),
}
_COUNTERS: Final = {
    "bytes_up": ("sent_bytes", "Bytes of contents sent."),
    "bytes_down": ("received_bytes", "Bytes of contents fetched."),
}
_PINS: Final = {
    "missing_files": ("pins_missing_files", "Pinned files that are not all here yet."),
    "missing_bytes": ("pins_missing_bytes", "What is missing of them."),
}


class _Collector:
    """The reports as metrics, one sample for each mount."""

    def __init__(self, reports: list[Report]) -> None:
        self._reports = reports

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """For prometheus_client."""
        answering = [report for report in self._reports if "error" not in report]
        yield _gauge("up", "1: the mount answers.", self._reports, lambda report: "error" not in report)
        yield _gauge("online", "1: the server answers.", answering, lambda report: report["connection"] == "online")
        yield _gauge("paused", "1: `anchorfs pause` holds.", answering, lambda report: bool(report["paused"]))
        for key, (name, text) in _GAUGES.items():
            yield _gauge(name, text, answering, partial(_number, key))
        for key, (name, text) in _PINS.items():
            yield _gauge(name, text, [{**report, **_pins(report)} for report in answering], partial(_number, key))
        for key, (name, text) in _COUNTERS.items():
            family = CounterMetricFamily(f"anchorfs_mount_{name}", text, labels=["mountpoint"])
            for report in answering:
                family.add_metric([str(report["mountpoint"])], _number(key, report))
            yield family


def _gauge(name: str, text: str, reports: list[Report], value: Callable[[Report], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"anchorfs_mount_{name}", text, labels=["mountpoint"])
    for report in reports:
        family.add_metric([str(report["mountpoint"])], float(value(report)))
    return family


def _pins(report: Report) -> Report:
    told = report.get("pins")
    return told if isinstance(told, dict) else {}


def _number(key: str, report: Report) -> float:
    value = report.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


@reporting
def stats(
    mountpoint: Annotated[str | None, typer.Argument(help="A mount; none: all of them.")] = None,
    *,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="In the text format of Prometheus.")] = False,
    as_json: Json = False,
) -> int:
    """The numbers of running mounts."""
    mounts = [record.mountpoint for record in records()] if mountpoint is None else [the_mount(mountpoint)]
    reports = [_report(each) for each in mounts]
    if prometheus:
        out.file.write(exposition(reports))
    elif as_json:
        print_json({"mounts": reports})
    else:
        for report in reports:
            _show(report)
    return ExitStatus.FAILED if any("error" in report for report in reports) else ExitStatus.DONE


def exposition(reports: list[Report]) -> str:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(reports))
    return generate_latest(registry).decode()


def _report(mountpoint: str) -> Report:
    try:
        return ask(mountpoint, Request(verb=Verb.STATUS))
    except Failure as failure:
        return {"mountpoint": mountpoint, "error": failure.told}


def _show(report: Report) -> None:
    grid = Table.grid(padding=(0, 2))
    for name, value in report.items():
        grid.add_row(name, escape(str(value)))
    out.print(grid)
