"""News that nothing stands against is taken in by the hundreds: with the same rows and the same news as one by one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import resources
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache import bulk, tree
from cache.model import ROOT_INO, NodeChanged
from sync.absorb import Absorber
from tests.fakes.drive import FakeDrive
from tests.model.desk import Desk
from tests.model.machine import Machine
from tests.unit.sync.test_pull import START, change_something

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cache.model import Item
    from sync.remote import Tombstone

# Of each table what two ways must agree in; numbers that are given in order of arrival, times, and where a folder was
# when something happened in it that moved in the same page, are left out.
ROWS = {
    "node": """SELECT n.item_id, p.item_id, n.name, n.kind, n.size, n.mode, n.mtime_ns, n.symlink_target, n.listed,
               n.writable, n.content_id IS NULL FROM node n LEFT JOIN node p ON p.ino = n.parent""",
    "item": "SELECT * FROM item",
    "doubt": "SELECT * FROM doubt",
    "departed": "SELECT p.item_id, d.name FROM departed d LEFT JOIN node p ON p.ino = d.parent",
    "activity": "SELECT replace(path, rtrim(path, replace(path, '/', '')), ''), what, who FROM activity",
    "journal": "SELECT item_id, aspect, state, base_parent_id, base_name FROM journal",
}


def rows_of(machine: Machine) -> dict[str, list[str]]:
    return {table: sorted(map(repr, machine.store.db.reader.execute(query))) for table, query in ROWS.items()}


def news_of(machine: Machine) -> list[str]:
    """What the kernel is told, by items and names: inode numbers are the machine's own. News of a content is news of
    the attributes, too."""
    nodes: dict[int, bool] = {}
    told = set()
    while True:
        try:
            news = machine.news.receive_nowait()
        except trio.WouldBlock:
            break
        if isinstance(news, NodeChanged):
            nodes[news.ino] = news.content or nodes.get(news.ino, False)
        else:
            told.add(f"{news.name} {news.appeared} {news.deleted is None}")
    ids = dict(machine.store.db.reader.execute("SELECT ino, item_id FROM node").fetchall())
    return sorted({f"{ids.get(ino)} {content}" for ino, content in nodes.items()} | told)


async def played(machine: Machine, drive: FakeDrive, history: Iterable[tuple[int, int, int]]) -> None:
    desk = Desk(drive, machine)
    for path, content in START.items():
        desk.there(path, content)
    for number in range(8):
        desk.there(f"/a/more{number}", b"more")
    await machine.begin()
    await machine.list_all()
    news_of(machine)
    for what, which, where in history:
        change_something(drive, what, which, where)
    machine.remote.page = 100  # everything in one page
    await machine.pull()
    await machine.list_all()


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(history=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=16))
def test_many_at_once_are_taken_in_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, int, int]]
) -> None:
    found = []
    for together in (True, False):
        drive = FakeDrive()
        machine = Machine("ann", drive, tmp_path_factory.mktemp("plain") / "ann")
        try:
            with pytest.MonkeyPatch.context() as patch:
                if not together:
                    patch.setattr(bulk, "OUTBOX_MAX", -1)
                trio.run(played, machine, drive, history)
            assert machine.faults() == []
            assert machine.tree() == drive.tree()
            found.append(rows_of(machine) | {"news": news_of(machine)})
        finally:
            machine.remove()
    for table, rows in found[0].items():
        assert rows == found[1][table], table


async def test_nothing_is_asked_one_by_one_of_a_page_of_plain_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edits, new files, deletions, and what happens in folders that nobody looked into."""
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    one_by_one: list[Item | Tombstone] = []
    monkeypatch.setattr(Absorber, "item", lambda _self, told, **_how: one_by_one.append(told))
    monkeypatch.setattr(Absorber, "gone", lambda _self, told: one_by_one.append(told))
    try:
        desk = Desk(drive, machine)
        for path, content in START.items():
            desk.there(path, content)
        await machine.begin()
        await machine.engine.puller.ensure_listed(ROOT_INO)
        await machine.engine.puller.ensure_listed(machine.at("/a").ino)
        desk.edited("/a/x", b"new")
        desk.there("/a/new", b"new")
        desk.deleted("/a/y")
        desk.edited("/b/c/z", b"never seen")
        await machine.engine.puller.pull()
        assert one_by_one == []
    finally:
        machine.remove()


QUERIES = [
    bulk.STANDING, bulk.PLACED, bulk.TOLD, bulk.FOLDERS, bulk.TAKEN, bulk.HIDDEN, bulk.ITEMS_IN, bulk.PATHS,
]  # fmt: skip
OF_WHAT_IS_ASKED = ("SCAN asked", "SCAN up", "SETUP", "RECURSIVE STEP", "CO-ROUTINE up")


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_finds_its_rows_by_an_index(query: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(resources.files("cache").joinpath("schema.sql").read_text(encoding="utf-8"))
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", ("[]",))]
    steps = [step for step in plan if not step.startswith(OF_WHAT_IS_ASKED)]
    assert steps
    assert all(step.startswith("SEARCH") for step in steps), plan


async def test_paths_of_many_are_those_of_each(tmp_path: Path) -> None:
    machine = Machine("ann", FakeDrive(), tmp_path / "ann")
    try:
        desk = Desk(machine.drive, machine)
        for path, content in START.items():
            desk.there(path, content)
        await machine.begin()
        await machine.list_all()
        reader = machine.store.db.reader
        inos = [ino for (ino,) in reader.execute("SELECT ino FROM node")]
        assert len(inos) > 5
        assert bulk.paths(reader, inos) == {ino: tree.path_of(reader, ino) for ino in inos}
    finally:
        machine.remove()
