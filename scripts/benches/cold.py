"""The data and the cases of the bench `hydrate`: from a mount to samples, each by the name of who took it."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.benches import work
from scripts.benches.links import Link
from scripts.benches.places import ANCHORFS, RCLONE, Place
from scripts.benches.samples import MIB, Bar, Limit, Unit

CURL = "curl"
SMALL_BYTES = 4096
PIECE_BYTES = 64 << 10
READERS = 8
SPARSE_BYTES = 4 << 30
QUIET_S = 1.0  # without a byte on the way: nothing more is being fetched
PATIENCE_S = 20.0
Take = Callable[[Place, Link, int], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything."""

    small_files: int = 2000
    held_files: int = 5000
    many_folders: int = 2000
    large_bytes: int = 1024 * MIB
    held_bytes: int = 256 * MIB
    pieces: int = 64  # of each of the random readers
    memory_files: int = 10
    memory_cache: str = "3G"


FULL = Scale()
QUICK = Scale(small_files=300, held_files=1000, many_folders=200, large_bytes=256 * MIB, held_bytes=64 * MIB,
              pieces=16, memory_files=4, memory_cache="600M")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row; `take` may tell of more than the place that it was asked of."""

    name: str
    unit: Unit
    take: Take
    bar: Bar | Limit | None = None


def build(root: Path, scale: Scale) -> None:
    """Lay the data out below `root`. Files of 4 GiB are holes: only what is asked of them counts."""
    content = random.Random(1)  # noqa: S311 - the same bytes every time is what is wanted
    for name, files in (("small", scale.small_files), ("held", scale.held_files)):
        _fill(root / name, files, content.randbytes(SMALL_BYTES))
    for number in range(40):
        _fill(root / "few" / f"d{number:03}", 10, b"x")
    for number in range(scale.many_folders):
        _fill(root / "many" / f"g{number // 50:03}" / f"d{number % 50:03}", 2, b"x")
    for name, size in (
        ("large.bin", scale.large_bytes),
        ("random.bin", scale.large_bytes),
        ("held.bin", scale.held_bytes),
    ):
        with (root / name).open("wb") as file:
            for _ in range(size // MIB):
                file.write(content.randbytes(MIB))
    for number in range(scale.memory_files):
        shutil.copyfile(root / "large.bin", root / f"memory-{number}.bin")
    for name in ("first", "end", "middle"):
        with (root / f"{name}.sparse").open("wb") as file:
            file.truncate(SPARSE_BYTES)


def _fill(folder: Path, files: int, content: bytes) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"file-{number:05}.txt").write_bytes(content)


def near(scale: Scale) -> tuple[Case, ...]:
    """Over loopback."""
    size = f"{scale.large_bytes >> 20} MiB"
    return (
        Case(
            name=f"tar of {scale.small_files:,} x 4 KiB, cold, loopback", unit=Unit.SECONDS,
            take=_by_path(_tar, "small"), bar=_faster(10),
        ),
        Case(
            name=f"{size} in sequence, cold, loopback", unit=Unit.THROUGHPUT,
            take=_by_path(partial(work.read, block_bytes=MIB), "large.bin"), bar=_faster(1.2),
        ),
        Case(
            name=f"{size} in sequence, cold, loopback, against curl", unit=Unit.THROUGHPUT, take=_against_curl,
            bar=Bar(place=ANCHORFS, than=CURL, at_most=1 / 0.8),
        ),
    )  # fmt: skip


def far(scale: Scale, round_trip_ms: float) -> tuple[Case, ...]:
    """Over the long way. What leaves work behind in the background comes last."""
    way = f"cold, RTT {round_trip_ms:.0f} ms"
    soon = Limit(place=ANCHORFS, at_most=(2 * round_trip_ms + 5) / 1000)
    return (
        Case(
            name=f"first byte of 4 GiB, {way}", unit=Unit.MILLISECONDS,
            take=_by_path(partial(_piece, at=0, count=1), "first.sparse"), bar=soon,
        ),
        Case(
            name=f"last 4 KiB of 4 GiB, {way}", unit=Unit.MILLISECONDS,
            take=_by_path(partial(_piece, at=SPARSE_BYTES - 4096, count=4096), "end.sparse"), bar=soon,
        ),
        Case(name=f"find of 40 folders, {way}", unit=Unit.SECONDS, take=_by_path(work.find, "few"), bar=_faster(10)),
        Case(
            name=f"find of {scale.many_folders:,} folders, {way}", unit=Unit.SECONDS,
            take=_by_path(work.find, "many"), bar=_faster(10),
        ),
        Case(
            name=f"tar of {scale.small_files:,} x 4 KiB, {way}", unit=Unit.SECONDS,
            take=_by_path(_tar, "small"), bar=_faster(20),
        ),
        Case(
            name=f"{READERS} readers of {scale.pieces} x 64 KiB at random, {way}", unit=Unit.SECONDS,
            take=lambda place, _link, number: {place.name: _scattered(place.path / "random.bin", scale, number)},
            bar=_faster(2),
        ),
        Case(
            name=f"{scale.large_bytes >> 20} MiB in sequence, {way}", unit=Unit.THROUGHPUT,
            take=_by_path(partial(work.read, block_bytes=MIB), "large.bin"), bar=_faster(1.5),
        ),
        Case(
            name=f"{scale.large_bytes >> 20} MiB in sequence, {way}, against curl", unit=Unit.THROUGHPUT,
            take=_against_curl, bar=Bar(place=ANCHORFS, than=CURL, at_most=1 / 0.8),
        ),
    )  # fmt: skip


def sparing() -> tuple[Case, ...]:
    """What comes over the wire for a reader who wants little."""
    return (
        Case(
            name="bytes fetched for 1 MiB in the middle of 4 GiB, partial", unit=Unit.MEBIBYTES, take=_fetched,
            bar=Limit(place=ANCHORFS, at_most=4.0),
        ),
    )  # fmt: skip


def held(scale: Scale) -> tuple[Case, ...]:
    """What is here already."""
    return (
        Case(
            name=f"{scale.held_bytes >> 20} MiB from the disk cache, not in memory", unit=Unit.THROUGHPUT,
            take=_held_forgotten, bar=_faster(4),
        ),
        Case(
            name=f"{scale.held_bytes >> 20} MiB again, warm", unit=Unit.THROUGHPUT,
            take=_by_path(partial(work.read, block_bytes=MIB), "held.bin"), bar=_faster(10),
        ),
        Case(
            name=f"open, read, close of {scale.held_files:,} held small files, each", unit=Unit.MICROSECONDS,
            take=_held_small, bar=_faster(1 / 0.8),
        ),
    )  # fmt: skip


def peaks(place: Place, scale: Scale) -> list[float]:
    """Read one large file after the other; MiB that the client held at most, after each."""
    found = []
    for number in range(scale.memory_files):
        work.read(place.path / f"memory-{number}.bin", MIB)
        status = Path(f"/proc/{place.pid}/status").read_text(encoding="utf-8")
        found.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024)
    return found


def remove_caches(base: Path) -> None:
    """What mounts that are gone kept."""
    for cache in base.glob("*/cache"):
        shutil.rmtree(cache)


def _faster(times: float) -> Bar:
    return Bar(place=ANCHORFS, than=RCLONE, at_most=1 / times)


def _by_path(look: Callable[[Path], float], name: str) -> Take:
    return lambda place, _link, _number: {place.name: look(place.path / name)}


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
        [chance.randrange(scale.large_bytes // PIECE_BYTES) * PIECE_BYTES for _ in range(scale.pieces)]
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


def _against_curl(place: Place, link: Link, _number: int) -> dict[str, float]:
    """The same bytes of the same server by the same way, ours from another cold file of that size."""
    if place.name != ANCHORFS:
        return {}
    path = place.path / "memory-0.bin"
    item_id = os.getxattr(path, "user.anchorfs.item_id").decode()
    target = place.path.parent / "by-curl.bin"
    words = ["curl", "--silent", "--fail", "--output", str(target), f"{link.url}/v1/items/{item_id}/content"]
    size = path.stat().st_size
    theirs = work.command(words) / size
    target.unlink()
    return {CURL: theirs, ANCHORFS: work.read(path, MIB)}


def _fetched(place: Place, link: Link, _number: int) -> dict[str, float]:
    path = place.path / "middle.sparse"
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


def _held_forgotten(place: Place, _link: Link, number: int) -> dict[str, float]:
    path = place.path / "held.bin"
    if number == 0:
        work.read(path, MIB)
    place.forget_pages(path)
    return {place.name: work.read(path, MIB)}


def _held_small(place: Place, _link: Link, number: int) -> dict[str, float]:
    folder = place.path / "held"
    if number == 0:
        _tar(folder)
    return {place.name: work.open_read_close(folder)}
