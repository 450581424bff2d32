"""How soon a change is seen elsewhere, and what a storm of changes does to those who look on."""

from __future__ import annotations

import http.client
import random
import statistics
import threading
import time
from typing import TYPE_CHECKING

from scripts.benches.delta.stage import Spent, Stage, await_true, file_name

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benches.delta.results import DeltaReport
    from scripts.benches.settings import Settings

_PAUSE_S = 0.12  # between changes, so that each meets an idle drive
_LOOK_EVERY_S = 0.001


def percentile(values: list[float], percent: float) -> float:
    """By the nearest rank: of few samples, 99 is the slowest."""
    ranked = sorted(values)
    return ranked[max(0, -(-int(percent * len(ranked)) // 100) - 1)]


def seen_after(settings: Settings, report: DeltaReport, stage: Stage, samples: int) -> None:
    """One change at a time through the protocol: from the server's answer until stat, and read, show it on a mount."""
    settings.say(f"{samples} changes, one by one, until stat and read show them")
    writer = http.client.HTTPConnection(stage.server_url.removeprefix("http://"), timeout=30)
    by_stat, by_read = [], []
    for number in range(samples):
        path = stage.mountpoint / file_name(number)
        path.stat()
        item = stage.item(file_name(number))
        body = b"n" * (number % 100 + 1)
        headers = {"If-Match": f'"{item["content_version"]}"'}
        time.sleep(_PAUSE_S)
        writer.request("PUT", f"/v1/items/{item['item_id']}/content", body=body, headers=headers)
        answer = writer.getresponse()
        answer.read()
        answered_s = time.perf_counter()
        assert answer.status == 200, answer.status  # noqa: S101 - else nothing was measured
        await_true(lambda path=path, body=body: path.stat().st_size == len(body), "an edit")  # type: ignore[misc]
        by_stat.append(time.perf_counter() - answered_s)
        await_true(lambda path=path, body=body: path.read_bytes() == body, "its bytes")  # type: ignore[misc]
        by_read.append(time.perf_counter() - answered_s)
    writer.close()
    for name, values in (("stat", by_stat), ("read", by_read)):
        report.figures[f"seen by {name}, p50, ms"] = round(percentile(values, 50) * 1e3, 2)
        report.figures[f"seen by {name}, p99, ms"] = round(percentile(values, 99) * 1e3, 2)


class _OnLooker(threading.Thread):
    """Looks at a file that the kernel was not told of yet, every millisecond."""

    def __init__(self, mount: Path, items: int) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.over = threading.Event()
        self._mount, self._numbers = mount, list(range(items))
        random.Random(1).shuffle(self._numbers)  # noqa: S311 - no secret

    def run(self) -> None:
        """Until told to end."""
        for number in self._numbers:
            if self.over.wait(_LOOK_EVERY_S):
                return
            path = self._mount / file_name(number)
            began_s = time.perf_counter()
            path.stat()
            self.seconds.append(time.perf_counter() - began_s)


def pull_of_many(settings: Settings, report: DeltaReport, stage: Stage, count: int) -> None:
    """Every file of a tree changes while the mount hears nothing; then it pulls, three times, once looked on."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for looked_on in (False, True, False):
        settings.say(f"{count:,} changes at once{', while somebody looks on' if looked_on else ''}")
        before_mib = stage.memory_mib()
        stage.freeze()
        stage.rewrite(count)
        onlooker = _OnLooker(stage.mountpoint, stage.items)
        before, began_s = stage.spent(), time.perf_counter()
        stage.thaw()
        if looked_on:
            onlooker.start()
        stage.pull()
        rates[looked_on].append(count / (time.perf_counter() - began_s))
        onlooker.over.set()
        _note_cpu(report, stage.spent().since(before), count, looked_on=looked_on)
        if looked_on:
            onlooker.join()
            for percent in (50, 99):
                name = f"stat during a pull of many changes, p{percent}, ms"
                report.figures[name] = round(percentile(onlooker.seconds, percent) * 1e3, 2)
            report.figures["stat during a pull of many changes, slowest, ms"] = round(max(onlooker.seconds) * 1e3, 2)
        peak = stage.memory_mib("VmHWM")
        report.figures[f"memory before and at most{', looked on' if looked_on else ''}, MiB"] = round(
            peak - before_mib, 1
        )
    report.figures["pull of many changes, changes/s"] = round(statistics.mean(rates[False]))
    report.figures["the same while somebody looks on, changes/s"] = round(rates[True][0])


def _note_cpu(report: DeltaReport, spent: Spent, count: int, *, looked_on: bool) -> None:
    words = "per change of many, looked on" if looked_on else "per change of many"
    report.figures[f"CPU of the mount {words}, µs"] = round(spent.client_cpu_s / count * 1e6, 1)
    report.figures[f"CPU of the server {words}, µs"] = round(spent.server_cpu_s / count * 1e6, 1)
