"""[S6.2] Nothing leaves before it is approved, with what it needs; what is rejected is undone, and kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cache import holding, journal
from cache.model import Aspect, ChangeState, PushMode
from sync.remote import Unknown
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import Node
    from cache.opened import OpenContent
    from tests.model.machine import Machine

pytestmark = pytest.mark.virtual_time

BEFORE = {"/f": b"old", "/g": b"other", "/d": None, "/d/in": b"in", "/e": None}


async def mode(machine: Machine, wanted: PushMode) -> None:
    """As the next mount says."""
    await machine.store.db.write(lambda connection: holding.switch(connection, wanted))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """BEFORE, known here; changes wait for approval."""
    async with at_work(tmp_path, BEFORE) as desk:
        await mode(desk.machine, PushMode.REVIEW)
        yield desk


async def work(desk: Desk) -> None:
    """One change of each kind."""
    await desk.write("/f", b"mine")
    await desk.mkdir("/n")
    await desk.machine.create("/n/file", b"new")
    await desk.rename("/g", "/e/moved")
    await desk.unlink("/d/in")
    await desk.rmdir("/d")


async def nothing_goes(desk: Desk) -> None:
    """Whatever is tried."""
    before, asked = desk.drive.tree(), len(desk.machine.remote.requests)
    assert not await desk.machine.push_all(5.0)
    assert desk.drive.tree() == before
    assert not {"put", "move", "remove", "make_folder"} & set(desk.machine.remote.requests[asked:])


def kept(desk: Desk) -> dict[str, bytes]:
    """What was put aside, by name."""
    return {each.name: each.read_bytes() for each in desk.machine.store.aside.root.rglob("*") if each.is_file()}


async def test_nothing_leaves_before_it_is_approved(desk: Desk) -> None:
    await work(desk)
    await nothing_goes(desk)
    assert {row.state for row in desk.machine.outbox()} == {ChangeState.HELD}
    told = desk.machine.engine.statistics()
    assert (told.queue_pending, told.queue_held, told.push) == (0, len(desk.machine.outbox()), "review")
    await desk.machine.engine.retry()
    await nothing_goes(desk)
    desk.machine.crash()
    await nothing_goes(desk)


async def test_all_is_sent_when_all_is_approved(desk: Desk) -> None:
    await work(desk)
    await desk.machine.engine.steering.approve([])
    assert await desk.meet() == {"/f": b"mine", "/n": None, "/n/file": b"new", "/e": None, "/e/moved": b"other"}
    assert desk.decided().count("approved") == 6


async def test_a_file_takes_its_new_folder_along(desk: Desk) -> None:
    await work(desk)
    done = await desk.machine.engine.steering.approve(["/n/file"])
    assert {each.path for each in done} == {"/n", "/n/file"}
    assert not await desk.machine.push_all(5.0)
    assert desk.drive.tree() == BEFORE | {"/n": None, "/n/file": b"new"}


async def test_a_removed_folder_takes_what_it_held_along(desk: Desk) -> None:
    await work(desk)
    await desk.machine.engine.steering.approve(["/d"])
    assert not await desk.machine.push_all(5.0)
    assert "/d" not in desk.drive.tree()


async def test_what_takes_a_name_takes_along_what_leaves_it(desk: Desk) -> None:
    await desk.rename("/f", "/e/f")
    await desk.rename("/g", "/f")
    done = await desk.machine.engine.steering.approve(["/f"])
    assert {each.path for each in done} == {"/e/f", "/f"}
    assert await desk.machine.push_all(5.0)


async def test_a_folder_that_leaves_what_moves_into_it_goes_along(desk: Desk) -> None:
    desk.there("/d/deep")
    await desk.machine.pull()
    await desk.machine.list_all()
    await desk.rename("/d/deep", "/deep")
    await desk.rename("/d", "/deep/d")
    done = await desk.machine.engine.steering.approve(["/deep/d"])
    assert {each.path for each in done} == {"/deep", "/deep/d"}
    assert await desk.machine.push_all(5.0)


async def test_what_is_not_needed_is_not_taken_along(desk: Desk) -> None:
    await desk.rename("/e", "/d/e")
    await desk.rename("/f", "/d/e/f")
    done = await desk.machine.engine.steering.approve(["/f"])
    assert {each.path for each in done} == {"/d/e/f"}
    assert not await desk.machine.push_all(5.0)
    assert desk.drive.tree()["/e/f"] == b"old"


async def test_what_is_written_after_the_approval_waits_again(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    await desk.machine.engine.steering.approve(["/f"])
    await desk.write("/f", b"mine, later")
    await nothing_goes(desk)


@pytest.mark.parametrize("clash", [False, True])
async def test_what_is_written_while_what_was_approved_is_about_to_be_sent_waits_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, clash: bool
) -> None:
    await desk.write("/f", b"mine")
    if clash:
        desk.edited("/f", b"theirs")
        await desk.machine.pull()
    await desk.machine.engine.steering.approve(["/f"])
    open_content = desk.machine.store.open_content

    async def late(node: Node) -> OpenContent:
        monkeypatch.setattr(desk.machine.store, "open_content", open_content)
        await desk.write("/f", b"not approved")
        return await open_content(node)

    monkeypatch.setattr(desk.machine.store, "open_content", late)
    before = desk.drive.tree()
    assert not await desk.machine.push_all(5.0)
    assert (desk.drive.tree(), desk.machine.tree()["/f"]) == (before, b"not approved")
    assert [row.state for row in desk.machine.outbox()] == [ChangeState.HELD]


async def test_closing_a_file_is_no_further_change(desk: Desk) -> None:
    fh = (await desk.do.open(desk.machine.at("/f").ino, os.O_RDWR | os.O_TRUNC)).fh
    await desk.do.write(fh, 0, b"mine")
    await desk.machine.engine.steering.approve(["/f"])
    await desk.do.release(fh)
    assert await desk.machine.push_all(5.0)
    assert desk.drive.tree()["/f"] == b"mine"


async def test_all_is_as_before_when_all_is_rejected(desk: Desk) -> None:
    await work(desk)
    await desk.do.setattr(desk.machine.at("/e").ino, AttributeChange(mode=0o700), None)
    done = await desk.machine.engine.steering.reject([])
    assert desk.machine.outbox() == []
    assert desk.machine.tree() == BEFORE
    assert kept(desk) == {"f": b"mine", "file": b"new"}
    assert {each.kept.endswith("/n/file") for each in done if each.path == "/n/file"} == {True}
    assert await desk.meet() == BEFORE
    assert desk.decided().count("rejected") == 7


async def test_what_a_person_decided_is_told_as_theirs_and_in_their_words(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    await desk.rename("/g", "/e/moved")
    await desk.machine.engine.steering.approve(["/f"])
    await desk.machine.engine.steering.reject([])
    told = [
        (entry.who, entry.what, entry.path, entry.detail)
        for entry in desk.machine.engine.steering.activity(after_seq=0, limit=100, path="")
        if entry.what in {"approved", "rejected"}
    ]
    assert told == [("person", "approved", "/f", "content"), ("person", "rejected", "/e/moved", "move")]


async def test_a_move_that_waits_tells_where_it_comes_from(desk: Desk) -> None:
    await desk.rename("/g", "/e/moved")
    await desk.write("/f", b"mine")
    told = {each.path: each.before for each in desk.machine.engine.queue()}
    assert told == {"/e/moved": "/g", "/f": None}


async def test_a_rejected_swap_of_names_is_swapped_back(desk: Desk) -> None:
    await desk.rename("/f", "/t")
    await desk.rename("/g", "/f")
    await desk.rename("/t", "/g")
    await desk.machine.engine.steering.reject([])
    assert desk.machine.tree() == BEFORE
    assert desk.copies() == {}


async def test_what_goes_back_takes_its_removed_folder_along(desk: Desk) -> None:
    await desk.rename("/d/in", "/e/in")
    await desk.rmdir("/d")
    done = await desk.machine.engine.steering.reject(["/e/in"])
    assert {each.path for each in done} == {"/d", "/e/in"}
    assert desk.machine.tree() == BEFORE
    assert await desk.meet() == BEFORE


async def test_only_what_is_named_is_rejected(desk: Desk) -> None:
    await work(desk)
    await desk.machine.engine.steering.reject(["/n"])
    assert "/n" not in desk.machine.tree()
    assert {row.aspect for row in desk.machine.outbox()} == {Aspect.CONTENT, Aspect.PLACE, Aspect.REMOVE}


async def test_a_saved_copy_renamed_over_an_item_is_rejected_to_the_item(desk: Desk) -> None:
    item_id = desk.machine.at("/f").item_id
    await desk.machine.create("/tmp", b"saved")
    await desk.rename("/tmp", "/f")
    await desk.machine.engine.steering.reject(["/f"])
    assert (desk.machine.tree(), desk.machine.at("/f").item_id) == (BEFORE, item_id)
    assert kept(desk) == {"f": b"saved"}


async def test_a_switch_of_mode_sends_nothing(desk: Desk) -> None:
    """[S6.3] What was held stays held under the other mode, whatever the server does meanwhile."""
    await work(desk)
    await mode(desk.machine, PushMode.AUTO)
    await nothing_goes(desk)
    desk.deleted("/f")
    desk.edited("/d/in", b"theirs")
    await desk.machine.pull()
    await nothing_goes(desk)
    await desk.machine.create("/auto", b"sent")
    assert not await desk.machine.push_all(5.0)
    assert desk.drive.tree()["/auto"] == b"sent"


async def test_a_switch_to_review_holds_what_was_not_sent(desk: Desk) -> None:
    await mode(desk.machine, PushMode.AUTO)
    await desk.write("/f", b"mine")
    await mode(desk.machine, PushMode.REVIEW)
    await nothing_goes(desk)
    await desk.machine.engine.steering.approve(["/f"])
    await mode(desk.machine, PushMode.REVIEW)
    assert (await desk.meet())["/f"] == b"mine"


async def test_an_approved_conflict_goes_on_as_a_copy(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    desk.edited("/f", b"theirs")
    await desk.machine.engine.steering.approve(["/f"])
    assert (await desk.meet())["/f"] == b"theirs"
    assert list(desk.copies().values()) == [b"mine"]


async def test_a_rejected_edit_shows_what_the_server_has_now(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    desk.edited("/f", b"theirs")
    await desk.machine.pull()
    await desk.machine.engine.steering.reject(["/f"])
    assert (await desk.meet())["/f"] == b"theirs"
    assert kept(desk) == {"f": b"mine"}


async def test_a_parked_change_can_be_rejected(desk: Desk) -> None:
    await mode(desk.machine, PushMode.AUTO)
    await desk.write("/f", b"mine")
    (row,) = desk.machine.outbox()
    await desk.machine.store.db.write(lambda connection: journal.park(connection, row, "refused"))
    await desk.machine.engine.steering.reject(["/f"])
    assert await desk.meet() == BEFORE


async def test_an_approved_swap_arrives_whole(desk: Desk) -> None:
    """It goes by way of a third name: nothing may stop there."""
    await desk.rename("/f", "/t")
    await desk.rename("/g", "/f")
    await desk.rename("/t", "/g")
    await desk.machine.engine.steering.approve([])
    assert await desk.machine.push_all(5.0)
    assert desk.drive.tree() == BEFORE | {"/f": b"other", "/g": b"old"}


async def test_an_approved_move_that_steps_aside_goes_on(desk: Desk) -> None:
    await desk.rename("/g", "/e/x")
    desk.there("/e/x", b"theirs")
    await desk.machine.engine.steering.approve([])
    assert (await desk.meet())["/e/x"] == b"theirs"
    assert list(desk.copies().values()) == [b"other"]


async def test_an_approved_removal_does_not_wait_for_what_comes_there_later(desk: Desk) -> None:
    await desk.unlink("/g")
    await desk.machine.engine.steering.approve(["/g"])
    await desk.rename("/f", "/g")
    assert not await desk.machine.push_all(5.0)
    after = {path: data for path, data in BEFORE.items() if path != "/g"}
    assert desk.drive.tree() == after
    await desk.machine.engine.steering.approve([])
    assert (await desk.meet())["/g"] == b"old"


async def test_what_is_approved_goes_all_the_way_by_a_passing_name(desk: Desk) -> None:
    await desk.rename("/g", "/t")
    await desk.mkdir("/g")
    await desk.rename("/t", "/g/g")
    await desk.machine.engine.steering.approve([])
    found = await desk.meet()
    assert (found["/g"], found["/g/g"]) == (None, b"other")


async def test_what_was_rejected_is_kept_as_it_was_while_a_program_writes_on(desk: Desk) -> None:
    fh = (await desk.do.open(desk.machine.at("/f").ino, os.O_RDWR | os.O_TRUNC)).fh
    await desk.do.write(fh, 0, b"rejected")
    await desk.machine.engine.steering.reject([])
    await desk.do.write(fh, 0, b"WRITTEN ON")
    await desk.do.release(fh)
    assert kept(desk) == {"f": b"rejected", "f~2": b"WRITTEN ON"}


async def test_a_file_and_a_folder_of_one_name_are_put_aside_in_one_second(desk: Desk) -> None:
    aside = desk.machine.store.aside
    places = [aside.keep_link("to", path, 5) for path in ("/n", "/n/x", "/n/x/y", "/n", "/m/x", "/m")]
    assert len(set(places)) == len(places)
    assert all(each.is_symlink() for each in places)


async def test_approving_a_move_takes_along_what_may_hold_its_name(desk: Desk) -> None:
    await mode(desk.machine, PushMode.AUTO)
    await desk.mkdir("/n")
    desk.machine.remote.inject(Fault(after=Unknown()))
    await desk.machine.push_one(0)
    await mode(desk.machine, PushMode.REVIEW)
    await desk.rename("/n", "/m")
    await desk.rename("/f", "/n")
    await desk.machine.engine.steering.approve(["/n"])
    assert (await desk.meet())["/n"] == b"old"


async def test_what_was_approved_is_rejected_with_the_new_folder_that_it_is_in(desk: Desk) -> None:
    await desk.machine.create("/new", b"new")
    await desk.rename("/g", "/moved")
    await desk.machine.engine.steering.approve([])
    await desk.mkdir("/n")
    await desk.rename("/new", "/n/new")
    await desk.rename("/moved", "/n/moved")
    told = await desk.machine.engine.steering.reject(["/n"])
    assert [(each.path, each.aspect) for each in told] == [
        ("/n/new", Aspect.CREATE), ("/n/moved", Aspect.PLACE), ("/n", Aspect.CREATE),
    ]  # fmt: skip
    assert kept(desk) == {"new": b"new"}
    assert desk.machine.outbox() == []
    assert await desk.meet() == BEFORE
