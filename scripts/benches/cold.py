"""The cases of the bench `hydrate`: from a mount to samples, each by the name of who took it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.benches import work
from scripts.benches.cold_data import RANDOM_BYTES, SPARSE_BYTES, Scale, memory_file
from scripts.benches.links import Link
from scripts.benches.places import ANCHORFS, RCLONE, Place
from scripts.benches.samples import MIB, Bar, Limit, Unit

CURL = "curl"
DISK = "the disk"  # our own blob, read without a mount: nothing that keeps its bytes there is faster
PIECE_BYTES = 64 << 10
READERS = 8
QUIET_S = 1.0  # without a byte on the way: nothing more is being fetched
PATIENCE_S = 20.0
Take = Callable[[Place, Path, Link, int], dict[str, float]]  # the data as the place shows it, the number of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row; `take` may tell of more than the place that it was asked of."""

    name: str
    unit: Unit
    data: str  # what it works on, as scripts.benches.cold_data names it
    take: Take
    bar: Bar | Limit | None = None


def near(scale: Scale) -> tuple[Case, ...]:
    """Over loopback."""
    size = f"{scale.large_bytes >> 20} MiB"
    return (
        Case(
            name=f"tar of {scale.small_files:,} x 4 KiB, cold, loopback", unit=Unit.SECONDS,
            data="small", take=_timed(_tar), bar=_faster(10),
        ),
        Case(
            name=f"{size} in sequence, cold, loopback", unit=Unit.THROUGHPUT,
            data="large.bin", take=_timed(partial(work.read, block_bytes=MIB)), bar=_faster(1.2),
        ),
        Case(
            name=f"{size} in sequence, cold, loopback, against curl", unit=Unit.THROUGHPUT,
            data="curled.bin", take=_against_curl, bar=Bar(place=ANCHORFS, than=CURL, at_most=1 / 0.8),
        ),
    )  # fmt: skip


def far(scale: Scale, round_trip_ms: float) -> tuple[Case, ...]:
    """Over the long way. What leaves work behind in the background comes last."""
    way = f"cold, RTT {round_trip_ms:.0f} ms"
    soon = Limit(place=ANCHORFS, at_most=(2 * round_trip_ms + 5) / 1000)
    return (
        Case(
            name=f"first byte of 4 GiB, {way}", unit=Unit.MILLISECONDS,
            data="first.sparse", take=_timed(partial(_piece, at=0, count=1)), bar=soon,
        ),
        Case(
            name=f"last 4 KiB of 4 GiB, {way}", unit=Unit.MILLISECONDS,
            data="end.sparse", take=_timed(partial(_piece, at=SPARSE_BYTES - 4096, count=4096)), bar=soon,
        ),
        Case(
            name=f"find of 40 folders, {way}", unit=Unit.SECONDS,
            data="few", take=_timed(work.find), bar=_faster(10),
        ),
        Case(
            name=f"find of {scale.many_folders:,} folders, {way}", unit=Unit.SECONDS,
            data="many", take=_timed(work.find), bar=_faster(10),
        ),
        Case(
            name=f"tar of {scale.small_files:,} x 4 KiB, {way}", unit=Unit.SECONDS,
            data="small", take=_timed(_tar), bar=_faster(20),
        ),
        Case(
            name=f"{READERS} readers of {scale.pieces} x 64 KiB at random, {way}", unit=Unit.SECONDS,
            data="random.bin",
            take=lambda place, path, _link, number: {place.name: _scattered(path, scale, number)},
            bar=_faster(2),
        ),
        Case(
            name=f"{scale.large_bytes >> 20} MiB in sequence, {way}", unit=Unit.THROUGHPUT,
            data="large.bin", take=_timed(partial(work.read, block_bytes=MIB)), bar=_faster(1.5),
        ),
        Case(
            name=f"{scale.large_bytes >> 20} MiB in sequence, {way}, against curl", unit=Unit.THROUGHPUT,
            data="curled.bin", take=_against_curl, bar=Bar(place=ANCHORFS, than=CURL, at_most=1 / 0.8),
        ),
    )  # fmt: skip


def sparing() -> tuple[Case, ...]:
    """What comes over the wire for a reader who wants little."""
    return (
        Case(
            name="bytes fetched for 1 MiB in the middle of 4 GiB, partial", unit=Unit.MEBIBYTES,
            data="middle.sparse", take=_fetched, bar=Limit(place=ANCHORFS, at_most=4.0),
        ),
    )  # fmt: skip


