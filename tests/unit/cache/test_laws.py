"""Every law of fsck: a breach is told by its name, and repaired; nothing unsent is gone afterwards."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from cache import deposits, fsck, ranges
from cache.deposits import Whole
from cache.model import Kind
from cache.repair import repair
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNSENT = {b"made here", b"edited here"}


ROWS: dict[str, str] = {
    "root": "UPDATE node SET name = 'root' WHERE ino = 1",
    "parent-is-folder": "UPDATE node SET parent = (SELECT ino FROM node WHERE name = 'told') WHERE name = 'folder'",
    "no-cycle": "UPDATE node SET parent = ino WHERE name = 'folder'",
    "name": "UPDATE node SET name = 'a/b' WHERE name = 'told'",
    "unlinked-is-empty": "UPDATE node SET parent = NULL, item_id = NULL WHERE name = 'folder'",
    "unlinked-is-forgotten": """INSERT INTO node (name, kind, size, mode, mtime_ns, ctime_ns)
        VALUES ('unlinked', 'file', 0, 420, 0, 0)""",
    "folder-only": "UPDATE node SET listed = 1 WHERE name = 'told'",
    "node-has-item": "DELETE FROM item WHERE name = 'told'",
    "item-is-wanted": """INSERT INTO item SELECT 'other', parent_id, 'other', 'other', kind, size, mode, mtime_ns,
        ctime_ns, content_version, metadata_version, digest, NULL, capabilities, xattrs FROM item
        WHERE name = 'told'""",
    "size-told": "UPDATE item SET size = 99 WHERE name = 'told'",
    "content-exists": "UPDATE content SET ino = 99 WHERE ino = (SELECT ino FROM node WHERE name = 'told')",
    "content-size": "UPDATE node SET size = 99 WHERE name = 'told'",
    "dirty-has-node": "UPDATE node SET content_id = NULL WHERE name = 'mine'",
    "clean-has-node": "UPDATE node SET content_id = NULL WHERE name = 'told'",
    "usage": "UPDATE usage SET contents = 99",
    "bundle-place": "UPDATE content SET bundle_at = 0 WHERE bundle IS NOT NULL",
    "clean-has-version": "UPDATE content SET version = NULL WHERE ino = (SELECT ino FROM node WHERE name = 'told')",
    "clean-is-told": "UPDATE content SET version = 'another' WHERE ino = (SELECT ino FROM node WHERE name = 'told')",
    "new-is-journalled": "DELETE FROM journal WHERE aspect = 'create'",
    "place-is-journalled": "UPDATE node SET name = 'elsewhere' WHERE name = 'told'",
    "attributes-are-journalled": "UPDATE node SET mode = 0 WHERE name = 'told'",
    "xattrs-are-journalled": "INSERT INTO xattr VALUES ((SELECT ino FROM node WHERE name = 'told'), 'user.a', x'00')",
    "change-has-node": "UPDATE journal SET ino = 77 WHERE aspect = 'content'",
    "creation-or-change": "UPDATE journal SET item_id = 'another' WHERE aspect = 'content'",
    "content-is-dirty": "UPDATE content SET dirty = 0 WHERE ino = (SELECT ino FROM node WHERE name = 'edited')",
    "removal-has-no-node": "UPDATE journal SET item_id = (SELECT item_id FROM node WHERE name = 'told') "
    "WHERE aspect = 'remove'",
    "local-kinds-stay": "UPDATE node SET kind = 'fifo' WHERE name = 'told'",
    "generation": "UPDATE journal SET sent_generation = generation + 1",
    "nothing-runs": "UPDATE journal SET state = 'running'",
    "catalog": "UPDATE node SET parent = 999 WHERE name = 'told'",
    "item": "UPDATE item SET capabilities = 'flies' WHERE name = 'told'",
    "residency": "UPDATE content SET resident = x'00' WHERE ino = (SELECT ino FROM node WHERE name = 'told')",
}
VARIANTS = [
    ("item", "UPDATE item SET shown_name = 'another' WHERE name = 'gone'"),
    ("bundle-place", "UPDATE content SET bundle_at = NULL WHERE bundle IS NOT NULL"),
    (
        "bundle-place",
        "INSERT INTO dropped SELECT 99 + content_id, size, bundle, bundle_at FROM content WHERE bundle IS NOT NULL",
    ),
]


def _blob(state: Path, data: bytes) -> Path:
    return next(each for each in (state / "blobs").rglob("*") if each.is_file() and each.read_bytes() == data)


def _stray(state: Path) -> None:
    (state / "blobs" / "63" / "99").write_bytes(b"nobody's")


def _beside_its_bundle(state: Path) -> None:
    with closing(sqlite3.connect(state / "state.db")) as connection:
        (content_id,) = connection.execute("SELECT max(content_id) FROM content WHERE bundle IS NOT NULL").fetchone()
    (state / "blobs" / f"{content_id % 256:02x}" / str(content_id)).write_bytes(b"it never came out")


def _partly(state: Path) -> None:
    with closing(sqlite3.connect(state / "state.db")) as connection, connection:
        connection.execute(
            "UPDATE content SET resident = ? WHERE ino = (SELECT ino FROM node WHERE name = 'mine')",
            (ranges.encode(((0, 1),)),),
        )


FILES: list[tuple[str, Callable[[Path], object]]] = [
    ("dirty-is-whole", _partly),
    ("row-has-blob", lambda state: _blob(state, b"told").unlink()),
    ("blob-has-row", _stray),
    ("blob-has-row", _beside_its_bundle),
    ("blob-size", lambda state: os.truncate(_blob(state, b"told"), 2)),
    ("mark", lambda state: _blob(state, b"made here").chmod(0o600)),
    ("digest", lambda state: _blob(state, b"told").write_bytes(b"tolf")),
]


@pytest.fixture(scope="module")
def closed() -> Iterator[Path]:
    """A directory closed in order: files held, one in a bundle with another, and one change of each kind unsent."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        drive = FakeDrive()
        inner = drive.create(drive.root_id, "folder", Kind.FOLDER, mode=0o755, mtime_ns=5)
        for name in ("told", "edited", "gone", "one", "two"):
            drive.create(drive.root_id, name, Kind.FILE, mode=0o644, mtime_ns=5, data=name.encode())
        drive.create(inner.item_id, "inner", Kind.FILE, mode=0o644, mtime_ns=5, data=b"inner")
        machine = Machine("ann", drive, Path(folder) / "state")
        trio.run(_fill, machine)
        yield machine.directory


