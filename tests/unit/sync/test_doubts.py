"""What must be asked for again is asked for again, also by the next process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from cache.model import ItemId, Kind, Version
from sync.remote import Tombstone, Unreachable
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.virtual_time


async def test_a_doubt_outlives_the_process(tmp_path: Path) -> None:
    """A page is overtaken, the question about it fails, the process dies: the anchor is past the news already."""
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    folder = drive.create(drive.root_id, "d", Kind.FOLDER, mode=0o755, mtime_ns=5)
    item = drive.create(folder.item_id, "x", Kind.FILE, mode=0o644, mtime_ns=5, data=b"1")
    machine.remote.page = 1
    page = Fault(operation="changes", answer_gate=trio.Event())

    async def pull() -> None:
        with pytest.raises(Unreachable):
            await machine.pull()

    try:
        await machine.begin()
        async with machine.running():
            await machine.read_all()
        drive.remove(item.item_id, item.metadata_version)
        machine.remote.inject(page)
        machine.remote.inject(Fault(operation="get_many", before=Unreachable()))
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pull)
                await page.applied.wait()
                await machine.engine.applier.apply(lambda absorber: absorber.item(replace(item, mtime_ns=7)))
                assert page.answer_gate is not None
                page.answer_gate.set()
        machine.crash()
        await machine.begin()
        await machine.pull()
        assert machine.tree() == drive.tree()
    finally:
        machine.remove()


async def test_a_name_that_hides_an_old_item_is_taken_by_another_one(tmp_path: Path) -> None:
    """Ours gives way to what is told; what it hid is known there no more, and must not step into its place."""
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    try:
        desk = Desk(drive, machine)
        desk.there("/f", b"moved")
        await machine.begin()
        async with machine.running():
            await machine.read_all()
            await machine.create("/g", b"mine")
            desk.there("/g", b"hidden")
            await machine.pull()
            desk.deleted("/g")
            moved = desk.moved("/f", "/g")
            await machine.engine.applier.refresh([moved.item_id])
            tree = await desk.meet()
            assert tree.pop("/g") == b"moved"
            assert list(tree.values()) == [b"mine"]
    finally:
        machine.remove()


async def test_a_folders_end_is_told_before_that_of_what_it_held(tmp_path: Path) -> None:
    """What it held has no tombstone yet: it may have been moved out of it."""
    drive = FakeDrive()
    machine = Machine("ann", drive, tmp_path / "ann")
    desk = Desk(drive, machine)
    try:
        folder = desk.there("/d")
        desk.there("/d/f", b"1")
        await machine.begin()
        async with machine.running():
            await machine.read_all()
            ino = machine.at("/d/f").ino
            desk.moved("/d/f", "/g")
            desk.deleted("/d")
            proof = Tombstone(item_id=folder.item_id, parent_id=folder.parent_id)
            await machine.engine.applier.apply(lambda absorber: absorber.gone(proof))
            assert machine.faults() == []
            assert await desk.meet() == {"/g": b"1"}
            assert machine.at("/g").ino == ino
    finally:
        machine.remove()


@pytest.mark.parametrize("known", [True, False])
async def test_nothing_is_put_below_a_file(tmp_path: Path, known: bool) -> None:
    """Whatever the remote says of an item's folder: a node below a file could never be forgotten."""
    async with at_work(tmp_path, {"/f": b"1", "/d": None, "/d/c": b"2"}) as desk:
        machine, file, child = desk.machine, desk.drive.at("/f"), desk.drive.at("/d/c")
        told = replace(child, parent_id=file.item_id, metadata_version=Version("other"))
        told = told if known else replace(told, item_id=ItemId("new"))
        await machine.engine.applier.apply(lambda absorber: absorber.item(told, unlisted_parent=True))
        desk.deleted("/f")
        assert await desk.meet() == {"/d": None, "/d/c": b"2"}
        await machine.store.save()
        assert machine.faults() == []