def held(scale: Scale) -> tuple[Case, ...]:
    """What is here already."""
    return (
        Case(
            name=f"{scale.held_bytes >> 20} MiB from the disk cache, not in memory", unit=Unit.THROUGHPUT,
            data="held.bin", take=_held_forgotten, bar=_faster(4),
        ),
        Case(
            name=f"{scale.held_bytes >> 20} MiB again, warm", unit=Unit.THROUGHPUT,
            data="held.bin", take=_timed(partial(work.read, block_bytes=MIB)), bar=_faster(10),
        ),
        Case(
            name=f"open, read, close of {scale.held_files:,} held small files, each", unit=Unit.MICROSECONDS,
            data="held", take=_held_small, bar=_faster(1 / 0.8),
        ),
    )  # fmt: skip


def peaks(place: Place, scale: Scale) -> list[float]:
    """Read one large file after the other; MiB that the client held at most, after each."""
    found = []
    for number in range(scale.memory_reads):
        path = place.path / memory_file(number % scale.memory_files)
        if number >= scale.memory_files:
            place.forget_pages(path)
        work.read(path, MIB)
        status = Path(f"/proc/{place.pid}/status").read_text(encoding="utf-8")
        found.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024)
    return found


def empty_caches(base: Path) -> None:
    """Give back the room that mounts that are gone took; their small files stay until all is measured.

    ext4 makes files ten times slower where thousands were deleted a minute ago: each run would pay for those before.
    """
    for path in base.glob("*/cache/**/*"):
        if path.is_file() and path.stat().st_size >= MIB:
            path.unlink()


def _faster(times: float) -> Bar:
    return Bar(place=ANCHORFS, than=RCLONE, at_most=1 / times)


def _timed(look: Callable[[Path], float]) -> Take:
    return lambda place, path, _link, _number: {place.name: look(path)}


def _tar(folder: Path) -> float:
    """tar reads nothing when it sees that its output is thrown away: a pipe hides that."""
    return work.command(["sh", "-c", 'tar -cf - -C "$1" . | cat >/dev/null', "sh", str(folder)])


def _piece(path: Path, at: int, count: int) -> float:
    path.stat()  # names are known: what counts is the way to the bytes
    begun = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    got = len(os.pread(fd, count, at))
    seconds = time.perf_counter() - begun
    os.close(fd)
    if got != count:
        raise ValueError(f"{path}: {got} bytes instead of {count}")
    return seconds


def _scattered(path: Path, scale: Scale, number: int) -> float:
    chance = random.Random(number)  # noqa: S311 - the same places for everybody
    places = [
        [chance.randrange(RANDOM_BYTES // PIECE_BYTES) * PIECE_BYTES for _ in range(scale.pieces)]
        for _ in range(READERS)
    ]

    def look(offsets: list[int]) -> None:
        with path.open("rb", buffering=0) as file:
            for offset in offsets:
                os.pread(file.fileno(), PIECE_BYTES, offset)

    threads = [threading.Thread(target=look, args=(offsets,)) for offsets in places]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _against_curl(place: Place, path: Path, link: Link, _number: int) -> dict[str, float]:
    """The same bytes of the same server by the same way, ours from another cold file of that size."""
    if place.name != ANCHORFS:
        return {}
    item_id = os.getxattr(path, "user.anchorfs.item_id").decode()
    target = place.path.parent / "by-curl.bin"
    words = ["curl", "--silent", "--fail", "--output", str(target), f"{link.url}/v1/items/{item_id}/content"]
    size = path.stat().st_size
    theirs = work.command(words) / size
    target.unlink()
    os.sync()
    return {CURL: theirs, ANCHORFS: work.read(path, MIB)}


def _fetched(place: Place, path: Path, link: Link, _number: int) -> dict[str, float]:
    path.stat()
    before = _settled(link)
    with path.open("rb", buffering=0) as file:
        os.pread(file.fileno(), MIB, SPARSE_BYTES // 2)
        after = _settled(link)
    return {place.name: (after - before) / MIB}


def _settled(link: Link) -> int:
    """Bytes that came so far, once none has come for a while."""
    deadline = time.monotonic() + PATIENCE_S
    before, since = link.down_bytes(), time.monotonic()
    while time.monotonic() - since < QUIET_S and time.monotonic() < deadline:
        time.sleep(0.05)
        now = link.down_bytes()
        if now - before > 4096:  # a heartbeat is no content
            before, since = now, time.monotonic()
    return link.down_bytes()


def _held_forgotten(place: Place, path: Path, _link: Link, number: int) -> dict[str, float]:
    if number == 0:
        work.read(path, MIB)
    place.forget_pages(path)
    found = {place.name: work.read(path, MIB)}
    if place.name == ANCHORFS and place.backing is not None:
        place.forget_pages(path)
        blob = max((each for each in place.backing.rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
        found[DISK] = work.read(blob, MIB)
    return found


def _held_small(place: Place, folder: Path, _link: Link, number: int) -> dict[str, float]:
    if number == 0:
        _tar(folder)
    return {place.name: work.open_read_close(folder)}