def _whole(machine: Machine, name: str) -> Whole:
    of = deposits.placeholder(machine.store.db.reader, machine.at(f"/{name}").ino)
    assert of is not None
    return Whole(of=of, data=name.encode())


async def _fill(machine: Machine) -> None:
    await machine.begin()
    async with machine.running():
        await machine.list_all()
        await machine.read(machine.at("/told").ino)
        await machine.store.deposit(_whole(machine, name) for name in ("one", "two"))
        await machine.create("/mine", b"made here")
        await machine.write(machine.at("/edited").ino, 0, b"edited here")
        await machine.filesystem.unlink(*machine.place("/gone"))
    await machine.store.aclose()


@pytest.fixture
def state(closed: Path) -> Iterator[Path]:
    """A copy."""
    directory = closed.with_name("copy")
    shutil.copytree(closed, directory)
    yield directory
    shutil.rmtree(directory)


def test_no_law_is_left_out() -> None:
    assert {*ROWS, *(law for law, _ in FILES)} == {*fsck.laws()}


@pytest.mark.parametrize(("law", "damage"), [*ROWS.items(), *VARIANTS])
def test_a_damaged_row(state: Path, law: str, damage: str) -> None:
    with closing(sqlite3.connect(state / "state.db")) as connection, connection:
        assert connection.execute(damage).rowcount > 0
    (state / "seal").unlink()  # it would tell before anybody looks at the laws
    assert_told_and_repaired(state, law)


@pytest.mark.parametrize(("law", "damage"), FILES)
def test_a_damaged_file(state: Path, law: str, damage: Callable[[Path], object]) -> None:
    damage(state)
    (state / "seal").unlink()
    assert_told_and_repaired(state, law)


def assert_told_and_repaired(state: Path, law: str) -> None:
    assert law in {each.law for each in fsck.check(state, deep=True)}

    async def deep() -> list[fsck.Finding]:
        return await repair(state, deep=True)

    assert law in {each.law for each in trio.run(deep)}
    assert fsck.check(state, deep=True) == []
    kept = {each.read_bytes() for each in state.rglob("*") if each.is_file() and "quarantine" not in each.parts}
    assert kept >= UNSENT


def test_what_may_be_the_only_copy_is_not_thrown_away_for_its_digest(state: Path) -> None:
    """Its row says clean, the blob says unsent: one of them is wrong, and nobody knows which."""
    blob = _blob(state, b"told")
    blob.write_bytes(b"tolf")
    blob.chmod(0o1600)
    assert_told_and_repaired(state, "digest")
    assert b"tolf" in {each.read_bytes() for each in (state / "rescued").rglob("*") if each.is_file()}
