"""fsck: an honest directory has no finding; each damage is found, by the name of the law that it breaks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio

from cache import fsck, lock
from cache.errors import CacheInUse, StateUnusable
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

DAMAGE = [
    ("UPDATE node SET parent = 3 WHERE ino = 2", "parent-is-folder"),
    ("UPDATE node SET name = 'a/b' WHERE ino = 2", "name"),
    ("DELETE FROM journal WHERE aspect = 'create'", "new-is-journalled"),
    ("UPDATE node SET size = 99 WHERE content_id IS NOT NULL", "content-size"),
    ("DELETE FROM item WHERE parent_id IS NOT NULL", "node-has-item"),
    ("UPDATE node SET name = 'elsewhere' WHERE ino = 2", "place-is-journalled"),
    ("UPDATE node SET mode = 0 WHERE ino = 2", "attributes-are-journalled"),
    ("UPDATE content SET held_bytes = 1000", "residency"),
    ("UPDATE content SET resident = x'00'", "residency"),
    ("UPDATE journal SET ino = 77", "change-has-node"),
    ("UPDATE journal SET state = 'running'", "nothing-runs"),
    ("UPDATE node SET parent = ino WHERE ino = 2", "no-cycle"),
    ("UPDATE node SET content_id = NULL WHERE item_id IS NULL", "dirty-has-node"),
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A closed state directory."""
    machine = Machine("ann", FakeDrive(), tmp_path / "state")
    trio.run(_fill, machine)
    return machine.directory


async def _fill(machine: Machine) -> None:
    """One file that the remote has, and one that it has not."""
    await machine.begin()
    async with machine.running():
        await machine.create("/told", b"told")
        await machine.push_all()
        await machine.create("/mine", b"mine")
    await machine.store.aclose()


def test_an_honest_directory(state: Path) -> None:
    assert fsck.check(state, deep=True) == []


@pytest.mark.parametrize(("damage", "law"), DAMAGE)
def test_damage_is_found(state: Path, damage: str, law: str) -> None:
    with closing(sqlite3.connect(state / "state.db")) as connection, connection:
        connection.execute(damage)
    assert law in {finding.law for finding in fsck.check(state)}
    assert law in fsck.laws()


def test_other_bytes_than_the_remote_told(state: Path) -> None:
    for path in (state / "blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == b"told":
            path.write_bytes(b"tolf")
    assert [finding.law for finding in fsck.check(state, deep=True)] == ["digest"]
    assert fsck.check(state) == []


def test_blobs_and_rows(state: Path) -> None:
    (state / "blobs" / "63").mkdir(exist_ok=True)
    (state / "blobs" / "63" / "99").touch()
    next(path for path in (state / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b"told").unlink()
    findings = fsck.check(state)
    assert {finding.law for finding in findings} == {"blob-has-row", "row-has-blob"}
    assert all(finding.heals for finding in findings)


def test_a_directory_in_use_and_one_that_is_none(state: Path, tmp_path: Path) -> None:
    held = lock.take(state)
    with pytest.raises(CacheInUse):
        fsck.check(state)
    with closing(open(held, closefd=True)), pytest.raises(StateUnusable):  # noqa: PTH123
        fsck.check(tmp_path)
