"""A feed that does not reach back: all that is known is compared, wherever it goes meanwhile; one that goes nowhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import trio
from msgspec import structs

from cache.model import ItemId
from sync.remote import ChangePage, ProtocolViolation, Unknown, Unreachable
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import Anchor
    from tests.fakes.drive import FakeDrive

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """/a/, /b/f/gone: listed here; then gone/ was deleted, and the feed was cut off."""
    async with at_work(tmp_path, {"/a": None, "/b": None, "/b/f": None, "/b/f/gone": b"1"}) as desk:
        desk.deleted("/b/f/gone")
        desk.there("/b/f/new", b"2")
        desk.drive.expire_anchors()
        yield desk


async def test_a_folder_that_a_program_moves_into_one_that_was_compared_is_compared_too(desk: Desk) -> None:
    machine = desk.machine
    gates = [Fault(operation="children"), Fault(operation="children"), Fault(operation="children", gate=trio.Event())]
    for each in gates:  # the root, /a, and then /b is waited for
        machine.remote.inject(each)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.pull)
        await gates[-1].reached.wait()
        await desk.rename("/b/f", "/a/f")
        assert gates[-1].gate is not None
        gates[-1].gate.set()
    assert set(machine.tree()) == {"/a", "/a/f", "/a/f/new", "/b"}
    assert set(await desk.meet()) == {"/a", "/a/f", "/a/f/new", "/b"}


async def test_a_resync_that_was_cut_short_is_done_again(desk: Desk) -> None:
    """Only what compared everything moves the anchor: else what it did not come to would never be told again."""
    before = desk.machine.engine.puller.anchor
    for error in (None, None, Unreachable("the link is cut")):
        desk.machine.remote.inject(Fault(operation="children", before=error))
    with pytest.raises(Unreachable):
        await desk.machine.pull()
    assert desk.machine.engine.puller.anchor == before
    await desk.machine.pull()
    assert desk.machine.engine.puller.anchor != before
    assert desk.machine.tree() == desk.drive.tree() == {"/a": None, "/b": None, "/b/f": None, "/b/f/new": b"2"}


@pytest.fixture
async def unseen(tmp_path: Path) -> AsyncIterator[Desk]:
    """/new/f, /new/g, and /kept/h: they came from /a; nobody looked into /new, and /kept is removed here, where h went
    to the root, both not sent yet."""
    before = {"/a": None, "/a/f": b"f", "/a/g": b"g", "/kept": None, "/kept/h": b"h"}
    async with at_work(tmp_path, before) as desk:
        desk.there("/new")
        desk.moved("/a/f", "/new/f")
        desk.moved("/a/g", "/new/g")
        await desk.machine.pull()
        await desk.rename("/kept/h", "/h")
        await desk.rmdir("/kept")
        yield desk


async def test_what_is_known_of_a_folder_that_nobody_looked_into_is_asked_for(unseen: Desk) -> None:
    machine = unseen.machine
    assert not machine.at("/new").listed
    unseen.edited("/new/f", b"edited")
    unseen.deleted("/new/g")
    unseen.edited("/kept/h", b"this too")
    unseen.drive.expire_anchors()
    await machine.pull()
    assert machine.tree() == {"/a": None, "/new": None, "/new/f": b"edited", "/h": b"this too"}
    assert await unseen.meet() == {"/a": None, "/new": None, "/new/f": b"edited", "/h": b"this too"}


async def test_what_is_asked_for_after_a_resync_is_asked_for_by_the_next_process(unseen: Desk) -> None:
    """The anchor is past the news of it."""
    machine = unseen.machine
    unseen.deleted("/new/f")
    unseen.drive.expire_anchors()
    machine.remote.inject(Fault(operation="get_many", before=Unreachable("the link is cut")))
    with pytest.raises(Unreachable):
        await machine.pull()
    machine.crash()
    await machine.begin()
    await machine.pull()
    assert "/new/f" not in machine.tree()


async def test_the_root_is_the_root_whatever_its_id(tmp_path: Path) -> None:
    """A server that lost its index tells it under another one: what was renamed in it was renamed by nobody else."""
    before = {"/f": b"f", "/out": b"out", "/d": None, "/d/in": b"in", "/gone": b"gone"}
    async with at_work(tmp_path, before) as desk:
        machine = desk.machine
        machine.remote.inject(Fault(operation="move", after=Unknown("the answer is lost")))
        await desk.rename("/f", "/tried")
        await machine.push_one(0)
        for path, target in (("/tried", "/g"), ("/out", "/d/o"), ("/d/in", "/i")):
            await desk.rename(path, target)
        await desk.unlink("/gone")
        machine.remote.inject(Fault(operation="put", after=Unknown("the answer is lost")))
        await machine.create("/new", b"new")
        await machine.push_one(len(machine.outbox()) - 1)
        await desk.rename("/new", "/made")
        root_of_another_id(desk.drive)
        await machine.pull()
        assert machine.faults() == []
        wanted = {"/g": b"f", "/d": None, "/d/o": b"out", "/i": b"in", "/made": b"new"}
        assert machine.tree() == wanted
        assert await desk.meet() == wanted


async def test_a_server_that_shows_a_folder_of_the_drive_as_all_of_it_is_not_followed(desk: Desk) -> None:
    """[S2.8] Somebody exports another folder: nothing is taken for deleted, and all goes on when that is put right."""
    machine = desk.machine
    await desk.write("/b/f/gone", b"mine")
    shown, all_of_it = machine.tree(), desk.drive.root_id
    desk.drive.root_id = desk.drive.at("/b").item_id
    engine = machine.engine
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        with trio.fail_after(600):
            while engine.statistics().last_error is None:  # noqa: ASYNC110  # nothing tells of it
                await trio.sleep(1)
        asked_for = machine.remote.requests.count("root")
        await trio.sleep(600)
        assert machine.remote.requests.count("root") - asked_for <= 600 / 10
        assert "a folder of this drive as all of it" in str(engine.statistics().last_error)
        assert machine.tree() == shown
        assert machine.faults() == []
        desk.drive.root_id = all_of_it
        engine.puller.nudge()
        assert await engine.settle()
        nursery.cancel_scope.cancel()
    assert await desk.meet() == {"/a": None, "/b": None, "/b/f": None, "/b/f/gone": b"mine", "/b/f/new": b"2"}


def root_of_another_id(drive: FakeDrive) -> None:
    """The index is lost: what is in it is known again, the root itself is not."""
    old, drive.root_id = drive.root_id, ItemId("root-again")
    drive.names[drive.root_id] = drive.names.pop(old)
    drive.store(structs.replace(drive.items.pop(old), item_id=drive.root_id))
    for item in drive.children(drive.root_id):
        drive.store(structs.replace(item, parent_id=drive.root_id))
    drive.expire_anchors()


async def test_a_feed_that_does_not_go_on_is_not_followed_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.machine.pull()
    changes = desk.machine.remote.changes

    async def stuck(anchor: Anchor) -> ChangePage:
        return dataclasses.replace(await changes(anchor), anchor=anchor, has_more=True)

    monkeypatch.setattr(desk.machine.remote, "changes", stuck)
    with trio.fail_after(5), pytest.raises(ProtocolViolation):
        await desk.machine.pull()
