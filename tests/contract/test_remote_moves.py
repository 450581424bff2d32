"""One suite for every Remote: moves, attributes, removal, names."""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import TYPE_CHECKING

import pytest

from cache.model import Item
from sync.remote import (
    Conflict,
    Gone,
    NameRefused,
    Replaced,
    Tombstone,
)
from tests.contract.homes import content

if TYPE_CHECKING:
    from tests.contract.homes import Home


@pytest.mark.parametrize(
    "name", ["%2F", "a b?#&+", "ünï", "e\u0301", "\u00e9", "🐟", "-", "con", "a\\b", "\n", "%", "x" * 255]
)
async def test_odd_names_come_back_exactly_or_are_refused(home: Home, name: str) -> None:
    names = home.remote.capabilities.names
    composed = names.form == "exact" or unicodedata.normalize("NFC", name) == name
    if names.refused & set(name) or len(name.encode()) > names.max_bytes or not composed:
        with pytest.raises(NameRefused):
            await home.put(name, b"x")
        return
    item = await home.put(name, b"x")
    folder = await home.make_folder("d")
    moved = await home.remote.move(
        item.item_id, item.metadata_version, folder.item_id, name, replace=None, key=home.key()
    )
    assert (item.name, moved.name) == (name, name)
    there = (await home.seen(folder)).item_id
    assert [row.name for row in (await home.other.children(there)).items] == [name]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256, "ü" * 128, "\udcff"])
async def test_impossible_names_are_refused(home: Home, name: str) -> None:
    item = await home.put("f", b"x")
    with pytest.raises(NameRefused):
        await home.put(name, b"x")
    with pytest.raises(NameRefused):
        await home.make_folder(name)
    with pytest.raises(NameRefused):
        await home.remote.move(item.item_id, item.metadata_version, home.folder, name, replace=None, key=home.key())


async def test_move_and_rename_in_one_step_keep_id_and_content(home: Home) -> None:
    item, folder = await home.put("f", b"x"), await home.make_folder("d")
    moved = await home.remote.move(
        item.item_id, item.metadata_version, folder.item_id, "g", replace=None, key=home.key()
    )
    assert (moved.item_id, moved.parent_id, moved.name) == (item.item_id, folder.item_id, "g")
    assert moved.content_version == item.content_version
    assert moved.metadata_version != item.metadata_version
    assert moved.mtime_ns == item.mtime_ns
    assert [row.item_id for row in (await home.remote.children(home.folder)).items] == [folder.item_id]


async def test_a_stale_move_conflicts(home: Home) -> None:
    item = await home.put("f", b"x")
    newer = await home.remote.move(item.item_id, item.metadata_version, home.folder, "g", replace=None, key=home.key())
    with pytest.raises(Conflict) as caught:
        await home.remote.move(item.item_id, item.metadata_version, home.folder, "h", replace=None, key=home.key())
    assert caught.value.current == newer


async def test_a_move_onto_a_taken_name_conflicts_with_what_stands_there(home: Home) -> None:
    item, there = await home.put("f", b"x"), await home.put("g", b"y")
    with pytest.raises(Conflict) as caught:
        await home.remote.move(item.item_id, item.metadata_version, home.folder, "g", replace=None, key=home.key())
    assert caught.value.current == there
    assert caught.value.code == "name_taken"


async def test_a_replacing_move_is_one_step_with_a_tombstone(home: Home) -> None:
    item, there = await home.put("f", b"x"), await home.put("g", b"y")
    anchor = await home.remote.newest_anchor()
    moved = await home.remote.move(
        item.item_id,
        item.metadata_version,
        home.folder,
        "g",
        replace=Replaced(item_id=there.item_id, content_version=there.content_version),
        key=home.key(),
    )
    assert (moved.item_id, moved.name) == (item.item_id, "g")
    gone = (await home.remote.get_many([there.item_id]))[there.item_id]
    assert isinstance(gone, Tombstone)
    news = {row.item_id: row for row in await home.news(anchor)}
    assert isinstance(news[there.item_id], Tombstone)
    assert news[item.item_id] == moved


async def test_a_replacing_move_spares_what_was_not_seen(home: Home) -> None:
    item, there = await home.put("f", b"x"), await home.put("g", b"y")
    newer = await home.overwrite(there, b"newer")
    with pytest.raises(Conflict) as caught:
        await home.remote.move(
            item.item_id,
            item.metadata_version,
            home.folder,
            "g",
            replace=Replaced(item_id=there.item_id, content_version=there.content_version),
            key=home.key(),
        )
    assert caught.value.current == newer
    assert await content(home.remote, newer) == b"newer"


