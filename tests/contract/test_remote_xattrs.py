"""One suite for every Remote: extended attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.remote import Conflict, Refused
from tests.contract.homes import facts
from tests.contract.offers import lacks, needs

if TYPE_CHECKING:
    from tests.contract.homes import Home


@needs("xattrs")
async def test_a_new_item_has_none(home: Home) -> None:
    assert (await home.put("f", b"x")).xattrs == ()
    assert (await home.make_folder("d")).xattrs == ()


@needs("xattrs")
async def test_attributes_are_set_changed_and_removed_by_name(home: Home) -> None:
    item = await home.put("f", b"x")
    anchor = await home.remote.newest_anchor()
    changes = (("user.a", b"1"), ("user.empty", b""), ("user.odd é\n", bytes(range(256))))
    one = await home.remote.set_xattrs(item.item_id, item.metadata_version, changes, key=home.key())
    assert one.xattrs == changes
    assert one.metadata_version != item.metadata_version
    assert (one.content_version, one.mode, one.mtime_ns) == (item.content_version, item.mode, item.mtime_ns)
    two = await home.remote.set_xattrs(
        item.item_id, one.metadata_version, (("user.a", None), ("user.b", b"2")), key=home.key()
    )
    assert two.xattrs == (("user.b", b"2"), *changes[1:])
    assert [facts(row) for row in (await home.other.children(home.folder)).items] == [facts(two)]
    assert await home.news(anchor) == [two]


@needs("xattrs")
async def test_a_folder_has_attributes_too(home: Home) -> None:
    folder = await home.make_folder("d")
    told = await home.remote.set_xattrs(folder.item_id, folder.metadata_version, (("user.a", b"1"),), key=home.key())
    assert told.xattrs == (("user.a", b"1"),)


@needs("xattrs")
async def test_a_stale_change_conflicts_and_the_same_one_again_is_answered_again(home: Home) -> None:
    item, key = await home.put("f", b"x"), home.key()
    told = await home.remote.set_xattrs(item.item_id, item.metadata_version, (("user.a", b"1"),), key=key)
    again = await home.remote.set_xattrs(item.item_id, item.metadata_version, (("user.a", b"1"),), key=key)
    assert again == told
    with pytest.raises(Conflict) as caught:
        await home.remote.set_xattrs(item.item_id, item.metadata_version, (("user.a", b"2"),), key=home.key())
    assert caught.value.current is not None
    assert caught.value.current.xattrs == told.xattrs


@needs("xattrs")
async def test_attributes_stay_through_new_content_and_moves(home: Home) -> None:
    item, folder = await home.put("f", b"x"), await home.make_folder("d")
    item = await home.remote.set_xattrs(item.item_id, item.metadata_version, (("user.a", b"1"),), key=home.key())
    item = await home.overwrite(item, b"other")
    assert item.xattrs == (("user.a", b"1"),)
    moved = await home.remote.move(
        item.item_id, item.metadata_version, folder.item_id, "g", replace=None, key=home.key()
    )
    assert moved.xattrs == (("user.a", b"1"),)


@lacks("xattrs")
async def test_they_are_refused_where_there_are_none(home: Home) -> None:
    item = await home.put("f", b"x")
    assert item.xattrs is None
    with pytest.raises(Refused):
        await home.remote.set_xattrs(item.item_id, item.metadata_version, (("user.a", b"1"),), key=home.key())
