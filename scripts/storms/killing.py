"""kill -9 at random instants, and a new start soon after; and a link that is gone for a while."""

from __future__ import annotations

import random
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.storms.storm import Storm
    from scripts.storms.worker import Worker
    from tests.faults.proxy import FaultProxy
    from tests.harness.mount import Mount
    from tests.harness.server import ServerProcess

DOWN_S = (0.0, 1.0)
OUTAGE_EVERY_S = (4.0, 15.0)
OUTAGE_S = (0.1, 4.0)


class Reaper(threading.Thread):
    """Kills one process again and again; each life lasts some seconds within `life_s`."""

    def __init__(
        self, name: str, storm: Storm, seed: int, life_s: tuple[float, float],
        *, kill: Callable[[], object], start: Callable[[], object],
    ) -> None:  # fmt: skip
        super().__init__(name=f"reaper of {name}", daemon=True)
        self._victim, self._storm, self._life_s = name, storm, life_s
        self._kill, self._start = kill, start
        self._chance = random.Random(f"reaper of {name} {seed}")

    def run(self) -> None:
        """Until the storm is over; what was killed is started again."""
        try:
            while not self._storm.over.wait(self._chance.uniform(*self._life_s)):
                self._kill()
                self._storm.count(self._storm.kills, self._victim)
                self._storm.over.wait(self._chance.uniform(*DOWN_S))
                self._start()
        except BaseException:  # noqa: BLE001 - what does not come back is what this is about
            self._storm.broken.append(f"{self.name}: {traceback.format_exc()}")
            self._storm.over.set()


def reaper_of_server(server: ServerProcess, storm: Storm, seed: int, life_s: tuple[float, float]) -> Reaper:
    """Of the server."""
    return Reaper("server", storm, seed, life_s, kill=server.kill, start=server.start)


def reaper_of_mount(
    mount: Mount, worker: Worker, seed: int, life_s: tuple[float, float], blocked_max_s: float
) -> Reaper:
    """Of a mount and, with it, of whatever its worker has under way, which ends within `blocked_max_s`."""
    place, storm = worker.place, worker.storm

    def kill() -> None:
        place.up.clear()
        place.generation += 1
        mount.kill()
        _watch(worker, time.monotonic(), blocked_max_s)

    def start() -> None:
        mount.remount()
        place.up.set()

    return Reaper(f"mount {worker.name}", storm, seed, life_s, kill=kill, start=start)


def _watch(worker: Worker, killed_at: float, blocked_max_s: float) -> None:
    """See that the worker does not hang in a dead mount."""
    since, storm = worker.calling_since, worker.storm
    while since is not None and worker.calling_since == since:
        waited_s = time.monotonic() - killed_at
        if waited_s > blocked_max_s:
            if _state(worker) == "D":
                storm.broken.append(f"{worker.name} hangs in a mount killed {waited_s:.0f} s ago")
            return
        time.sleep(0.01)
    storm.longest_block_s = max(storm.longest_block_s, time.monotonic() - killed_at)


def _state(thread: threading.Thread) -> str:
    """The scheduler's letter (proc_pid_stat(5)): D waits in the kernel and cannot be interrupted."""
    told = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="utf-8")
    return told.rpartition(")")[2].split()[0]


class Outages(threading.Thread):
    """Cuts a link now and then."""

    def __init__(self, link: FaultProxy, storm: Storm, seed: int) -> None:
        super().__init__(name="outages", daemon=True)
        self._link, self._storm = link, storm
        self._chance = random.Random(f"outages {seed}")
        self.count = 0

    def run(self) -> None:
        """Until the storm is over; then the link is whole."""
        while not self._storm.over.wait(self._chance.uniform(*OUTAGE_EVERY_S)):
            self._link.cut()
            self.count += 1
            self._storm.over.wait(self._chance.uniform(*OUTAGE_S))
            self._link.mend()
