"""fsck: an honest directory has no finding, and a breach tells its law; every single law: test_laws."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio

from cache import fsck, lock
from cache.errors import CacheInUse, StateUnusable
from cache.repair import repair
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_catalog_that_was_being_made_when_its_program_was_killed(tmp_path: Path) -> None:
    """Its first transaction is half in the file, and the journal to undo it is there."""
    (tmp_path / "made").mkdir()
    with closing(sqlite3.connect(tmp_path / "made" / "state.db", isolation_level=None)) as connection:
        connection.executescript("PRAGMA cache_size = 1; BEGIN; CREATE TABLE half (made)")
        connection.executemany("INSERT INTO half VALUES (?)", [(bytes(4000),)] * 50)  # more than it keeps in memory
        shutil.copytree(tmp_path / "made", tmp_path / "state")
    (tmp_path / "state" / "blobs").mkdir()
    assert [(each.law, each.heals) for each in fsck.check(tmp_path / "state")] == [("catalog", True)]
    trio.run(repair, tmp_path / "state")
    assert fsck.check(tmp_path / "state", deep=True) == []
