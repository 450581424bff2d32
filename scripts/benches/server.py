"""What the server gives over loopback, beside nginx serving the very same bytes as files.

For item, children and changes nginx serves a stored copy of our answer: what an answer costs that needs no thought.
"First" and "last" of a hundred are p50 and p99 with one request at a time; "8 at once" is the rate under load, where
the one who asks takes its share of the same cores. The import and the feed at two sizes of a drive stand in the facts.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benches import drives, facts, load, nginx
from scripts.benches.load import Request
from scripts.benches.report import Report
from scripts.benches.running import scratch
from scripts.benches.samples import MIB, Bar, Series, Unit

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benches.drives import Drive
    from scripts.benches.settings import Settings

OURS = "anchorfs-server"
THEIRS = "nginx"
SMALL_BYTES = 4096
CHILDREN = 1000
CHANGES = 100
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything."""

    content_bytes: int = 256 * MIB
    asked: int = 1000  # small answers per sample
    asked_large: int = 100  # pages of 1,000 items per sample
    small_drive: int = 10_000
    large_drive: int = 1_000_000


FULL = Scale()
QUICK = Scale(content_bytes=128 * MIB, asked=300, asked_large=40, large_drive=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same answer from both."""

    name: str
    ours: Request
    theirs: Request
    asked: int

    def at(self, place: str) -> Request:
        """The request to one of the two."""
        return self.ours if place == OURS else self.theirs


def run(settings: Settings) -> Report:
    """Measure everything."""
    scale = QUICK if settings.quick else FULL
    with ExitStack() as stack:
        base = stack.enter_context(scratch(settings.folder))
        settings.say("laying out a folder of files")
        files = base / "drive"
        _lay_out(files, scale)
        ours = drives.serve(stack, base / "ours", files)
        theirs = nginx.serve(stack, base / "nginx", files)
        pairs, large = _pairs(ours, theirs, files, scale)
        series = [each for pair in pairs for each in _small(pair, settings)]
        series += [_streams(large, count, settings) for count in (1, 4)]
        told = _scale_facts(base, scale, settings)
        told |= {"nginx": f"{nginx.version(base / 'nginx')}, 1 worker, sendfile, no log", "scale": str(scale)}
    return Report(
        bench="server",
        facts=facts.of_machine() | told | {"runs": str(settings.runs)},
        places=[OURS, THEIRS],
        compared=[(OURS, THEIRS)],
        series=series,
    )


def _lay_out(files: Path, scale: Scale) -> None:
    listed = files / "listed"
    listed.mkdir(parents=True)
    for number in range(CHILDREN):
        (listed / f"file-{number:05}.txt").write_bytes(b"x")
    (files / "small.bin").write_bytes(bytes(SMALL_BYTES))
    with (files / "large.bin").open("wb") as large:
        for _ in range(scale.content_bytes // MIB):
            large.write(bytes(range(256)) * (MIB // 256))


def _pairs(ours: Drive, theirs: tuple[str, int], files: Path, scale: Scale) -> tuple[list[Pair], Pair]:
    top = {item["name"]: item["item_id"] for item in ours.children(ours.root_id())}
    anchor = ours.newest_anchor()
    for number in range(CHANGES):
        ours.make_folder(top["listed"], f"new-{number}")
    asked = {
        "item": (f"/v1/items/{top['small.bin']}", scale.asked),
        f"children ({CHILDREN:,})": (f"/v1/items/{top['listed']}/children?limit={CHILDREN}", scale.asked_large),
        f"changes ({CHANGES})": (f"/v1/changes?anchor={anchor}&limit={CHANGES}", scale.asked),
        "content, 4 KiB": (f"/v1/items/{top['small.bin']}/content", scale.asked),
    }
    pairs = []
    for number, (name, (target, count)) in enumerate(asked.items()):
        request = ours.request(target)
        (files / f"answer-{number}").write_bytes(load.body(request))
        pairs.append(
            Pair(name=name, ours=request, theirs=Request(address=theirs, target=f"/answer-{number}"), asked=count)
        )
    large = ours.request(f"/v1/items/{top['large.bin']}/content")
    return pairs, Pair(name="content", ours=large, theirs=Request(address=theirs, target="/large.bin"), asked=1)


def _small(pair: Pair, settings: Settings) -> list[Series]:
    settings.say(pair.name)
    alone: dict[str, list[list[float]]] = {OURS: [], THEIRS: []}
    loaded: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for run_ in range(settings.runs):
        for place in _in_turn(run_):
            alone[place].append(load.durations(pair.at(place), pair.asked))
            count = max(pair.asked // AT_ONCE, 1)
            seconds, _ = load.together(pair.at(place), connections=AT_ONCE, count=count)
            loaded[place].append(seconds / (AT_ONCE * count))
    series = [Series(name=f"{pair.name}: requests/s, {AT_ONCE} at once", unit=Unit.RATE, seconds=loaded)]
    for percent in (50, 99):
        samples = {place: [load.percentile(each, percent) for each in runs] for place, runs in alone.items()}
        series.append(Series(name=f"{pair.name}: p{percent}", unit=Unit.MILLISECONDS, seconds=samples))
    return series


def _streams(pair: Pair, count: int, settings: Settings) -> Series:
    settings.say(f"large content, {count} at once")
    samples: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for run_ in range(settings.runs):
        for place in _in_turn(run_):
            seconds, size_bytes = load.together(pair.at(place), connections=count, count=max(4 // count, 1))
            samples[place].append(seconds / size_bytes)
    bar = Bar(place=OURS, than=THEIRS, at_most=2.0)
    return Series(name=f"content, large: {count} at once", unit=Unit.THROUGHPUT, seconds=samples, bar=bar)


def _in_turn(run_: int) -> list[str]:
    return [OURS, THEIRS] if run_ % 2 == 0 else [THEIRS, OURS]


def _scale_facts(base: Path, scale: Scale, settings: Settings) -> dict[str, str]:
    """The import of a large tree, and pages of the feed on a small and a large drive."""
    told: dict[str, str] = {}
    for items in (scale.small_drive, scale.large_drive):
        settings.say(f"a drive of {items:,} items")
        root = base / f"items-{items}"
        drives.build(root, items)
        with ExitStack() as own:
            drive = drives.serve(own, base / f"server-{items}", root)
            told[f"import of {items:,} items"] = drive.import_told()
            told[f"feed at {items:,} items"] = _feed_told(drive, settings)
            told[f"memory at {items:,} items"] = f"{drive.peak_mib():.0f} MiB at most, import included"
    return told


def _feed_told(drive: Drive, settings: Settings) -> str:
    """p50 of a page after so many changes."""
    parts = []
    for changes in (1, 10, 100, 1000):
        anchor = drive.newest_anchor()
        for number in range(changes):
            drive.make_folder(drive.root_id(), f"of-{changes}-{number}")
        seconds = load.durations(drive.request(f"/v1/changes?anchor={anchor}&limit=1000"), 30 * settings.runs)
        parts.append(f"{changes:,} changes {load.percentile(seconds, 50) * 1e3:.2f} ms")
    return ", ".join(parts)
