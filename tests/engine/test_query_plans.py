"""Every statement that a busy mount makes finds its rows by an index: none of them costs what the tree has in it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from cache.errors import NotFound
from cache.model import ROOT_INO
from tests.fakes.drive import FakeDrive
from tests.model.desk import Desk
from tests.model.machine import Machine

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

# Tables that grow with the tree or with what is held. The outbox, doubts and the like hold what is under way.
_WALKED = re.compile(
    r"\bSCAN (n|p|i|c|node|item|content|activity|departed)\b(?! USING (COVERING )?INDEX content_(dirty|unsynced))"
)
_PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine("ann", FakeDrive(), tmp_path / "ann")
    yield machine
    machine.remove()


async def busy(machine: Machine) -> None:
    """All that programs, the server and the janitor do all day."""
    desk = Desk(machine.drive, machine)
    for folder in ("/a", "/b"):
        desk.there(folder)
        for number in range(5):
            desk.there(f"{folder}/f{number}", b"data")
    await machine.begin()
    async with machine.running():
        await machine.read_all()
        desk.edited("/a/f0", b"new")
        desk.deleted("/a/f1")
        desk.moved("/a/f2", "/b/moved")
        desk.there("/a/new", b"new")
        await machine.pull()
        await machine.create("/b/mine", b"mine")
        await desk.write("/b/f0", b"other")
        await desk.rename("/b/f1", "/a/renamed")
        await desk.unlink("/b/f2")
        await desk.mkdir("/b/folder")
        assert await machine.push_all()
        with suppress(NotFound):
            await machine.filesystem.lookup(ROOT_INO, "missing")
        await machine.filesystem.statfs()
        await machine.store.save()
        machine.engine.statistics()


async def test_no_statement_walks_through_the_tree(machine: Machine) -> None:
    said: set[str] = set()
    for connection in (machine.store.db.reader, machine.store.db._writer):
        connection.set_trace_callback(said.add)
    await busy(machine)
    for connection in (machine.store.db.reader, machine.store.db._writer):
        connection.set_trace_callback(None)
    planned = sorted(each for each in said if _PLANNED.match(each))
    assert len(planned) > 100
    walks = {}
    for statement in planned:
        plan = "; ".join(row[3] for row in plan_of(machine.store.db._writer, statement))
        if _WALKED.search(plan):
            walks[statement] = plan
    assert walks == {}


def plan_of(connection: sqlite3.Connection, statement: str) -> list[tuple[int, int, int, str]]:
    return connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()


async def test_a_statement_that_walks_is_noticed(machine: Machine) -> None:
    await machine.begin()
    plan = plan_of(machine.store.db._writer, "SELECT ino FROM node WHERE size > 5")
    assert _WALKED.search("; ".join(row[3] for row in plan))
