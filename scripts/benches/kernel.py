"""What programs feel: stat, listings, reads, writes and names through the kernel, on the disk, on AnchorFS and on
rclone mount, in one run.

Each run visits the places in another order, so that none is always the one that comes after a busy other; a place has
nothing left to send before it is measured. "Warm" is a second look at the same thing; "first" is a folder or file that
this mount has never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches import facts, places, tree, work
from scripts.benches.places import Place
from scripts.benches.report import Report
from scripts.benches.running import scratch
from scripts.benches.samples import MIB, Bar, Series, Unit
from scripts.benches.tools import rclone_program

if TYPE_CHECKING:
    from scripts.benches.settings import Settings

KIB = 1 << 10
Take = Callable[[Place, int], float]
Look = Callable[[Path], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row: what to do at a place in a run, and what to do there once before."""

    name: str
    unit: Unit
    take: Take
    prepare: Callable[[Place], object] = field(default=lambda _place: None)
    at_most: tuple[str, float] | None = None  # our time, divided by that of the place named ("" is the disk)


def run(settings: Settings) -> Report:
    """Measure everything."""
    program = rclone_program()
    with ExitStack() as stack:
        base = stack.enter_context(scratch(settings.folder))
        settings.say("laying out the data, three times")
        disk = places.disk(base)
        scale = tree.QUICK if settings.quick else tree.FULL
        tree.build(disk.path, scale, settings.runs)
        sources = [base / "anchorfs-drive", base / "rclone-drive"]
        for source in sources:
            tree.copy(disk.path, source)
        settings.say("starting the servers and the mounts")
        ours = places.anchorfs(stack, base / "anchorfs", sources[0])
        theirs = places.rclone(stack, base / "rclone", sources[1], program)
        compared = [disk, ours, theirs]
        series = [_series(measure, compared, settings) for measure in measures(scale) if settings.picks(measure.name)]
    return Report(
        bench="kernel",
        facts=facts.of_machine()
        | facts.of_rclone(program, places.RCLONE_MOUNT_OPTIONS)
        | {"data": str(scale), "runs": str(settings.runs)},
        places=[place.name for place in compared],
        compared=[(ours.name, disk.name), (ours.name, theirs.name)],
        series=series,
    )


def measures(scale: tree.Scale) -> list[Measure]:
    """All rows, in the order in which they are taken: what must be new comes before what makes it known."""
    return [*_looking(), *_reading(), *_writing(scale), *_naming(scale)]


def _series(measure: Measure, compared: list[Place], settings: Settings) -> Series:
    settings.say(measure.name)
    seconds: dict[str, list[float]] = {place.name: [] for place in compared}
    for place in compared:
        measure.prepare(place)
    for number in range(settings.runs):
        turn = number % len(compared)
        for place in [*compared[turn:], *compared[:turn]]:
            place.settle()
            seconds[place.name].append(measure.take(place, number))
    bar = None
    if measure.at_most is not None:
        than, ratio = measure.at_most
        bar = Bar(place=places.ANCHORFS, than=than or compared[0].name, at_most=ratio)
    return Series(name=measure.name, unit=measure.unit, seconds=seconds, bar=bar)


def _at(name: str, take: Look) -> Take:
    """The same path in every run."""
    return lambda place, _number: take(place.path / name)


def _looking() -> list[Measure]:
    first = Measure(
        name="ls -l of a folder, first time", unit=Unit.MILLISECONDS,
        take=lambda place, number: work.ls(place.path / f"listed-{number}"),
    )  # fmt: skip
    listed, repository = "listed-0", "repository"
    return [
        first,
        _warm("ls -l of a folder, second time", Unit.MILLISECONDS, work.ls, listed, at_most=("", 2.2)),
        _warm("scandir and stat of a folder, warm", Unit.MILLISECONDS, work.scan, listed),
        _warm("stat, warm", Unit.MICROSECONDS, work.stat, listed, at_most=("", 1.3)),
        _warm("find with sizes, warm", Unit.MILLISECONDS, work.find, "tree"),
        _warm("git status of a clone, warm", Unit.MILLISECONDS, work.git_status, repository),
    ]


def _reading() -> list[Measure]:
    rows = [
        _warm("open, read 1 KiB, close; warm", Unit.MICROSECONDS, work.open_read_close, "small"),
        Measure(
            name="read from the server, 1 MiB blocks", unit=Unit.THROUGHPUT,
            take=lambda place, number: work.read(place.path / f"first-{number}.bin", MIB),
        ),
    ]  # fmt: skip
    for label, block in (("128 KiB", 128 * KIB), ("1 MiB", MIB)):
        take = partial(work.read, block_bytes=block)
        rows.append(
            Measure(
                name=f"read held, out of memory, {label} blocks", unit=Unit.THROUGHPUT,
                take=_forgotten("warm.bin", take), prepare=_once("warm.bin", take),
            )
        )  # fmt: skip
        bar = (places.RCLONE, 0.1)
        rows.append(_warm(f"read again, warm, {label} blocks", Unit.THROUGHPUT, take, "warm.bin", at_most=bar))
    return rows


def _writing(scale: tree.Scale) -> list[Measure]:
    def take(block: int) -> Take:
        return lambda place, number: work.write(
            place.path / "work" / f"{block}-{number}", block, min(scale.write_bytes, block * 16 * KIB)
        )

    sizes = (("4 KiB", 4 * KIB), ("128 KiB", 128 * KIB), ("1 MiB", MIB))
    return [Measure(name=f"write, {name} blocks", unit=Unit.THROUGHPUT, take=take(size)) for name, size in sizes]


def _naming(scale: tree.Scale) -> list[Measure]:
    def paths(place: Place, kind: str, number: int) -> list[Path]:
        return [place.path / "work" / f"{kind}-{number}-{each}" for each in range(scale.names)]

    def row(name: str, change: Callable[[Path], object], kind: str) -> Measure:
        return Measure(
            name=name, unit=Unit.MICROSECONDS, take=lambda place, number: work.each(change, paths(place, kind, number))
        )  # fmt: skip

    return [
        row("mkdir", lambda path: path.mkdir(), "folder"),
        row("create and close", lambda path: path.open("xb", buffering=0).close(), "file"),
        row("rename", lambda path: path.rename(path.with_name("renamed-" + path.name)), "file"),
        row("unlink", lambda path: path.with_name("renamed-" + path.name).unlink(), "file"),
        row("rmdir", lambda path: path.rmdir(), "folder"),
    ]


def _warm(name: str, unit: Unit, take: Look, path: str, *, at_most: tuple[str, float] | None = None) -> Measure:
    """A row whose path is looked at once, untimed, before its first run."""
    return Measure(name=name, unit=unit, take=_at(path, take), prepare=_once(path, take), at_most=at_most)


def _once(path: str, take: Look) -> Callable[[Place], object]:
    return lambda place: take(place.path / path)


def _forgotten(path: str, take: Look) -> Take:
    def forget_and_take(place: Place, _number: int) -> float:
        place.forget_pages(place.path / path)
        return take(place.path / path)

    return forget_and_take
