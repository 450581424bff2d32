"""The conflict table, row by row, on a real catalog: what the remote did since, what is here, what is left of both."""

from __future__ import annotations

import os
from dataclasses import replace as with_
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache.model import Aspect, Version
from sync.capabilities import EVERYTHING
from sync.remote import Conflict, Unknown, Unreachable, VersionGone
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def desk(tmp_path: Path, *, push_first: bool) -> AsyncIterator[Desk]:
    """/f "old", /d/, /e/: known here."""
    async with at_work(tmp_path, {"/f": b"old", "/d": None, "/e": None}, push_first=push_first) as desk:
        yield desk


async def test_content_against_nothing(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    assert (await desk.meet())["/f"] == b"mine"
    assert desk.machine.remote.requests.count("put") == 1
    assert desk.copies() == {}


async def test_content_against_other_content(desk: Desk) -> None:
    item, ino = desk.drive.at("/f").item_id, desk.machine.at("/f").ino
    await desk.write("/f", b"mine")
    desk.edited("/f", b"theirs")
    tree = await desk.meet()
    assert tree["/f"] == b"theirs"
    assert list(desk.copies().values()) == [b"mine"]
    assert (desk.drive.at("/f").item_id, desk.machine.at("/f").ino) == (item, ino)
    assert "conflict-copy" in desk.decided()


async def test_content_against_the_same_content(desk: Desk) -> None:
    await desk.write("/f", b"same")
    desk.edited("/f", b"same")
    assert (await desk.meet())["/f"] == b"same"
    assert desk.copies() == {}


async def test_content_against_a_rename(desk: Desk) -> None:
    item = desk.drive.at("/f").item_id
    await desk.write("/f", b"mine")
    desk.moved("/f", "/d/g")
    tree = await desk.meet()
    assert tree["/d/g"] == b"mine"
    assert "/f" not in tree
    assert desk.drive.at("/d/g").item_id == item


async def test_content_against_a_deletion(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    desk.deleted("/f")
    assert (await desk.meet())["/f"] == b"mine"
    assert "edit-wins" in desk.decided()


async def test_a_deletion_against_content(desk: Desk) -> None:
    await desk.unlink("/f")
    desk.edited("/f", b"theirs")
    assert (await desk.meet())["/f"] == b"theirs"


async def test_a_deletion_against_a_deletion(desk: Desk) -> None:
    await desk.unlink("/f")
    desk.deleted("/f")
    assert "/f" not in await desk.meet()


async def test_a_move_against_another_move(desk: Desk) -> None:
    await desk.rename("/f", "/d/f")
    desk.moved("/f", "/e/f")
    assert {path: what for path, what in (await desk.meet()).items() if what} == {"/e/f": b"old"}
    assert "server-place-wins" in desk.decided()


async def test_a_move_to_a_name_that_was_taken(desk: Desk) -> None:
    await desk.rename("/f", "/d/g")
    desk.there("/d/g", b"theirs")
    assert (await desk.meet())["/d/g"] == b"theirs"
    assert list(desk.copies().values()) == [b"old"]


async def test_a_move_into_a_folder_that_was_deleted(desk: Desk) -> None:
    await desk.rename("/f", "/d/f")
    desk.deleted("/d")
    assert await desk.meet() == {"/f": b"old", "/e": None}
    assert "server-place-wins" in desk.decided()


async def test_a_move_out_of_a_folder_into_another_that_were_both_deleted(desk: Desk) -> None:
    desk.there("/e/g", b"kept")
    await desk.machine.pull()
    await desk.rename("/e/g", "/d/g")
    desk.deleted("/d")
    desk.moved("/e/g", "/g")  # or the server would have taken it along
    desk.deleted("/e")
    assert {path: what for path, what in (await desk.meet()).items() if what} == {"/f": b"old", "/g": b"kept"}


@pytest.mark.parametrize("order", [("/e/g", "/e", "/d"), ("/d", "/e/g", "/e")])
async def test_an_edit_that_moved_from_a_deleted_folder_into_another(desk: Desk, order: tuple[str, ...]) -> None:
    """[S4.16] Both are gone: the edit wins, and has one of them back."""
    desk.there("/e/g", b"old")
    await desk.meet()
    await desk.rename("/e/g", "/d/g")
    await desk.write("/d/g", b"mine")
    for path in order:
        desk.deleted(path)
    tree = await desk.meet()
    assert tree in ({"/f": b"old", "/d": None, "/d/g": b"mine"}, {"/f": b"old", "/e": None, "/e/g": b"mine"})


async def test_a_move_from_a_deleted_folder_into_another(desk: Desk) -> None:
    """A move is no edit: what was deleted stays deleted."""
    desk.there("/e/g", b"old")
    await desk.meet()
    await desk.rename("/e/g", "/d/g")
    for path in ("/d", "/e/g", "/e"):
        desk.deleted(path)
    assert await desk.meet() == {"/f": b"old"}


async def test_folders_that_move_into_each_other(desk: Desk) -> None:
    await desk.rename("/d", "/e/d")
    desk.moved("/e", "/d/e")
    tree = await desk.meet()
    assert set(tree) == {"/f", "/d", "/d/e"}


async def test_the_same_name_with_other_bytes(desk: Desk) -> None:
    await desk.machine.create("/n", b"mine")
    desk.there("/n", b"theirs")
    assert (await desk.meet())["/n"] == b"theirs"
    assert list(desk.copies().values()) == [b"mine"]


async def test_the_same_name_with_the_same_bytes(desk: Desk) -> None:
    await desk.machine.create("/n", b"same")
    desk.there("/n", b"same")
    assert (await desk.meet())["/n"] == b"same"
    assert desk.copies() == {}


@pytest.mark.parametrize("target", ["f", "d"])
async def test_the_same_name_for_two_symlinks(desk: Desk, target: str) -> None:
    """Its target is all that a symlink has: the same one, or a conflict copy."""
    await desk.do.symlink(*desk.machine.place("/n"), target)
    desk.there("/n", "f")
    assert (await desk.meet())["/n"] == "f"
    assert list(desk.copies().values()) == ([] if target == "f" else ["d"])


async def test_the_same_bytes_where_no_digests_are_told(desk: Desk) -> None:
    desk.machine.remote.capabilities = with_(EVERYTHING, digests=False)
    await desk.write("/f", b"same")
    desk.edited("/f", b"same")
    await desk.machine.create("/n", b"same")
    desk.there("/n", b"same")
    await desk.machine.create("/empty", b"")
    desk.there("/empty", b"")
    tree = await desk.meet()
    assert {path: what for path, what in tree.items() if what is not None} == {
        "/f": b"same",
        "/n": b"same",
        "/empty": b"",
    }


async def test_other_bytes_of_the_same_size_where_no_digests_are_told(desk: Desk) -> None:
    desk.machine.remote.capabilities = with_(EVERYTHING, digests=False)
    await desk.write("/f", b"mine!!")
    desk.edited("/f", b"theirs")
    assert (await desk.meet())["/f"] == b"theirs"
    assert list(desk.copies().values()) == [b"mine!!"]


async def test_bytes_that_change_while_they_are_compared(desk: Desk) -> None:
    desk.machine.remote.capabilities = with_(EVERYTHING, digests=False)
    await desk.write("/f", b"same")
    desk.edited("/f", b"othe")
    newer = desk.edited("/f", b"same")
    desk.machine.remote.inject(Fault(operation="read", before=VersionGone(current=newer)))
    assert (await desk.meet())["/f"] == b"same"
    assert desk.machine.remote.requests.count("read") > 1
    assert desk.copies() == {}


async def test_the_same_new_folder(desk: Desk) -> None:
    await desk.mkdir("/n")
    await desk.machine.create("/n/mine", b"1")
    item = desk.there("/n")
    desk.there("/n/theirs", b"2")
    desk.drive.set_attributes(item.item_id, desk.drive.at("/n").metadata_version, mode=0o700, mtime_ns=5)
    tree = await desk.meet()
    assert desk.machine.at("/n").mode == 0o700
    assert (tree["/n/mine"], tree["/n/theirs"]) == (b"1", b"2")
    assert desk.copies() == {}


async def test_rmdir_against_a_new_child(desk: Desk) -> None:
    await desk.rmdir("/d")
    desk.there("/d/unseen", b"theirs")
    assert (await desk.meet())["/d/unseen"] == b"theirs"


async def test_mode_against_content(desk: Desk) -> None:
    await desk.do.setattr(desk.machine.at("/f").ino, AttributeChange(mode=0o600), None)
    desk.edited("/f", b"theirs")
    assert (await desk.meet())["/f"] == b"theirs"
    assert desk.drive.at("/f").mode == 0o600


async def test_mode_against_content_keeps_nothing_back(desk: Desk) -> None:
    """Each side shows what it knows of the other at once; nothing needs to be sent for it."""
    await desk.do.setattr(desk.machine.at("/f").ino, AttributeChange(mode=0o600), None)
    desk.edited("/f", b"theirs")
    await desk.machine.pull()
    assert await desk.machine.read(desk.machine.at("/f").ino) == b"theirs"
    assert desk.machine.at("/f").mode == 0o600
    assert [row.aspect for row in desk.machine.outbox()] == [Aspect.ATTRIBUTES]


async def test_a_rename_against_a_mode(desk: Desk) -> None:
    """What refuses the rename is the item itself: no other has its name."""
    desk.drive.set_attributes(desk.drive.at("/f").item_id, desk.drive.at("/f").metadata_version, mode=0o600, mtime_ns=5)
    await desk.rename("/f", "/F")
    assert await desk.meet() == {"/F": b"old", "/d": None, "/e": None}
    assert (desk.machine.at("/F").mode, desk.drive.at("/F").mode) == (0o600, 0o600)


async def test_an_edit_in_a_folder_that_was_deleted_and_whose_name_is_taken(desk: Desk) -> None:
    await desk.machine.create("/d/new", b"mine")
    desk.deleted("/d")
    desk.there("/d", b"theirs")
    tree = await desk.meet()
    assert tree["/d"] == b"theirs"
    assert b"mine" in tree.values()


async def test_an_item_that_a_local_name_hid_comes_out_when_that_name_is_free(desk: Desk) -> None:
    await desk.rename("/d", "/n")
    desk.deleted("/d")
    desk.there("/n", b"theirs")
    assert (await desk.meet())["/n"] == b"theirs"


async def test_a_saved_copy_renamed_over_an_item_becomes_its_next_version(desk: Desk) -> None:
    item = desk.drive.at("/f").item_id
    await desk.machine.create("/tmp", b"saved")
    await desk.rename("/tmp", "/f")
    tree = await desk.meet()
    assert (tree["/f"], desk.drive.at("/f").item_id) == (b"saved", item)
    assert "/tmp" not in tree


async def test_a_copy_saved_over_an_edit_of_what_others_edited_too_is_no_overwrite(desk: Desk) -> None:
    """It is based on what the edit was based on, not on what the remote told since."""
    await desk.write("/f", b"mine")
    desk.edited("/f", b"theirs")
    await desk.machine.pull()
    await desk.machine.create("/tmp", b"saved")
    await desk.rename("/tmp", "/f")
    tree = await desk.meet()
    assert tree["/f"] == b"theirs"
    assert list(desk.copies().values()) == [b"saved"]


@pytest.mark.parametrize("answer", ["on its way", "lost"])
async def test_a_copy_whose_creation_is_under_way_when_it_is_renamed_over_an_item(desk: Desk, answer: str) -> None:
    """What that creation makes is not left behind, and replaces the item in one step."""
    gate = trio.Event()
    lost = answer == "lost"
    fault = Fault(operation="put", after=Unknown() if lost else None, answer_gate=None if lost else gate)
    desk.machine.remote.inject(fault)
    await desk.machine.create("/tmp", b"saved")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.push_one, 0)
        await fault.applied.wait()
        if lost:
            await trio.testing.wait_all_tasks_blocked()
        await desk.rename("/tmp", "/f")
        gate.set()
    assert await desk.meet() == {"/f": b"saved", "/d": None, "/e": None}
    assert desk.copies() == {}


async def test_a_lost_answer_has_one_effect(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    await desk.machine.create("/n", b"new")
    for _ in range(2):
        desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    tree = await desk.meet()
    assert (tree["/f"], tree["/n"], desk.copies()) == (b"mine", b"new", {})


async def test_a_deletion_after_an_upload_whose_answer_was_lost(desk: Desk) -> None:
    """What the remote holds by then is our own, and no edit that would win."""
    await desk.write("/f", b"mine")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    assert desk.drive.tree()["/f"] == b"mine"
    await desk.unlink("/f")
    assert await desk.meet() == {"/d": None, "/e": None}


async def test_a_refusal_is_not_repeated_for_ever(desk: Desk) -> None:
    """The remote answers a key for ever as it did first: after a refusal the request must bear another."""
    await desk.do.setattr(desk.machine.at("/f").ino, AttributeChange(mode=0o600), None)
    desk.machine.remote.inject(Fault(operation="set_attributes", before=Conflict(code="precondition_failed")))
    (row,) = desk.machine.outbox()
    await desk.machine.push_one(0)
    (again,) = desk.machine.outbox()
    assert (again.aspect, again.sent_generation) == (Aspect.ATTRIBUTES, -1)
    assert again.key != row.key
    await desk.meet()
    assert desk.drive.at("/f").mode == 0o600


async def test_a_key_is_never_used_for_another_request(desk: Desk) -> None:
    """Another base is another request, whatever the change here is."""
    await desk.rmdir("/d")
    item = desk.moved("/d", "/g")
    await desk.meet()
    assert item.item_id not in desk.drive.items
    assert Version("") not in {each.metadata_version for each in desk.drive.items.values()}


async def test_a_failure_while_asking_about_a_refusal_ends_nothing(desk: Desk) -> None:
    """The refusal is told, then the wire is cut: the change waits, the uploader goes on."""
    await desk.write("/f", b"mine")
    desk.edited("/f", b"theirs")
    desk.machine.remote.inject(Fault(operation="get_many", before=Unreachable()))
    await desk.machine.push_one(0)
    assert [row.aspect for row in desk.machine.outbox()] == [Aspect.CONTENT]
    assert (await desk.meet())["/f"] == b"theirs"
    assert list(desk.copies().values()) == [b"mine"]


async def test_a_creation_in_a_deleted_folder_does_not_wait_for_the_next_pull(desk: Desk) -> None:
    desk.there("/d/old", b"old")
    await desk.machine.pull()
    await desk.machine.create("/d/new", b"mine")
    desk.deleted("/d/old")
    desk.deleted("/d")
    desk.drive.expire_anchors()
    assert await desk.machine.push_all(20.0), desk.machine.outbox()
    assert desk.drive.tree()["/d/new"] == b"mine"


async def test_a_folder_takes_the_name_of_a_removed_file(desk: Desk) -> None:
    """No rename puts a folder over a file: the file goes first."""
    await desk.unlink("/f")
    await desk.rename("/d", "/f")
    tree = await desk.meet()
    assert tree["/f"] is None
    assert "/d" not in tree


async def test_a_creation_with_a_lost_answer_that_was_renamed_since_is_one_item(desk: Desk) -> None:
    await desk.machine.create("/n", b"new")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.rename("/n", "/d/renamed")
    tree = await desk.meet()
    assert tree["/d/renamed"] == b"new"
    assert "/n" not in tree


async def test_a_creation_with_a_lost_answer_that_was_written_on_since_is_one_item(desk: Desk) -> None:
    await desk.machine.create("/n", b"new")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.write("/n", b"newer")
    tree = await desk.meet()
    assert (tree["/n"], desk.copies()) == (b"newer", {})


async def test_a_folder_with_a_lost_answer_that_was_renamed_since_is_one_folder(desk: Desk) -> None:
    await desk.mkdir("/m")
    desk.machine.remote.inject(Fault(operation="make_folder", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.rename("/m", "/o")
    await desk.machine.create("/o/in", b"in")
    tree = await desk.meet()
    assert tree["/o/in"] == b"in"
    assert "/m" not in tree


async def test_a_creation_with_a_lost_answer_that_was_deleted_since_leaves_nothing(desk: Desk) -> None:
    await desk.machine.create("/n", b"new")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.rename("/n", "/o")
    await desk.unlink("/o")
    tree = await desk.meet()
    assert not {"/n", "/o"} & tree.keys()


async def test_two_handles_of_two_versions_that_are_both_written_keep_both_writes(desk: Desk) -> None:
    """The one that opened the older version goes on as a conflict copy."""
    do, ino = desk.do, desk.machine.at("/f").ino
    async with desk.machine.running():
        older = (await do.open(ino, os.O_RDWR)).fh
        await do.read(older, 0, 100)
        desk.edited("/f", b"theirs, longer")
        await desk.machine.pull()
        newer = (await do.open(ino, os.O_RDWR)).fh
        await do.write(newer, 0, b"NEWER")
        await do.write(older, 0, b"OLDER")
        await do.release(newer)
        await do.release(older)
    tree = await desk.meet()
    assert tree["/f"] == b"NEWERs, longer"
    assert [bytes(each or b"")[:5] for each in desk.copies().values() if isinstance(each, bytes)] == [b"OLDER"]


async def test_a_move_with_a_lost_answer_that_was_moved_on_since_is_no_foreign_move(desk: Desk) -> None:
    """The feed's echo of our own first move must not undo the second one."""
    desk.there("/g", b"other")
    await desk.meet()
    await desk.rename("/f", "/d/on the way")
    desk.machine.remote.inject(Fault(operation="move", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.rename("/d/on the way", "/g")
    await desk.machine.pull()
    tree = await desk.meet()
    assert tree["/g"] == b"old"
    assert not {"/f", "/d/on the way"} & tree.keys()
    assert "server-place-wins" not in desk.decided()


async def test_a_time_that_was_set_after_closing_is_the_time_that_is_told_and_sent(desk: Desk) -> None:
    """How rsync and cp -p write: close, then set the time; the upload may have the file open meanwhile."""
    await desk.machine.create("/n", b"new")
    ino = desk.machine.at("/n").ino
    await desk.do.setattr(ino, AttributeChange(mtime_ns=1_000_000_007), None)
    opened = await desk.machine.store.open_content(desk.machine.at("/n"))
    assert (await desk.do.getattr(ino)).mtime_ns == 1_000_000_007
    desk.machine.store.opened.release(opened)
    await desk.meet()
    assert desk.drive.at("/n").mtime_ns == 1_000_000_007
    assert desk.machine.remote.requests.count("set_attributes") == 0


@pytest.mark.parametrize("folder_too", [False, True])
async def test_a_write_through_a_handle_of_a_file_deleted_meanwhile_brings_it_back(
    desk: Desk, *, folder_too: bool
) -> None:
    desk.there("/d/open", b"old bytes")
    await desk.meet()
    fh = (await desk.do.open(desk.machine.at("/d/open").ino, os.O_RDWR)).fh
    await desk.do.read(fh, 0, 100)
    desk.deleted("/d/open")
    if folder_too:
        desk.deleted("/d")
    await desk.machine.pull()
    await desk.do.write(fh, 0, b"NEW")
    await desk.do.release(fh)
    tree = await desk.meet()
    assert tree["/open" if folder_too else "/d/open"] == b"NEW bytes"


async def test_a_file_that_was_unlinked_here_stays_unlinked_when_it_is_written(desk: Desk) -> None:
    fh = (await desk.do.open(desk.machine.at("/f").ino, os.O_RDWR)).fh
    await desk.do.read(fh, 0, 100)
    await desk.unlink("/f")
    await desk.do.write(fh, 0, b"NEW")
    await desk.do.release(fh)
    assert "/f" not in await desk.meet()
