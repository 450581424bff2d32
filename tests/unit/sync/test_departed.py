"""A file that lost its place while it was open here: what is written to it, or emptying it, is an edit that wins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from cache.model import Kind
from sync.planner import Conflicts
from sync.remote import Unknown
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.desk import at_work
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("held", [True, False], ids=["whole", "placeholder"])
async def test_truncation_brings_the_file_back(tmp_path: Path, held: bool) -> None:
    drive = FakeDrive()
    item = drive.create(drive.root_id, "file", Kind.FILE, mode=0o644, mtime_ns=5, data=b"content")
    machine = Machine("ann", drive, tmp_path / "ann")
    await machine.begin()
    async with machine.running():
        await machine.list_all()
        node = machine.at("/file")
        if held:
            await machine.read(node.ino)
        fh = (await machine.filesystem.open(node.ino, os.O_RDWR)).fh
        drive.remove(item.item_id, item.metadata_version)
        await machine.pull()
        assert machine.tree() == {}
        await machine.filesystem.files.truncate(node, 0, fh)
        await machine.filesystem.release(fh)
        assert machine.tree() == {"/file": b""}
        assert await machine.push_all()
    assert drive.tree() == {"/file": b""}
    assert machine.faults() == []
    machine.remove()


async def test_what_is_written_while_the_place_of_a_file_is_asked_for_is_kept(tmp_path: Path) -> None:
    """Another item has its name by a listing; whether it is gone, or elsewhere, is not known yet."""
    async with at_work(tmp_path, {"/f": b"old"}) as desk:
        fh = (await desk.do.open(desk.machine.at("/f").ino, os.O_RDWR)).fh
        desk.deleted("/f")
        desk.there("/f", b"theirs")
        desk.drive.expire_anchors()
        asked = desk.machine.remote.inject(Fault(operation="get_many", gate=trio.Event()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.machine.pull)
            await asked.reached.wait()
            await desk.do.write(fh, 0, b"written")
            assert asked.gate is not None
            asked.gate.set()
        await desk.do.release(fh)
        tree = await desk.meet()
        assert tree.pop("/f") == b"theirs"
        assert list(tree.values()) == [b"written"]


async def test_what_is_written_to_the_echo_of_our_own_creation_is_kept(tmp_path: Path) -> None:
    """It was moved elsewhere before its answer was heard, and opened there: then the answer says that it is ours."""
    async with at_work(tmp_path) as desk:
        await desk.machine.create("/n", b"mine")
        desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
        await desk.machine.push_one(0)
        desk.moved("/n", "/m")
        await desk.machine.pull()
        fh = (await desk.do.open(desk.machine.at("/m").ino, os.O_RDWR)).fh
        assert await desk.machine.push_all(5.0)
        await desk.do.write(fh, 0, b"written")
        await desk.do.release(fh)
        assert b"written" in (await desk.meet()).values()


async def test_what_is_written_to_an_item_that_was_overruled_is_kept(tmp_path: Path) -> None:
    async with at_work(tmp_path, {"/f": b"old"}) as desk:
        desk.machine.choose(Conflicts.CLIENT_WINS)
        fh = (await desk.do.open(desk.machine.at("/f").ino, os.O_RDWR)).fh
        await desk.machine.create("/n", b"mine")
        desk.moved("/f", "/n")
        await desk.machine.pull()
        assert desk.machine.tree() == {"/n": b"mine"}
        await desk.do.write(fh, 0, b"written")
        await desk.do.release(fh)
        assert sorted(map(str, (await desk.meet()).values())) == sorted(map(str, (b"mine", b"written")))


async def test_the_echo_of_our_own_creation_makes_room_and_is_forgotten(tmp_path: Path) -> None:
    """It was moved elsewhere before its answer was heard: what it held goes over to what was created here."""
    async with at_work(tmp_path) as desk:
        await desk.mkdir("/n")
        desk.machine.remote.inject(Fault(operation="make_folder", after=Unknown()))
        await desk.machine.push_one(0)
        desk.moved("/n", "/m")
        desk.there("/m/f", b"theirs")
        desk.there("/m/g", b"theirs, too")
        await desk.machine.create("/n/f", b"mine")
        await desk.machine.pull()
        await desk.machine.list_all()
        assert "/m/f" in desk.machine.tree()
        await desk.machine.create("/n/h", b"made in one")
        await desk.machine.create("/m/h", b"made in the other")
        tree = await desk.meet()
        files = (b"theirs", b"theirs, too", b"mine", b"made in one", b"made in the other")
        assert sorted(map(str, tree.values())) == sorted(map(str, (None, *files)))
        reader = desk.machine.store.db.reader
        left = "SELECT name FROM node WHERE parent IS NULL AND item_id IS NULL AND ino <> 1"
        assert reader.execute(left).fetchall() == []
