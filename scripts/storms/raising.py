"""A storm from its first breath to the verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.storms.killing import Outages, Reaper, reaper_of_mount, reaper_of_server
from scripts.storms.storm import Place, Storm
from scripts.storms.verdict import judge
from scripts.storms.weather import Weather
from scripts.storms.worker import SHARED, Worker
from tests.harness.drives import Drive
from tests.harness.waiting import until

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from tests.faults.proxy import FaultProxy
    from tests.harness.mount import Mount

WORKERS = ("ann", "bob")
JOIN_WITHIN_S = 150.0
LONGEST_WAIT_S = 180.0  # beyond the storm's own time, for as much to happen as was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long, and how bad. `life_s`: how long each process lives before it is killed; `blocked_max_s`: how long
    callers of a mount that was killed may hang in it.

    On a slow machine less happens in a while: it lasts on until there were so many kills and operations.
    """

    seed: int
    seconds: float
    life_s: tuple[float, float] = (0.5, 6.0)
    kills_min: int = 0
    operations_min: int = 0
    blocked_max_s: float = 5.0

    def is_met(self, storm: Storm) -> bool:
        """Whether as much happened as was asked for."""
        return storm.kills.total() >= self.kills_min and storm.operations.total() >= self.operations_min


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of it."""

    storm: Storm
    faults: dict[str, int]
    requests: int
    outages: int
    took_s: float

    @property
    def well(self) -> bool:
        """Whether nothing was lost, wrong or broken."""
        return not (self.storm.lost or self.storm.wrong or self.storm.broken)


def run(settings: Settings, folder: Path) -> Report:
    """Everything happens below `folder`, which is left as it is; what was mounted and started is gone afterwards."""
    started = time.monotonic()
    storm, weather = Storm(), Weather(settings.seed)
    with Drive(folder) as drive:
        links = [drive.link() for _ in WORKERS]
        mounts = [drive.mount(f"at-{name}", url=link.url) for name, link in zip(WORKERS, links, strict=True)]
        workers = [
            Worker(name, mount.path, Place(), storm, settings.seed) for name, mount in zip(WORKERS, mounts, strict=True)
        ]
        _lay_out(mounts, workers)
        outages = _blow(settings, drive, links, mounts, workers, weather)
        judge(drive, mounts, workers, storm)
        for mount in mounts:
            mount.expect_warning(".")  # the verdict has read the logs: a storm is expected to be told of
    return Report(
        storm=storm, faults=dict(weather.faults), requests=weather.requests, outages=outages,
        took_s=time.monotonic() - started,
    )  # fmt: skip


def _lay_out(mounts: list[Mount], workers: list[Worker]) -> None:
    """A folder for each worker and one for all, seen by everybody."""
    for worker in workers:
        worker.top.mkdir()
    (mounts[0].path / SHARED).mkdir()
    for mount in mounts:
        mount.sync()
    for mount in mounts:
        until(lambda mount=mount: (mount.path / SHARED).is_dir(), "the shared folder")  # type: ignore[misc]


def _blow(  # noqa: PLR0917
    settings: Settings, drive: Drive, links: list[FaultProxy], mounts: list[Mount], workers: list[Worker],
    weather: Weather,
) -> int:  # fmt: skip
    """The storm itself; returns how often a link was cut."""
    storm, seed = workers[0].storm, settings.seed
    outages = [Outages(link, storm, seed + number) for number, link in enumerate(links)]
    reapers: list[Reaper] = [reaper_of_server(drive.server, storm, seed, settings.life_s)]
    reapers += [
        reaper_of_mount(mount, worker, seed, settings.life_s, settings.blocked_max_s)
        for mount, worker in zip(mounts, workers, strict=True)
    ]
    for worker in workers:
        worker.place.up.set()
    threads: list[threading.Thread] = [*workers, *outages, *reapers]
    for link in links:
        link.rule = weather
    try:
        for thread in threads:
            thread.start()
        storm.over.wait(settings.seconds)
        _last_on(settings, storm)
    finally:
        storm.over.set()
        for thread in threads:
            thread.join(JOIN_WITHIN_S)
        for link in links:
            link.rule = None
            link.mend()
    storm.broken += [f"{thread.name} does not end" for thread in threads if thread.is_alive()]
    return sum(each.count for each in outages)


def _last_on(settings: Settings, storm: Storm) -> None:
    deadline = time.monotonic() + LONGEST_WAIT_S
    while time.monotonic() < deadline and not settings.is_met(storm):
        if storm.over.wait(0.1):
            return
