"""What the server counts, for Prometheus. Labels are routes, methods and statuses, never names, ids or tokens: their
number is bounded whatever is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from server_stub.watching.status import WatchState

if TYPE_CHECKING:
    from server_stub.external.scan import Report
    from server_stub.watching.status import WatchStatus

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_WATCH_FIGURES: Final = {
    "events": "Events that the kernel told since the start.",
    "doubts": "Entries that were looked at because of them.",
    "overflows": "Times that the kernel's queue overflowed.",
    "scans": "Scans that doubts made necessary.",
    "waiting": "Entries in doubt that are not looked at yet.",
}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One server's instruments in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "anchorfs_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "anchorfs_request_seconds",
            "From a request's head to the end of its answer; streams of events are not in it.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._sent = Counter("anchorfs_sent_bytes", "Bytes of answers' bodies.", registry=registry)
        self.running = Gauge("anchorfs_requests_running", "Requests being answered.", registry=registry)
        self._items = Gauge("anchorfs_items", "Live items of the drive.", registry=registry)
        self._tombstones = Gauge("anchorfs_tombstones", "Deletions that the feed still tells.", registry=registry)
        self._seq = Gauge("anchorfs_newest_change", "Sequence number of the newest change.", registry=registry)
        self._free = Gauge("anchorfs_drive_free_bytes", "Room left on the drive.", registry=registry)
        self._scan_items = Gauge("anchorfs_scan_items", "Items seen by the last scan.", registry=registry)
        self._scan_seconds = Gauge("anchorfs_scan_seconds", "Time that the last scan took.", registry=registry)
        self._watching = Gauge(
            "anchorfs_watch_up", "1: changes that others make are told at once; 0: scans find them.", registry=registry
        )
        self._watch = {
            name: Gauge(f"anchorfs_watch_{name}", text, registry=registry) for name, text in _WATCH_FIGURES.items()
        }

    def count(self, *, method: str, route: str, status: int, seconds: float | None, sent_bytes: int) -> None:
        """One answered request; seconds None: it was a stream without an end of its own."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._sent.inc(sent_bytes)
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def note_counts(self, items: int, tombstones: int) -> None:
        """How many there are."""
        self._items.set(items)
        self._tombstones.set(tombstones)

    def note_drive(self, *, newest_seq: int, free_bytes: int) -> None:
        """How the drive stands now."""
        self._seq.set(newest_seq)
        self._free.set(free_bytes)

    def note_scan(self, report: Report) -> None:
        """What the last walk was."""
        self._scan_items.set(report.items)
        self._scan_seconds.set(report.seconds)

    def note_watch(self, status: WatchStatus) -> None:
        """How the watch stands."""
        self._watching.set(status.state in {WatchState.WATCHING, WatchState.CATCHING_UP})
        for name, gauge in self._watch.items():
            gauge.set(getattr(status, name))

    def rendered(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)
