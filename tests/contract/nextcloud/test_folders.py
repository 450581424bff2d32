"""Folders of a Nextcloud, on which no condition holds; names; rights; requests whose answer was lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from cache.model import Capability, Item
from sync.remote import Conflict, Denied, Gone, NameRefused, RemoteError, Replaced, Unknown

if TYPE_CHECKING:
    from tests.contract.nextcloud.conftest import Cloud


async def move(cloud: Cloud, item: Item, name: str, *, replace: Item | None = None, key: str = "") -> Item:
    replaced = replace and Replaced(item_id=replace.item_id, content_version=replace.content_version)
    return await cloud.client.move(
        item.item_id, item.metadata_version, cloud.root, name, replace=replaced, key=key or cloud.key()
    )


async def test_what_came_into_a_folder_right_before_its_deletion_is_brought_back(cloud: Cloud) -> None:
    folder = await cloud.make_folder("d")
    anchor = await cloud.client.newest_anchor()
    cloud.server.fault("DELETE", "/d$", before=partial(cloud.account.write, "d/unseen", b"precious"))
    with pytest.raises(Conflict) as caught:
        await cloud.client.remove(folder.item_id, folder.metadata_version, key=cloud.key())
    assert (caught.value.code, cloud.account.at("d/unseen").data) == ("not_empty", b"precious")
    assert not cloud.account.trash
    await cloud.client.children(folder.item_id)
    assert "unseen" in {each.name for each in await cloud.news(anchor) if isinstance(each, Item)}


async def test_a_full_folder_is_not_even_asked_to_go(cloud: Cloud) -> None:
    folder = await cloud.make_folder("d")
    cloud.account.write("d/unseen", b"precious")
    cloud.asked()
    with pytest.raises(Conflict) as caught:
        await cloud.client.remove(folder.item_id, folder.metadata_version, key=cloud.key())
    assert caught.value.code == "not_empty"
    assert not cloud.asked("DELETE")


async def test_an_empty_folder_goes_and_needs_no_look_at_the_whole_trash(cloud: Cloud) -> None:
    cloud.account.clock.frozen_s = 2e9  # its name there is guessed from the second of the last look
    folder = await cloud.make_folder("d")
    cloud.asked()
    await cloud.client.remove(folder.item_id, folder.metadata_version, key=cloud.key())
    assert "d" not in cloud.account.root.children
    assert "PROPFIND /remote.php/dav/trashbin/ada/trash" not in cloud.asked()


async def test_a_folder_that_was_moved_elsewhere_is_left_there(cloud: Cloud) -> None:
    folder = await cloud.make_folder("d")
    cloud.account.move(cloud.account.at("d"), "theirs")
    for change in (
        partial(move, cloud, folder, "ours"),
        partial(cloud.client.remove, folder.item_id, folder.metadata_version, key=cloud.key()),
    ):
        with pytest.raises(Conflict) as caught:
            await change()
        assert caught.value.current is not None
        assert caught.value.current.name == "theirs"


async def test_nothing_unseen_is_replaced_by_a_move(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item, there = await cloud.put("f", b"f"), await cloud.put("g", b"seen")
    cloud.server.fault("MOVE", before=partial(cloud.account.write, "g", b"unseen"))
    with pytest.raises(Conflict) as caught:
        await move(cloud, item, "g", replace=there)
    assert caught.value.current is not None
    assert (cloud.account.at("g").data, cloud.account.at("f").data) == (b"unseen", b"f")
    cloud.server.fault("MOVE", before=partial(cloud.account.write, "h", b"unseen"))
    with pytest.raises(Conflict) as caught:
        await move(cloud, item, "h")
    assert caught.value.code == "name_taken"
    assert cloud.account.at("h").data == b"unseen"


async def test_a_replacing_move_keeps_the_id_and_the_replaced_one_is_in_the_trash(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item, there = await cloud.put("f", b"f"), await cloud.put("g", b"old")
    moved = await move(cloud, item, "g", replace=there)
    assert (moved.item_id, cloud.account.at("g").data) == (item.item_id, b"f")
    assert [str(each.node.file_id) for each in cloud.account.trash] == [there.item_id]


@pytest.mark.parametrize("method", ["MKCOL", "MOVE", "DELETE"])
async def test_a_lost_answer_is_settled_by_looking(cloud: Cloud, method: str) -> None:
    folder, key = await cloud.make_folder("d"), cloud.key()
    changes = {
        "MKCOL": partial(cloud.client.make_folder, cloud.root, "new", mode=0o755, mtime_ns=10**18, key=key),
        "MOVE": partial(move, cloud, folder, "new", key=key),
        "DELETE": partial(cloud.client.remove, folder.item_id, folder.metadata_version, key=key),
    }
    cloud.server.fault(method, lose_answer=True)
    with pytest.raises(Unknown):
        await changes[method]()
    told = await changes[method]()
    assert [each.name for each in (await cloud.client.children(cloud.root)).items] == {
        "MKCOL": ["d", "new"], "MOVE": ["new"], "DELETE": []
    }[method]  # fmt: skip
    assert told is None or told.name == "new"
    assert await changes[method]() == told, "and once more"


async def test_a_lost_answer_is_settled_after_a_restart_too(cloud: Cloud) -> None:
    key = cloud.key()
    cloud.server.fault("MKCOL", lose_answer=True)
    with pytest.raises(Unknown):
        await cloud.client.make_folder(cloud.root, "d", mode=0o755, mtime_ns=10**18, key=key)
    again = cloud.another(cloud.state)
    assert (await again.make_folder(cloud.root, "d", mode=0o755, mtime_ns=10**18, key=key)).name == "d"


@pytest.mark.parametrize("name", ["x.part", ".htaccess", "a\\b", "e\u0301", "x" * 226, " x"])
async def test_a_name_that_the_server_refuses_is_not_sent(cloud: Cloud, name: str) -> None:
    item = await cloud.put("f", b"x")
    cloud.asked()
    for change in (partial(cloud.put, name, b"x"), partial(cloud.make_folder, name), partial(move, cloud, item, name)):
        with pytest.raises(NameRefused):
            await change()
    assert not [each for each in cloud.asked() if each.split()[0] in {"PUT", "MKCOL", "MOVE"}]


async def test_what_may_not_be_changed_is_told(cloud: Cloud) -> None:
    cloud.account.make_folder("shared")
    cloud.account.write("shared/f", b"x").permissions = "SG"
    cloud.account.at("shared").permissions = "SG"
    cloud.account.clock.ahead_s += 10
    folder = await cloud.known("shared")
    file = await cloud.known("shared/f")
    assert (folder.capabilities, file.capabilities) == ({Capability.READ}, {Capability.READ})
    for change in (partial(cloud.put, "g", b"x", parent=folder.item_id), partial(cloud.overwrite, file, b"y")):
        with pytest.raises(Denied):
            await change()


async def test_a_new_right_is_news(cloud: Cloud) -> None:
    cloud.account.write("f", b"x", checksum="SHA1:1").permissions = "SG"
    await cloud.known("f")
    anchor = await cloud.client.newest_anchor()
    cloud.account.at("f").permissions = "SRGDNVW"
    cloud.account.touched(cloud.account.root)
    (told,) = await cloud.news(anchor)
    assert isinstance(told, Item)
    assert Capability.WRITE in told.capabilities


async def test_a_parent_that_is_gone_is_gone_and_one_that_is_a_file_is_no_folder(cloud: Cloud) -> None:
    folder, file = await cloud.make_folder("d"), await cloud.put("f", b"x")
    cloud.account.remove(cloud.account.at("d"))
    meanings: list[tuple[Item, type[RemoteError]]] = [(folder, Gone), (file, Conflict)]
    for parent, meaning in meanings:
        for change in (
            partial(cloud.put, "x", b"x", parent=parent.item_id),
            partial(cloud.make_folder, "x", parent=parent.item_id),
        ):
            with pytest.raises(meaning):
                await change()


async def test_room_is_told_by_the_quota(cloud: Cloud) -> None:
    unlimited = await cloud.client.space()
    assert unlimited.free >= 1 << 50
    cloud.account.quota_bytes = 1000
    await cloud.put("f", b"x" * 100)
    assert ((await cloud.client.space()).total, (await cloud.client.space()).free) == (1000, 900)
