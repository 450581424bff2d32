"""What it costs to bring bytes here: cold reads and walks over a long way and over loopback, what is held already, and
what is fetched in vain, on AnchorFS, on rclone mount and with curl, in one run.

Every run mounts anew, with empty caches: all is cold. Servers stay, and serve one tree. The long way is a delay proxy,
the same for both; on loopback none is in between. curl writes to a file on the disk of the caches, as a mount must.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scripts.benches import cold, cold_data, facts, places
from scripts.benches.cold_data import FULL, QUICK, Scale
from scripts.benches.links import Link, lengthened
from scripts.benches.report import Report
from scripts.benches.running import scratch
from scripts.benches.samples import Limit, Series, Unit
from scripts.benches.tools import rclone_program

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benches.cold import Case
    from scripts.benches.places import Place
    from scripts.benches.settings import Settings

FAR_MS = 20.0
Samples = dict[str, dict[str, list[float]]]  # by measure, then by place


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Both, over one tree."""

    drive: Path
    ours: str
    theirs: str
    rclone: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Cases that are taken one after the other on fresh mounts."""

    name: str
    cases: tuple[Case, ...]
    round_trip_ms: float = 0.0
    options: tuple[str, ...] = ()  # of our mount
    kept: bool = False  # one pair of mounts for all runs: what is measured is held


def run(settings: Settings) -> Report:
    """Measure everything."""
    program = rclone_program()
    scale = QUICK if settings.quick else FULL
    with ExitStack() as stack:
        base = stack.enter_context(scratch(settings.folder))
        settings.say("laying out the data")
        picked = sessions(scale, settings)
        names = [case.data for session in picked for case in session.cases]
        cold_data.build(base / "drive", scale, [*names, *(["memory"] if settings.picks("memory") else [])])
        settings.say("starting the servers")
        (base / "ours").mkdir()
        (base / "theirs").mkdir()
        servers = Servers(
            drive=base / "drive",
            ours=places.served_by_anchorfs(stack, base / "ours", base / "drive"),
            theirs=places.served_by_rclone(stack, base / "theirs", base / "drive", program),
            rclone=program,
        )
        samples: Samples = {}
        for session in picked:
            _hold(session, base, servers, settings, samples)
        memory = _memory(base, servers, scale, settings) if settings.picks("memory") else []
    return Report(
        bench="hydrate",
        facts=facts.of_machine()
        | facts.of_rclone(program, places.RCLONE_MOUNT_OPTIONS)
        | {"data": str(scale), "runs": str(settings.runs), "the long way": f"{FAR_MS:.0f} ms there and back"},
        places=[places.ANCHORFS, places.RCLONE, cold.CURL, cold.DISK],
        compared=[(places.ANCHORFS, places.RCLONE), (places.ANCHORFS, cold.CURL), (places.ANCHORFS, cold.DISK)],
        series=[*_series(picked, samples), *memory],
    )


def sessions(scale: Scale, settings: Settings) -> list[Session]:
    """Those with a case that is picked."""
    every = [
        Session(name="loopback", cases=cold.near(scale)),
        Session(name="far", cases=cold.far(scale, FAR_MS), round_trip_ms=FAR_MS),
        Session(
            name="sparing", cases=cold.sparing(), round_trip_ms=FAR_MS, options=("-o", "hydration=partial"),
        ),
        Session(name="held", cases=cold.held(scale), kept=True),
    ]  # fmt: skip
    picked = (replace(each, cases=tuple(case for case in each.cases if settings.picks(case.name))) for each in every)
    return [each for each in picked if each.cases]


def _series(picked: list[Session], samples: Samples) -> list[Series]:
    return [
        Series(name=case.name, unit=case.unit, seconds=samples[case.name], bar=case.bar)
        for session in picked
        for case in session.cases
    ]


def _hold(session: Session, base: Path, servers: Servers, settings: Settings, samples: Samples) -> None:
    """All runs of a session."""
    with ExitStack() as kept:
        pair = _mounted(kept, base / session.name, servers, session) if session.kept else []
        for number in range(settings.runs):
            settings.say(f"{session.name}, run {number + 1}")
            with ExitStack() as own:
                both = pair or _mounted(own, base / f"{session.name}-{number}", servers, session)
                for case in session.cases:
                    for place, link in both[:: 1 if number % 2 else -1]:
                        if case.unit is Unit.THROUGHPUT:
                            os.sync()  # what another one wrote would have the disk busy meanwhile
                        taken = case.take(place, place.path / case.data, link, number)
                        for name, sample in taken.items():
                            samples.setdefault(case.name, {}).setdefault(name, []).append(sample)


def _mounted(stack: ExitStack, base: Path, servers: Servers, session: Session) -> list[tuple[Place, Link]]:
    base.mkdir()
    stack.callback(cold.empty_caches, base)
    ours, theirs = base / "ours", base / "theirs"
    ours.mkdir()
    theirs.mkdir()
    our_link = lengthened(stack, ours, servers.ours, session.round_trip_ms)
    their_link = lengthened(stack, theirs, servers.theirs, session.round_trip_ms)
    return [
        (places.mounted_anchorfs(stack, ours, servers.drive, our_link.url, session.options), our_link),
        (places.mounted_rclone(stack, theirs, servers.drive, their_link.url, servers.rclone), their_link),
    ]


def _memory(base: Path, servers: Servers, scale: Scale, settings: Settings) -> list[Series]:
    """The most memory that our client held after the first file and after all: flat, if it is the same."""
    settings.say("memory while hydrating")
    with ExitStack() as stack:
        (base / "memory").mkdir()
        options = ("--cache-size", scale.memory_cache)
        place = places.mounted_anchorfs(stack, base / "memory", servers.drive, servers.ours, options)
        peaks = cold.peaks(place, scale)
    name = f"memory at most, hydrating {scale.memory_reads} x {scale.large_bytes >> 20} MiB"
    limit = Limit(place=places.ANCHORFS, at_most=200.0)
    first = Series(name="the same, after the first file", unit=Unit.MEBIBYTES, seconds={places.ANCHORFS: peaks[:1]})
    return [Series(name=name, unit=Unit.MEBIBYTES, seconds={places.ANCHORFS: peaks[-1:]}, bar=limit), first]
