"""Extended attributes between two sides: each attribute for itself, on a real catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from cache import holding
from cache.errors import NoAttribute, NoSpaceLeft, NotSupported
from cache.model import Kind, PushMode
from sync.planner import Conflicts
from sync.remote import Unknown
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time


class Tagged(Desk):
    """With attributes."""

    def tagged(self, path: str, **tags: bytes | None) -> None:
        """Set, or with None remove, `user.NAME` at the remote."""
        item = self.drive.at(path)
        changes = tuple((f"user.{name}", value) for name, value in tags.items())
        self.drive.set_xattrs(item.item_id, item.metadata_version, changes)

    async def tag(self, path: str, **tags: bytes | None) -> None:
        """The same here."""
        for name, value in tags.items():
            if value is None:
                await self.do.removexattr(self.machine.at(path).ino, f"user.{name}".encode())
            else:
                await self.do.setxattr(self.machine.at(path).ino, f"user.{name}".encode(), value)

    async def tags(self, path: str) -> dict[str, bytes]:
        """What is shown here."""
        ino = self.machine.at(path).ino
        names = [name for name in await self.do.listxattr(ino) if not name.startswith(b"user.anchorfs.")]
        return {name.decode()[5:]: await self.do.getxattr(ino, name) for name in names}

    def kept(self, path: str) -> dict[str, bytes]:
        """What the remote has."""
        return {name[5:]: value for name, value in self.drive.at(path).xattrs or ()}


@pytest.fixture
async def desk(tmp_path: Path, *, push_first: bool) -> AsyncIterator[Tagged]:
    """/f with user.old, /d/: known here."""
    drive = FakeDrive()
    item = drive.create(drive.root_id, "f", Kind.FILE, mode=0o644, mtime_ns=5, data=b"old")
    drive.set_xattrs(item.item_id, item.metadata_version, (("user.old", b"1"),))
    async with at_work(tmp_path, {"/d": None}, drive=drive) as plain:
        yield Tagged(drive, plain.machine, push_first=push_first)


async def test_different_attributes_are_both_kept(desk: Tagged) -> None:
    await desk.tag("/f", mine=b"here")
    desk.tagged("/f", theirs=b"there")
    await desk.meet()
    expected = {"old": b"1", "mine": b"here", "theirs": b"there"}
    assert await desk.tags("/f") == desk.kept("/f") == expected


async def test_the_time_of_change_tells_of_attributes(desk: Tagged) -> None:
    """What backup programs look at; our own change, told back, is none."""

    def told_ns() -> int:
        return desk.machine.at("/f").ctime_ns

    first_ns = told_ns()
    desk.tagged("/f", theirs=b"1")
    await desk.meet()
    assert (second_ns := told_ns()) > first_ns
    await trio.sleep(1)
    await desk.tag("/f", mine=b"1")
    assert (third_ns := told_ns()) > second_ns
    await trio.sleep(1)
    await desk.meet()
    assert told_ns() == third_ns


async def test_of_one_attribute_the_later_change_to_arrive_stays(desk: Tagged) -> None:
    await desk.tag("/f", old=b"here")
    desk.tagged("/f", old=b"there")
    await desk.meet()
    assert await desk.tags("/f") == desk.kept("/f") == {"old": b"here"}


async def test_a_removal_here_and_another_value_there(desk: Tagged) -> None:
    await desk.tag("/f", old=None)
    assert await desk.tags("/f") == {}
    desk.tagged("/f", old=b"there", more=b"2")
    await desk.meet()
    assert await desk.tags("/f") == desk.kept("/f") == {"more": b"2"}


async def test_attributes_against_content_mode_and_place(desk: Tagged) -> None:
    await desk.tag("/f", mine=b"here")
    desk.edited("/f", b"theirs")
    desk.moved("/f", "/d/g")
    tree = await desk.meet()
    assert tree["/d/g"] == b"theirs"
    assert desk.drive.at("/d/g").mtime_ns == 6
    assert await desk.tags("/d/g") == desk.kept("/d/g") == {"old": b"1", "mine": b"here"}


async def test_attributes_here_of_what_is_deleted_there(desk: Tagged) -> None:
    await desk.tag("/f", mine=b"here")
    desk.deleted("/f")
    assert "/f" not in await desk.meet()


async def test_an_edit_that_wins_over_a_deletion_brings_its_attributes_back(desk: Tagged) -> None:
    await desk.write("/f", b"mine")
    await desk.tag("/f", mine=b"here")
    desk.deleted("/f")
    await desk.meet()
    assert await desk.tags("/f") == desk.kept("/f") == {"old": b"1", "mine": b"here"}


async def test_a_conflict_copy_has_the_attributes_that_were_shown(desk: Tagged) -> None:
    await desk.tag("/f", mine=b"here")
    await desk.write("/f", b"mine")
    desk.edited("/f", b"theirs")
    await desk.meet()
    (copy,) = desk.copies()
    assert await desk.tags(copy) == desk.kept(copy) == {"old": b"1", "mine": b"here"}
    assert await desk.tags("/f") == desk.kept("/f") == {"old": b"1", "mine": b"here"}


async def test_a_new_file_and_a_new_folder_bring_theirs(desk: Tagged) -> None:
    await desk.machine.create("/d/new", b"x")
    await desk.mkdir("/made")
    await desk.tag("/d/new", a=b"1")
    await desk.tag("/made", b=b"2")
    await desk.meet()
    assert (desk.kept("/d/new"), desk.kept("/made")) == ({"a": b"1"}, {"b": b"2"})


async def test_a_folder_made_on_both_sides_has_those_of_both(desk: Tagged) -> None:
    await desk.mkdir("/made")
    await desk.tag("/made", mine=b"1")
    desk.there("/made")
    desk.tagged("/made", theirs=b"2")
    await desk.meet()
    assert await desk.tags("/made") == desk.kept("/made") == {"mine": b"1", "theirs": b"2"}


async def test_a_file_saved_over_another_bears_its_own_attributes(desk: Tagged) -> None:
    """As rename(2) says: the name then stands for the other file, with what that has and nothing else."""
    item = desk.drive.at("/f").item_id
    await desk.machine.create("/f.tmp", b"new")
    await desk.tag("/f.tmp", mine=b"here")
    await desk.rename("/f.tmp", "/f")
    assert await desk.tags("/f") == {"mine": b"here"}
    await desk.meet()
    assert desk.drive.at("/f").item_id == item
    assert await desk.tags("/f") == desk.kept("/f") == {"mine": b"here"}


async def test_a_file_saved_over_one_whose_change_is_under_way(desk: Tagged) -> None:
    """The change arrives at the item that goes on: it is none of the new file's."""
    gate = trio.Event()
    fault = desk.machine.remote.inject(Fault(operation="set_xattrs", gate=gate))
    await desk.tag("/f", late=b"1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.push_one, 0)
        await fault.reached.wait()
        await desk.machine.create("/f.tmp", b"new")
        await desk.rename("/f.tmp", "/f")
        await desk.machine.create("/f.tmp", b"newer")
        await desk.rename("/f.tmp", "/f")
        gate.set()
    assert await desk.tags("/f") == {}
    await desk.meet()
    assert await desk.tags("/f") == desk.kept("/f") == {}


async def test_an_unlinked_file_keeps_them_for_who_has_it_open(desk: Tagged) -> None:
    ino = desk.machine.at("/f").ino
    fh = (await desk.do.open(ino, 0)).fh
    await desk.unlink("/f")
    assert await desk.do.getxattr(ino, b"user.old") == b"1"
    await desk.do.setxattr(ino, b"user.mine", b"2")
    assert await desk.do.getxattr(ino, b"user.mine") == b"2"
    await desk.do.release(fh)
    await desk.meet()


async def test_a_lost_answer_and_a_change_back_since(desk: Tagged) -> None:
    """What was sent without an answer may have arrived: a value that is the old one again is sent all the same."""
    desk.machine.remote.inject(Fault(operation="set_xattrs", after=Unknown("lost")))
    await desk.tag("/f", old=b"2")
    await desk.machine.push_one(0)
    await desk.tag("/f", old=b"1")
    await desk.meet()
    assert await desk.tags("/f") == desk.kept("/f") == {"old": b"1"}


async def test_a_change_while_one_is_sent_is_sent_too(desk: Tagged) -> None:
    gate = trio.Event()
    fault = desk.machine.remote.inject(Fault(operation="set_xattrs", gate=gate))
    await desk.tag("/f", a=b"1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.push_one, 0)
        await fault.reached.wait()
        await desk.tag("/f", a=b"2", old=None)
        gate.set()
    assert await desk.tags("/f") == {"a": b"2"}
    await desk.meet()
    assert await desk.tags("/f") == desk.kept("/f") == {"a": b"2"}


async def test_changes_survive_a_crash(desk: Tagged) -> None:
    await desk.tag("/f", mine=b"here", old=None)
    desk.machine.crash()
    desk.do = desk.machine.filesystem
    await desk.machine.begin()
    async with desk.machine.running():
        assert await desk.tags("/f") == {"mine": b"here"}
        await desk.meet()
    assert desk.kept("/f") == {"mine": b"here"}


async def test_a_change_of_attributes_sends_no_time_and_no_mode(desk: Tagged) -> None:
    await desk.tag("/f", mine=b"here")
    await desk.do.setattr(desk.machine.at("/f").ino, AttributeChange(mtime_ns=9), None)
    await desk.tag("/f", mine=b"again")
    await desk.meet()
    assert (desk.drive.at("/f").mtime_ns, desk.kept("/f")["mine"]) == (9, b"again")
    assert desk.machine.remote.requests.count("put") == 0


async def test_what_is_not_there_and_what_does_not_fit(desk: Tagged) -> None:
    with pytest.raises(NoAttribute):
        await desk.tag("/f", none=None)
    await desk.tag("/f", big=b"x" * 4000)
    with pytest.raises(NoSpaceLeft):
        await desk.tag("/f", more=b"x" * 100)
    await desk.meet()
    assert desk.kept("/f") == {"old": b"1", "big": b"x" * 4000}


async def test_a_remote_that_keeps_none(desk: Tagged) -> None:
    root = desk.drive.items[desk.drive.root_id]
    desk.drive.store(replace(root, xattrs=None))
    await desk.machine.pull()
    with pytest.raises(NotSupported):
        await desk.tag("/f", mine=b"here")


async def test_review_holds_them_and_undoes_them(desk: Tagged) -> None:
    await desk.machine.store.db.write(lambda connection: holding.switch(connection, PushMode.REVIEW))
    await desk.tag("/f", mine=b"here", old=None)
    await desk.machine.create("/new", b"x")
    await desk.tag("/new", mine=b"too")
    assert not await desk.machine.push_all(1.0)
    assert desk.kept("/f") == {"old": b"1"}
    await desk.machine.engine.steering.reject(["/f"])
    assert await desk.tags("/f") == {"old": b"1"}
    await desk.machine.engine.steering.approve(["/new"])
    await desk.meet()
    assert (desk.kept("/f"), desk.kept("/new")) == ({"old": b"1"}, {"mine": b"too"})


@pytest.mark.parametrize("conflicts", list(Conflicts))
async def test_a_file_made_on_both_sides(desk: Tagged, conflicts: Conflicts) -> None:
    """Who has the name has its own attributes; a copy beside it has its own, too."""
    desk.machine.choose(conflicts)
    await desk.machine.create("/n", b"here")
    await desk.tag("/n", mine=b"1")
    desk.there("/n", b"there")
    desk.tagged("/n", theirs=b"2")
    tree = await desk.meet()
    wins = {"mine": b"1"} if tree["/n"] == b"here" else {"theirs": b"2"}
    assert await desk.tags("/n") == desk.kept("/n") == wins
    assert (tree["/n"] == b"here") is (conflicts is Conflicts.CLIENT_WINS)
    assert [desk.kept(copy) for copy in desk.copies()] == ([{"mine": b"1"}] if conflicts is Conflicts.COPY else [])
