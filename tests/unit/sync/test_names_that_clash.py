"""[S4.14] Names that the remote takes for one (letter case, Unicode forms) are two here, and each keeps its bytes."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest

from tests.fakes.drive import FakeDrive
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

NFC, NFD = "/\u00e9t\u00e9", "/e\u0301te\u0301"


def folded(name: str) -> str:
    """As a file system that keeps case and form, and compares without them."""
    return unicodedata.normalize("NFC", name).casefold()


@pytest.fixture
async def desk(tmp_path: Path, *, push_first: bool) -> AsyncIterator[Desk]:
    """/README "old", /d/, on a drive that folds names."""
    drive = FakeDrive()
    drive.fold = folded
    async with at_work(tmp_path, {"/README": b"old", "/d": None}, drive=drive, push_first=push_first) as desk:
        yield desk


async def test_a_file_whose_name_differs_by_case(desk: Desk) -> None:
    await desk.machine.create("/readme", b"mine")
    tree = await desk.meet()
    assert tree.pop("/README") == b"old"
    assert list(desk.copies().values()) == [b"mine"]
    assert desk.machine.remote.requests.count("put") == 2
    (conflict,) = desk.machine.engine.steering.conflicts()
    assert conflict.original == "/README"


async def test_a_folder_whose_name_differs_by_case(desk: Desk) -> None:
    await desk.mkdir("/D")
    await desk.machine.create("/D/in", b"mine")
    tree = await desk.meet()
    assert tree["/d"] is None
    assert b"mine" in desk.copies().values()


async def test_a_move_to_a_name_that_differs_by_case(desk: Desk) -> None:
    desk.there("/f", b"moved")
    await desk.meet()
    await desk.rename("/f", "/readme")
    tree = await desk.meet()
    assert tree["/README"] == b"old"
    assert list(desk.copies().values()) == [b"moved"]


@pytest.mark.parametrize("kind", ["file", "created", "folder"])
async def test_two_that_change_names_by_way_of_another_case(desk: Desk, kind: str) -> None:
    """One goes first by a passing name: each waits for the other, and no plan sees it by their names."""
    if kind == "folder":
        await desk.mkdir("/f")
    else:
        await desk.machine.create("/f", b"moved")
    if kind != "created":
        await desk.meet()
    await desk.rename("/README", "/t")
    await desk.rename("/f", "/readme")
    await desk.rename("/t", "/f")
    assert await desk.meet() == {"/readme": None if kind == "folder" else b"moved", "/f": b"old", "/d": None}


async def test_a_rename_that_changes_only_the_case(desk: Desk) -> None:
    item_id = desk.drive.at("/README").item_id
    await desk.rename("/README", "/readme")
    assert (await desk.meet())["/readme"] == b"old"
    assert desk.drive.at("/readme").item_id == item_id
    assert desk.copies() == {}


async def test_a_rename_that_changes_only_the_case_against_a_mode(desk: Desk) -> None:
    """What refuses the rename is the item itself."""
    item = desk.drive.at("/README")
    desk.drive.set_attributes(item.item_id, item.metadata_version, mode=0o600, mtime_ns=5)
    await desk.rename("/README", "/readme")
    assert (await desk.meet())["/readme"] == b"old"
    assert desk.copies() == {}


@pytest.mark.parametrize("first", [0, 1])
async def test_a_name_that_is_free_once_the_other_one_left(desk: Desk, first: int) -> None:
    """Whichever of the two changes is tried first."""
    await desk.rename("/README", "/d/README")
    await desk.machine.create("/readme", b"mine")
    await desk.machine.push_one(first)
    tree = await desk.meet()
    assert (tree["/d/README"], tree["/readme"], desk.copies()) == (b"old", b"mine", {})


@pytest.mark.parametrize("first", [0, 1])
async def test_a_name_that_is_free_once_the_other_one_was_removed(desk: Desk, first: int) -> None:
    await desk.unlink("/README")
    await desk.machine.create("/readme", b"mine")
    await desk.machine.push_one(first)
    tree = await desk.meet()
    assert (tree["/readme"], desk.copies()) == (b"mine", {})
    assert "/README" not in tree


@pytest.mark.parametrize("kind", ["file", "folder", "created"])
async def test_what_takes_the_name_of_its_own_folder_in_another_case(desk: Desk, kind: str) -> None:
    """It goes first by a passing name: the folder is not removed before it has left."""
    await desk.mkdir("/d/in") if kind == "folder" else await desk.machine.create("/d/in", b"moved")
    if kind != "created":
        await desk.meet()
    await desk.rename("/d/in", "/D")
    await desk.rmdir("/d")
    assert await desk.meet() == {"/README": b"old", "/D": None if kind == "folder" else b"moved"}
    assert desk.copies() == {}


async def test_twins_by_unicode_form_keep_their_bytes(desk: Desk) -> None:
    await desk.machine.create(NFC, b"composed")
    await desk.machine.create(NFD, b"decomposed")
    tree = await desk.meet()
    assert {b"composed", b"decomposed"} <= set(tree.values())


async def test_twins_by_unicode_form_are_two_names_where_the_remote_tells_them_apart(desk: Desk) -> None:
    desk.drive.fold = str
    desk.drive.names[desk.drive.root_id] = {item.name: item.item_id for item in desk.drive.items.values() if item.name}
    await desk.machine.create(NFC, b"composed")
    await desk.machine.create(NFD, b"decomposed")
    tree = await desk.meet()
    assert (tree[NFC], tree[NFD], desk.copies()) == (b"composed", b"decomposed", {})


async def test_a_remote_that_does_not_tell_what_stands_there_ends_in_a_parked_change(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a loop: parked with its reason, kept, and shown."""
    monkeypatch.setattr("sync.setbacks.CONFLICT_ROUNDS", 3)
    create = desk.drive.create

    def tell_nothing(*arguments: object, **named: object) -> object:
        try:
            return create(*arguments, **named)  # type: ignore[arg-type]
        except Exception as refusal:
            refusal.current = None  # type: ignore[attr-defined]
            raise

    desk.drive.create = tell_nothing  # type: ignore[method-assign,assignment]
    await desk.machine.create("/readme", b"mine")
    assert not await desk.machine.push_all(60.0)
    (row,) = desk.machine.outbox()
    assert row.state == "parked"
    assert row.reason
    assert desk.machine.tree()["/readme"] == b"mine"