async def test_a_replacing_move_takes_an_empty_folder_only(home: Home) -> None:
    source, empty, full = [await home.make_folder(name) for name in ("s", "e", "f")]
    child = await home.put("c", b"x", parent=full.item_id)
    with pytest.raises(Conflict) as caught:
        await home.remote.move(
            source.item_id,
            source.metadata_version,
            home.folder,
            "f",
            replace=Replaced(item_id=full.item_id, content_version=None),
            key=home.key(),
        )
    assert caught.value.code == "not_empty"
    moved = await home.remote.move(
        source.item_id,
        source.metadata_version,
        home.folder,
        "e",
        replace=Replaced(item_id=empty.item_id, content_version=None),
        key=home.key(),
    )
    assert moved.name == "e"
    assert (await home.remote.get_many([child.item_id]))[child.item_id] == child


async def test_a_folder_cannot_move_below_itself(home: Home) -> None:
    outer = await home.make_folder("o")
    inner = await home.make_folder("i", parent=outer.item_id)
    for parent in (inner.item_id, outer.item_id):
        with pytest.raises(Conflict) as caught:
            await home.remote.move(outer.item_id, outer.metadata_version, parent, "x", replace=None, key=home.key())
        assert caught.value.code == "would_cycle"


async def test_nothing_goes_below_a_file(home: Home) -> None:
    item, other = await home.put("f", b"x"), await home.put("g", b"y")
    for refused in (
        partial(home.put, "c", b"x", parent=item.item_id),
        partial(home.make_folder, "c", parent=item.item_id),
        partial(
            home.remote.move, other.item_id, other.metadata_version, item.item_id, "c", replace=None, key=home.key()
        ),
    ):
        with pytest.raises(Conflict) as caught:
            await refused()
        assert caught.value.code == "not_a_folder"


async def test_attributes_change_under_their_version(home: Home) -> None:
    item = await home.put("f", b"x")
    newer = await home.remote.set_attributes(
        item.item_id, item.metadata_version, mode=0o600, mtime_ns=-1, key=home.key()
    )
    assert (newer.mode, newer.mtime_ns, newer.content_version) == (0o600, -1, item.content_version)
    with pytest.raises(Conflict) as caught:
        await home.remote.set_attributes(item.item_id, item.metadata_version, mode=0o777, mtime_ns=0, key=home.key())
    assert caught.value.current == newer


async def test_remove_leaves_a_tombstone(home: Home) -> None:
    item = await home.put("f", b"x")
    anchor = await home.remote.newest_anchor()
    await home.remote.remove(item.item_id, item.metadata_version, key=home.key())
    expected = Tombstone(item_id=item.item_id, parent_id=home.folder)
    assert await home.news(anchor) == [expected]
    assert (await home.remote.get_many([item.item_id]))[item.item_id] == expected
    assert (await home.remote.children(home.folder)).items == []
    with pytest.raises(Gone) as caught:
        await home.remote.remove(item.item_id, item.metadata_version, key=home.key())
    assert caught.value.tombstone


async def test_a_stale_remove_and_a_full_folder_are_spared(home: Home) -> None:
    folder = await home.make_folder("d")
    child = await home.put("c", b"x", parent=folder.item_id)
    newer = await home.overwrite(child, b"y")
    with pytest.raises(Conflict) as caught:
        await home.remote.remove(child.item_id, child.metadata_version, key=home.key())
    assert caught.value.current == newer
    now = (await home.remote.get_many([folder.item_id]))[folder.item_id]
    assert isinstance(now, Item)
    with pytest.raises(Conflict) as caught:
        await home.remote.remove(folder.item_id, now.metadata_version, key=home.key())
    assert caught.value.code == "not_empty"
    assert (await home.remote.children(folder.item_id)).items == [newer]


async def test_a_child_leaves_its_folders_version_alone(home: Home) -> None:
    folder = await home.make_folder("d")
    child = await home.put("c", b"x", parent=folder.item_id)
    await home.remote.remove(child.item_id, child.metadata_version, key=home.key())
    await home.remote.remove(folder.item_id, folder.metadata_version, key=home.key())
    assert (await home.remote.children(home.folder)).items == []
