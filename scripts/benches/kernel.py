"""What programs feel: stat, listings, reads, writes and names through the kernel, on the disk, on AnchorFS, on rclone
mount, and on sshfs where it is installed, in one run.

Each run visits the places in another order, so that none is always the one that comes after a busy other; a place has
nothing left to send before it is measured. "Warm" is a second look at the same thing; "first" is a folder or file that
this mount has never shown.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from scripts.benches import facts, places, tree, work
from scripts.benches.links import lengthened
from scripts.benches.measure import Look, Measure, Take
from scripts.benches.naming import naming
from scripts.benches.report import Report
from scripts.benches.running import scratch
from scripts.benches.samples import MIB, Bar, Limit, Series, Unit
from scripts.benches.tools import rclone_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.benches.places import Place
    from scripts.benches.settings import Settings

KIB = 1 << 10
FAR_MS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Both, each over its own copy of the data, beside the one on the disk."""

    disk: Place
    drives: tuple[Path, Path]  # ours, rclone's
    ours: str
    theirs: str
    rclone: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Rows that are taken on the same mounts."""

    name: str
    measures: list[Measure]
    round_trip_ms: float = 0.0
    others: bool = False  # the disk, and sshfs where it can run, too


def run(settings: Settings) -> Report:
    """Measure everything."""
    scale = tree.QUICK if settings.quick else tree.FULL
    with ExitStack() as stack:
        base = stack.enter_context(scratch(settings.folder))
        servers = _served(stack, base, scale, settings)
        series = [
            each for session in sessions(scale, settings) for each in _taken(session, base, servers, settings)
        ]  # fmt: skip
    known = (servers.disk.name, places.ANCHORFS, places.RCLONE, places.SSHFS)
    visited = [name for name in known if any(name in each.seconds for each in series)]
    return Report(
        bench="kernel",
        facts=facts.of_machine()
        | facts.of_rclone(servers.rclone, places.RCLONE_MOUNT_OPTIONS)
        | {"data": str(scale), "runs": str(settings.runs)},
        places=visited,
        compared=[(places.ANCHORFS, name) for name in visited if name != places.ANCHORFS],
        series=series,
    )


def _served(stack: ExitStack, base: Path, scale: tree.Scale, settings: Settings) -> Servers:
    """The data, three times, and the servers of two of them."""
    program = rclone_program()
    settings.say("laying out the data, three times")
    disk = places.disk(base)
    tree.build(disk.path, scale, settings.runs)
    drives = base / "anchorfs-drive", base / "rclone-drive"
    for drive in drives:
        tree.copy(disk.path, drive)
    settings.say("starting the servers")
    for folder in (base / "ours", base / "theirs"):
        folder.mkdir()
    return Servers(
        disk=disk,
        drives=drives,
        ours=places.served_by_anchorfs(stack, base / "ours", drives[0]),
        theirs=places.served_by_rclone(stack, base / "theirs", drives[1], program),
        rclone=program,
    )


def sessions(scale: tree.Scale, settings: Settings) -> list[Session]:
    """Those with a row that is picked."""
    far = f", {FAR_MS:.0f} ms from the server"
    every = [
        Session(name="near", measures=measures(scale), others=True),
        Session(name="far", measures=naming(scale.far_names, far, bar=0.1), round_trip_ms=FAR_MS),
    ]
    picked = (replace(each, measures=[row for row in each.measures if settings.picks(row.name)]) for each in every)
    return [each for each in picked if each.measures]


def measures(scale: tree.Scale) -> list[Measure]:
    """All rows on the loopback, in the order in which they are taken: what must be new comes before what makes it
    known."""
    return [*_looking(), *_reading(), *_writing(scale), *naming(scale.names)]


def _taken(session: Session, base: Path, servers: Servers, settings: Settings) -> list[Series]:
    settings.say(f"mounting: {session.name}")
    with ExitStack() as stack:
        at = base / session.name
        ours, theirs = at / "ours", at / "theirs"
        for folder in (ours, theirs):
            folder.mkdir(parents=True)
        our_url = lengthened(stack, ours, servers.ours, session.round_trip_ms).url
        their_url = lengthened(stack, theirs, servers.theirs, session.round_trip_ms).url
        compared = [
            places.mounted_anchorfs(stack, ours, servers.drives[0], our_url),
            places.mounted_rclone(stack, theirs, servers.drives[1], their_url, servers.rclone),
        ]
        if session.others:
            compared.insert(0, servers.disk)
            compared += places.sshfs(stack, at / "sshfs", at / "sshfs-drive", servers.disk.path)
        return [_series(measure, compared, settings) for measure in session.measures]


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
    bar: Bar | Limit | None = None
    if measure.at_most is not None:
        than, ratio = measure.at_most
        bar = Bar(place=places.ANCHORFS, than=than or compared[0].name, at_most=ratio)
    elif measure.at_most_s is not None:
        bar = Limit(place=places.ANCHORFS, at_most=measure.at_most_s)
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
        _warm("ls -l of a folder, second time", Unit.MILLISECONDS, work.ls, listed, at_most=(places.RCLONE, 0.7)),
        _warm("scandir and stat of a folder, warm", Unit.MILLISECONDS, work.scan, listed),
        _warm("stat, warm", Unit.MICROSECONDS, work.stat, listed, at_most=("", 1.2)),
        _warm("find with sizes, warm", Unit.MILLISECONDS, work.find, "tree", at_most=(places.RCLONE, 1.0)),
        Measure(
            name="first entry of a large folder, known",
            unit=Unit.MILLISECONDS,
            take=_at("large", work.first_entry),
            prepare=_once("large", work.scan),
            at_most_s=0.05,
        ),
        _warm("git status of a clone, warm", Unit.MILLISECONDS, work.git_status, repository),
    ]


def _reading() -> list[Measure]:
    rows = [
        _warm("open, read 1 KiB, close; warm", Unit.MICROSECONDS, work.open_read_close, "small",
              at_most=(places.RCLONE, 0.8)),
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
    return [
        _write("write, 4 KiB blocks", scale, 4 * KIB, 1 / 0.75),
        _write("write, 128 KiB blocks", scale, 128 * KIB, 1.0),
        _write("write, 1 MiB blocks", scale, MIB, 1.0),
    ]


def _write(name: str, scale: tree.Scale, block: int, at_most: float) -> Measure:
    total = min(scale.write_bytes, block * 16 * KIB)
    return Measure(
        name=name, unit=Unit.THROUGHPUT, at_most=(places.RCLONE, at_most),
        take=lambda place, number: work.write(place.path / "work" / f"{block}-{number}", block, total),
    )  # fmt: skip


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
