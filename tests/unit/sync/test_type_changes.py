"""[S4.17] One name, whose kind changes on one side while the other side changes what it stands for: nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace as with_

from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import Item

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def desk(tmp_path: Path, *, push_first: bool) -> AsyncIterator[Desk]:
    """/f "old", /d/, /d/in "in", /l → f: known here."""
    async with at_work(tmp_path, {"/f": b"old", "/d": None, "/d/in": b"in", "/l": "f"}, push_first=push_first) as desk:
        yield desk


async def test_a_file_that_became_a_folder_there_was_edited_here(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    desk.deleted("/f")
    desk.there("/f")
    desk.there("/f/in", b"theirs")
    tree = await desk.meet()
    assert (tree["/f"], tree["/f/in"]) == (None, b"theirs")
    assert b"mine" in tree.values()


async def test_a_file_that_became_a_folder_here_was_edited_there(desk: Desk) -> None:
    await desk.unlink("/f")
    await desk.mkdir("/f")
    await desk.machine.create("/f/in", b"mine")
    desk.edited("/f", b"theirs")
    tree = await desk.meet()
    assert tree["/f"] == b"theirs"
    assert b"mine" in tree.values()


async def test_a_folder_that_became_a_file_there_got_a_child_here(desk: Desk) -> None:
    await desk.machine.create("/d/new", b"mine")
    desk.deleted("/d/in")
    desk.deleted("/d")
    desk.there("/d", b"theirs")
    tree = await desk.meet()
    assert tree["/d"] == b"theirs"
    assert b"mine" in tree.values()


async def test_a_folder_that_became_a_file_here_got_a_child_there(desk: Desk) -> None:
    await desk.unlink("/d/in")
    await desk.rmdir("/d")
    await desk.machine.create("/d", b"mine")
    desk.there("/d/unseen", b"theirs")
    tree = await desk.meet()
    assert {b"mine", b"theirs"} <= set(tree.values())


async def test_a_file_that_became_a_symlink_there_was_edited_here(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    desk.deleted("/f")
    desk.there("/f", "d")
    tree = await desk.meet()
    assert tree["/f"] == "d"
    assert b"mine" in tree.values()


async def test_a_file_that_became_a_symlink_here_was_edited_there(desk: Desk) -> None:
    await desk.unlink("/f")
    await desk.do.symlink(*desk.machine.place("/f"), "d")
    desk.edited("/f", b"theirs")
    tree = await desk.meet()
    assert tree["/f"] == b"theirs"
    assert "d" in desk.copies().values()


async def test_a_symlink_that_became_a_file_there_was_moved_here(desk: Desk) -> None:
    await desk.rename("/l", "/d/l")
    desk.deleted("/l")
    desk.there("/l", b"theirs")
    tree = await desk.meet()
    assert tree["/l"] == b"theirs"
    assert "/d/l" not in tree


async def test_a_symlink_that_became_a_folder_on_both_sides(desk: Desk) -> None:
    await desk.unlink("/l")
    await desk.mkdir("/l")
    await desk.machine.create("/l/mine", b"mine")
    desk.deleted("/l")
    desk.there("/l")
    desk.there("/l/theirs", b"theirs")
    tree = await desk.meet()
    assert (tree["/l/mine"], tree["/l/theirs"], desk.copies()) == (b"mine", b"theirs", {})


async def test_a_file_and_a_folder_of_one_new_name(desk: Desk) -> None:
    await desk.machine.create("/n", b"mine")
    desk.there("/n")
    desk.there("/n/in", b"theirs")
    tree = await desk.meet()
    assert tree["/n/in"] == b"theirs"
    assert list(desk.copies().values()) == [b"mine"]


async def test_a_folder_and_a_file_of_one_new_name(desk: Desk) -> None:
    await desk.mkdir("/n")
    await desk.machine.create("/n/in", b"mine")
    desk.there("/n", b"theirs")
    tree = await desk.meet()
    assert tree["/n"] == b"theirs"
    assert b"mine" in desk.copies().values()


async def test_a_move_into_a_folder_that_became_a_file(desk: Desk) -> None:
    await desk.rename("/f", "/d/f")
    desk.deleted("/d/in")
    desk.deleted("/d")
    desk.there("/d", b"theirs")
    tree = await desk.meet()
    assert tree["/d"] == b"theirs"
    assert b"old" in tree.values()


async def test_a_move_out_of_a_folder_that_was_deleted(desk: Desk) -> None:
    await desk.rename("/d/in", "/in")
    desk.deleted("/d/in")
    desk.deleted("/d")
    tree = await desk.meet()
    assert not {"/d", "/d/in", "/in"} & tree.keys()  # a move is no edit: the deletion holds


async def test_an_edit_below_two_deleted_folders(desk: Desk) -> None:
    desk.there("/d/deep")
    desk.there("/d/deep/file", b"old")
    await desk.meet()
    await desk.write("/d/deep/file", b"mine")
    for path in ("/d/deep/file", "/d/deep", "/d/in", "/d"):
        desk.deleted(path)
    assert (await desk.meet())["/d/deep/file"] == b"mine"


async def test_three_folders_that_form_a_ring(desk: Desk) -> None:
    for path in ("/a", "/b", "/c"):
        desk.there(path)
        desk.there(f"{path}/in", path.encode())
    await desk.meet()
    await desk.machine.list_all()
    await desk.rename("/a", "/b/a")
    await desk.rename("/b", "/c/b")
    desk.moved("/c", "/a/c")
    tree = await desk.meet()
    assert {b"/a", b"/b", b"/c"} <= set(tree.values())
    assert len([path for path in tree if path.endswith("/in")]) == 4


async def test_a_symlink_that_became_a_file_under_its_id_was_moved_here(desk: Desk) -> None:
    """A remote may let an item change its kind. It is another thing then: nothing of the one before stays on it."""
    before = desk.machine.at("/l").ino
    await desk.rename("/l", "/d/l")
    _become_a_file(desk, desk.drive.at("/l"))
    tree = await desk.meet()
    assert tree["/l"] == b"theirs"
    assert await desk.machine.read(desk.machine.at("/l").ino) == b"theirs"
    assert desk.machine.at("/l").ino != before


async def test_a_folder_that_became_a_file_under_its_id(desk: Desk) -> None:
    """What the folder held is asked for first: nothing of it goes without a word of its own."""
    folder = desk.drive.at("/d")
    desk.deleted("/d/in")
    _become_a_file(desk, folder)
    tree = await desk.meet()
    assert tree["/d"] == b"theirs"
    assert "/d/in" not in tree


async def test_a_folder_that_became_a_file_under_its_id_and_what_was_made_in_it_here(desk: Desk) -> None:
    folder = desk.drive.at("/d")
    await desk.machine.create("/d/new", b"mine")
    desk.deleted("/d/in")
    _become_a_file(desk, folder)
    tree = await desk.meet()
    assert tree["/d"] == b"theirs"
    assert b"mine" in tree.values()


def _become_a_file(desk: Desk, item: Item) -> None:
    file = desk.there("/scratch", b"theirs")
    desk.deleted("/scratch")
    assert file.content_version is not None
    desk.drive.bodies[item.item_id, file.content_version] = b"theirs"
    facts = {each: getattr(file, each) for each in ("kind", "size", "content_version", "digest", "symlink_target")}
    desk.drive.store(with_(item, **facts))
