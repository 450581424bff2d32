"""The server was put back to an older state: what it lost, and is held here whole, is put aside; what others changed
is news like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from cache import edits, tree
from sync.remote import Unreachable
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work
from tests.model.ledger import Ledger
from tests.model.server_side import ServerSide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

START = {"/a": None, "/a/x": b"x", "/a/y": b"y", "/z": b"z"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """START, all of it read here."""
    async with at_work(tmp_path, START) as desk:
        yield desk


def kept(desk: Desk) -> dict[str, bytes]:
    """What was put aside, by its name."""
    return {each.name: each.read_bytes() for each in desk.machine.store.aside.root.rglob("*") if each.is_file()}


def administrator(desk: Desk) -> ServerSide:
    """Has a backup of the drive as it is now."""
    return ServerSide(desk.drive, Ledger())


async def told(desk: Desk, path: str, data: bytes, *, read: bool = True) -> None:
    """A file is edited elsewhere, and that is known here."""
    desk.edited(path, data)
    await desk.machine.pull()
    if read:
        assert await desk.machine.read(desk.machine.at(path).ino) == data


async def test_the_version_that_the_server_lost_is_put_aside(desk: Desk) -> None:
    """What was sent from here, and what others sent, if all of it is here."""
    backup = administrator(desk)
    await desk.write("/a/x", b"newer")
    assert await desk.meet()
    await told(desk, "/z", b"theirs")
    backup.restore()
    await desk.machine.pull()
    assert desk.machine.tree() == desk.drive.tree() == START
    assert await desk.machine.read(desk.machine.at("/a/x").ino) == b"x"
    assert kept(desk) == {"x": b"newer", "z": b"theirs"}
    assert desk.decided().count("set-aside") == 2


async def test_what_others_changed_is_no_loss(desk: Desk) -> None:
    """The feed does not reach back: that alone says nothing of what is held here."""
    desk.edited("/a/x", b"theirs")
    desk.drive.expire_anchors()
    await desk.machine.pull()
    assert desk.machine.tree()["/a/x"] == b"theirs"
    assert kept(desk) == {}
    assert "set-aside" not in desk.decided()


async def test_what_is_changed_after_the_comparison_is_news(desk: Desk) -> None:
    backup = administrator(desk)
    await told(desk, "/z", b"lost")
    backup.restore()
    await desk.machine.pull()
    await told(desk, "/a/x", b"edited")
    desk.deleted("/a/y")
    await desk.machine.pull()
    assert kept(desk) == {"z": b"lost"}


async def test_bytes_that_the_server_still_has_are_not_put_aside(desk: Desk) -> None:
    """Under another version, as an index that was made anew tells them."""
    item = desk.drive.at("/a/x")
    assert item.content_version is not None
    desk.drive.bodies[item.item_id, "again"] = b"x"
    desk.drive.store(structs.replace(item, content_version="again"))
    desk.drive.begin_epoch()
    await desk.machine.pull()
    assert kept(desk) == {}


async def test_what_is_not_here_whole_cannot_be_kept(desk: Desk) -> None:
    backup = administrator(desk)
    await told(desk, "/z", b"lost", read=False)
    backup.restore()
    await desk.machine.pull()
    assert kept(desk) == {}
    assert desk.machine.tree() == START


async def test_what_the_server_says_is_deleted_once_more_is_put_aside(desk: Desk) -> None:
    """It was in the trash when the backup was made, and was brought back and read since."""
    item = desk.drive.at("/z")
    desk.deleted("/z")
    backup, buried = administrator(desk), desk.drive.tombstones[item.item_id]
    del desk.drive.tombstones[item.item_id]
    desk.drive.store(item)
    await desk.machine.pull()
    backup.restore()
    desk.drive.tombstones[item.item_id] = buried
    await desk.machine.pull()
    assert kept(desk) == {"z": b"z"}
    assert "/z" not in desk.machine.tree()


@pytest.mark.parametrize("operation", ["root", "children", "get_many"])
async def test_a_comparison_that_breaks_off_forgets_nothing(desk: Desk, operation: str) -> None:
    """Neither a cut wire nor a crash in the middle of it."""
    machine = desk.machine
    backup = administrator(desk)
    for path in ("/a/x", "/a/y", "/z"):
        await told(desk, path, b"lost" + path.encode())
    ino = machine.at("/a").ino
    await machine.store.db.write(lambda connection: tree.set_listed(connection, ino, listed=False))
    backup.restore()
    machine.remote.inject(Fault(operation=operation, before=Unreachable("the link is cut")))
    with pytest.raises(Unreachable):
        await machine.pull()
    await machine.store.save()
    machine.crash()
    await machine.begin()
    await machine.pull()
    assert kept(desk) == {"x": b"lost/a/x", "y": b"lost/a/y", "z": b"lost/z"}


@pytest.mark.parametrize("change", ["rename", "chmod"])
async def test_an_answer_that_comes_before_the_feed_is_believed_no_sooner(desk: Desk, change: str) -> None:
    """What is sent for a file meets the older version before anybody asked what else changed."""
    machine, backup = desk.machine, administrator(desk)
    await told(desk, "/z", b"lost")
    if change == "rename":
        await desk.rename("/z", "/a/z")
    else:
        ino, clock = machine.at("/z").ino, machine.store.clock(0)
        await machine.store.db.write(lambda connection: edits.set_attributes(connection, ino, clock, mode=0o600))
    backup.restore()
    assert await machine.push_all()
    assert await machine.read(machine.at("/a/z" if change == "rename" else "/z").ino) == b"z"
    assert kept(desk) == {"z": b"lost"}
    assert await desk.meet()
    assert kept(desk) == {"z": b"lost"}


async def test_nor_is_one_that_says_that_it_is_gone(desk: Desk) -> None:
    """It was in the trash when the backup was made, and was brought back since."""
    item = desk.drive.at("/z")
    desk.deleted("/z")
    backup, buried = administrator(desk), desk.drive.tombstones[item.item_id]
    del desk.drive.tombstones[item.item_id]
    desk.drive.store(item)
    await desk.rename("/z", "/a/z")
    backup.restore()
    desk.drive.tombstones[item.item_id] = buried
    assert await desk.machine.push_all()
    assert kept(desk) == {"z": b"z"}
