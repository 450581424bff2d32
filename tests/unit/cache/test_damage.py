"""Damage to any state file, at any place: opening goes well or refuses in words, no unsent byte is gone, and nothing is
done to the remote that the person at this machine did not ask for.

40 damages, with `--long` 4,000.
"""

from __future__ import annotations

import copy
import errno
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import cache.db
from cache import fsck, seal
from cache.errors import NoSpaceLeft, StateUnusable
from cache.model import Kind
from cache.repair import repair
from tests.fakes.drive import FakeDrive
from tests.harness.properties import examples
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THEIRS = {"/held": b"held, and on the server", "/far/away": b"never read here", "/edited": b"old", "/over": b"old too"}
UNSENT = {"/edited": b"edited here, not sent", "/far/new": b"new here, not sent", "/over": b"saved over it, not sent"}
ASKED_TO_REMOVE = "/goes"
FILES = ("state.db", "state.db-wal", "seal", "lock", "blobs")


@dataclass(frozen=True)
class Ruin:
    """A state directory, closed in order or not, and the drive that it is of."""

    directory: Path
    drive: FakeDrive


@pytest.fixture(scope="module")
def quick() -> Iterator[Path]:
    """A folder in memory: nothing here is about waiting for a disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="module", params=["closed", "killed"])
def ruin(request: pytest.FixtureRequest, quick: Path) -> Ruin:
    """Unsent: an edit, a new file, a file saved by renaming over another one, a removal."""
    folder = quick / request.param
    folder.mkdir()
    drive = FakeDrive()
    far = drive.create(drive.root_id, "far", Kind.FOLDER, mode=0o755, mtime_ns=5)
    for path, data in {**THEIRS, ASKED_TO_REMOVE: b"goes"}.items():
        parent = far.item_id if path.startswith("/far/") else drive.root_id
        drive.create(parent, path.rpartition("/")[2], Kind.FILE, mode=0o644, mtime_ns=5, data=data)
    machine = Machine("ann", drive, folder / "live")
    trio.run(_work, machine)
    if request.param == "killed":
        shutil.copytree(folder / "live", folder / "state")
        machine.remove()
    else:
        trio.run(machine.store.aclose)
        (folder / "live").rename(folder / "state")
    return Ruin(folder / "state", drive)


async def _work(machine: Machine) -> None:
    await machine.begin()
    async with machine.running():
        await machine.list_all()
        await machine.read(machine.at("/held").ino)
        await machine.write(machine.at("/edited").ino, 0, UNSENT["/edited"], os.O_RDWR | os.O_TRUNC)
        await machine.create("/far/new", UNSENT["/far/new"])
        await machine.create("/tmp", UNSENT["/over"])
        await machine.filesystem.rename(*machine.place("/tmp"), *machine.place("/over"), 0)
        await machine.filesystem.unlink(*machine.place(ASKED_TO_REMOVE))
        await machine.store.save()


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, str, list[float]]:
    """(which file, what becomes of it, where)."""
    name = draw(st.sampled_from(FILES))
    how = draw(st.sampled_from(["flip", "flip", "flip", "cut", "empty", "garbage", "gone", "tail", "newer"]))
    return name, how, draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8))


def do_damage(path: Path, how: str, places: list[float]) -> None:
    """Damage one file; `places` are fractions of its length in bits."""
    raw = bytearray(path.read_bytes())
    match how:
        case "flip":
            for bit in [int(place * len(raw) * 8) for place in places if raw]:
                raw[bit // 8] ^= 1 << bit % 8
        case "cut":
            del raw[int(places[0] * len(raw)) :]
        case "empty":
            raw.clear()
        case "garbage":
            raw[:] = bytes(int(place * 255) for place in places) * 999
        case "tail":
            raw += b"\0" * 4096
        case _:
            raw[60:64] = (99).to_bytes(4, "big")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(raw)


def everything_in(directory: Path) -> Iterator[bytes]:
    """All bytes that a person can find there; quarantine is not for people."""
    for path in directory.rglob("*"):
        if path.is_file() and "quarantine" not in path.parts:
            yield path.read_bytes()


@examples(40, 4_000)
@given(damage=damages())
def test_nothing_unsent_vanishes(ruin: Ruin, damage: tuple[str, str, list[float]]) -> None:
    name, how, places = damage
    directory = ruin.directory.parent / "damaged"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(ruin.directory, directory)
    victims = sorted((directory / name).rglob("*")) if name == "blobs" else [directory / name]
    victims = [each for each in victims if each.is_file()]
    for victim in victims:
        do_damage(victim, how, places)
    expected = set() if name == "blobs" else set(UNSENT.values())
    drive = copy.deepcopy(ruin.drive)
    before = drive.tree()
    try:
        machine = Machine("ann", drive, directory)
    except (StateUnusable, OSError):
        assert expected <= set(everything_in(directory)), "refused, and not left alone"
        return
    assert drive.tree() == before, "opening told the remote something"
    try:
        assert expected <= set(everything_in(directory))
        trio.run(_go_on, machine)
        if name != "blobs":  # damage to the only copy of bytes is seen only where their length tells
            assert_harmless(drive, expected, directory)
    finally:
        machine.remove()


async def _go_on(machine: Machine) -> None:
    await machine.begin()
    async with machine.running():
        await machine.pull()
        await machine.list_all()
        await machine.push_all(60.0)


def assert_harmless(drive: FakeDrive, expected: set[bytes], directory: Path) -> None:
    """After the damaged machine has worked: the remote has what it had, or what was meant for it."""
    after = drive.tree()
    bodies = set(drive.bodies.values())
    for path, data in THEIRS.items():
        assert data in bodies
        assert after.get(path) in {data, UNSENT.get(path)}, f"{path} is not what anybody wrote"
    for data in expected:
        assert data in bodies or data in set(everything_in(directory)), f"{data!r} is nowhere"


def test_a_newer_version_is_refused_and_not_touched(ruin: Ruin, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)
    (directory / "seal").unlink(missing_ok=True)
    do_damage(directory / "state.db", "newer", [])
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(StateUnusable, match="newer AnchorFS"):
        Machine("ann", ruin.drive, directory)
    assert {path: path.read_bytes() for path in before} == before
    assert not (directory / "quarantine").exists()


def test_a_rescue_keeps_names_and_says_where(ruin: Ruin, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)
    raw = bytearray((directory / "state.db").read_bytes())
    raw[:16] = b"not SQLite at al"
    (directory / "state.db").write_bytes(raw)
    machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine._let_go()
    (rescued,) = (directory / "rescued").iterdir()
    found = {path.read_bytes() for path in rescued.rglob("*") if path.is_file()}
    assert set(UNSENT.values()) <= found
    assert str(rescued) in caplog.text
    assert "quarantine" in caplog.text
    (moved,) = (directory / "quarantine").iterdir()
    assert (moved / "state.db").read_bytes() == raw


def test_a_flipped_bit_in_a_value_is_noticed_after_an_orderly_close(tmp_path: Path) -> None:
    """SQLite would not: the page keeps its form."""
    machine = Machine("ann", FakeDrive(), tmp_path / "state")
    trio.run(machine.begin)
    trio.run(machine.store.aclose)
    path = tmp_path / "state" / "state.db"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"root_id", b"root_ie"))
    machine.open()
    assert (tmp_path / "state" / "quarantine").exists()
    machine.remove()


@pytest.mark.parametrize("spared_bytes", [100, 4096], ids=["from the schema on", "all rows"])
def test_damage_that_nobody_met_before_the_orderly_close(ruin: Ruin, tmp_path: Path, spared_bytes: int) -> None:
    """The seal then vouches for a damaged catalog; what opens it does not refuse the mount for that."""
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)
    path = directory / "state.db"
    with closing(sqlite3.connect(path)) as connection:  # folds the log in
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    raw = path.read_bytes()
    path.write_bytes(raw[:spared_bytes] + b"\xff" * (len(raw) - spared_bytes))
    seal.put(directory)
    machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine._let_go()
    (moved,) = (directory / "quarantine").iterdir()
    assert (moved / "state.db").exists()
    assert set(UNSENT.values()) <= set(everything_in(directory / "rescued"))


def killed() -> None:
    raise KeyboardInterrupt


def test_who_is_killed_while_bytes_are_rescued_has_them_rescued_the_next_time(
    ruin: Ruin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the two steps in which a blob leaves the store."""
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)
    (directory / "state.db").write_bytes(b"no catalog at all")
    really = {"rename": Path.rename, "chmod": Path.chmod}
    for step, act in really.items():

        def dying(path: Path, *rest: object, act: Callable[..., object] = act) -> object:
            return killed() if "rescued" in f"{path}{rest}" else act(path, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(Path, step, dying)
            with pytest.raises(KeyboardInterrupt):
                Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine._let_go()
    assert set(UNSENT.values()) <= set(everything_in(directory / "rescued"))


def test_a_full_disk_keeps_the_list_from_being_written_and_nothing_from_being_rescued(
    ruin: Ruin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, really = tmp_path / "state", Path.open
    shutil.copytree(ruin.directory, directory)
    (directory / "state.db").write_bytes(b"no catalog at all")

    def full(path: Path, mode: str = "r", **more: object) -> object:
        if path.name == "RESCUED.txt":
            raise OSError(errno.ENOSPC, "no room")
        return really(path, mode, **more)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine._let_go()
    assert set(UNSENT.values()) <= set(everything_in(directory / "rescued"))


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL]
)
def test_a_disk_that_will_not_do_it_now_is_no_damage(
    ruin: Ruin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The catalog stays where it is, and is used when the disk is well again."""
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)

    def refusing(_path: Path, _factory: object) -> sqlite3.Connection:
        error = sqlite3.OperationalError("told by a test")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(cache.db, "_connect", refusing)
        with pytest.raises((OSError, NoSpaceLeft)):
            Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    unsent = len(machine.outbox())
    machine._let_go()
    assert not (directory / "quarantine").exists()
    assert unsent >= 4


def test_a_name_that_is_no_text_is_damage_though_sqlite_finds_the_catalog_whole(ruin: Ruin, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)
    with closing(sqlite3.connect(directory / "state.db")) as connection, connection:
        connection.execute("UPDATE node SET name = CAST(x'61ff' AS TEXT) WHERE name = 'held'")
    (directory / "seal").unlink(missing_ok=True)
    machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    with pytest.raises(StateUnusable):
        machine.tree()
    machine._let_go()
    assert [each.law for each in trio.run(repair, directory)] == ["catalog"]
    assert fsck.check(directory) == []
    assert set(UNSENT.values()) <= set(everything_in(directory / "rescued"))


def test_unsent_bytes_that_somebody_deleted_are_told_of(
    ruin: Ruin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "state"
    shutil.copytree(ruin.directory, directory)
    for path in (directory / "blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == UNSENT["/far/new"]:
            path.unlink()
    machine = Machine("ann", copy.deepcopy(ruin.drive), directory)
    machine._let_go()
    assert "far/new are lost" in caplog.text
