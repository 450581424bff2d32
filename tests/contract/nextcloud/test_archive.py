"""The trash, older contents and search of a Nextcloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.model import ItemId, Kind, Version
from sync.capabilities import Feature
from sync.remote import Conflict, Gone, VersionGone

if TYPE_CHECKING:
    from tests.contract.nextcloud.conftest import Cloud


async def test_older_contents_are_told_and_brought_back(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"one", mtime_s=1_600_000_000)
    newer = await cloud.overwrite(item, b"second", mtime_s=1_600_000_100)
    archive = cloud.client.archive
    current, older = await archive.versions(item.item_id, 10)
    assert (current.content_version, current.size, current.replaced_ns) == (newer.content_version, 6, None)
    assert (older.size, older.mtime_ns, older.replaced_ns is None) == (3, 1_600_000_000 * 10**9, False)
    assert item.content_version is not None
    assert newer.content_version is not None
    with pytest.raises(Conflict):
        await archive.restore_version(item.item_id, item.content_version, older.content_version, key="k")
    for nonsense in ("old.1", "never"):
        with pytest.raises(VersionGone):
            await archive.restore_version(item.item_id, newer.content_version, Version(nonsense), key="k")
    back = await archive.restore_version(item.item_id, newer.content_version, older.content_version, key="k")
    assert (back.item_id, back.size, cloud.account.at("f").data) == (item.item_id, 3, b"one")
    assert len(await archive.versions(item.item_id, 10)) == 2


async def test_what_was_deleted_comes_back_under_its_id(cloud: Cloud) -> None:
    item = await cloud.put("f", b"one")
    cloud.account.clock.ahead_s += 5
    await cloud.client.remove(item.item_id, item.metadata_version, key=cloud.key())
    archive = cloud.client.archive
    (told,) = await archive.trash(10)
    assert (told.item_id, told.path, told.kind, told.size) == (item.item_id, "f", Kind.FILE, 3)
    assert told.expires_ns > told.deleted_ns > 0
    back = await archive.restore(item.item_id, key="k")
    assert (back.item_id, back.name, cloud.account.at("f").data) == (item.item_id, "f", b"one")
    with pytest.raises(Conflict):
        await archive.restore(item.item_id, key="k")
    with pytest.raises(Gone):
        await archive.restore(ItemId("99999"), key="k")


async def test_nothing_is_restored_over_or_beside_another(cloud: Cloud) -> None:
    folder = await cloud.make_folder("d")
    cloud.account.write("d/f", b"one")
    cloud.account.remove(cloud.account.at("d/f"))
    (told,) = await cloud.client.archive.trash(10)
    cloud.account.write("d/f", b"another")
    with pytest.raises(Conflict) as caught:
        await cloud.client.archive.restore(told.item_id, key="k")
    assert caught.value.code == "name_taken"
    cloud.account.remove(cloud.account.at("d"))
    with pytest.raises(Conflict):
        await cloud.client.archive.restore(told.item_id, key="k")
    assert folder
    assert not cloud.account.root.children


async def test_names_are_found_without_regard_to_case(cloud: Cloud) -> None:
    cloud.account.make_folder("Deep")
    for name in ("Report 1.txt", "Deep/my REPORT", "other", "Deep/100%_sure"):
        cloud.account.write(name, b"")
    found = await cloud.client.archive.search("report", 10)
    assert {each.name for each in found} == {"Report 1.txt", "my REPORT"}
    assert {await cloud.client.archive.path(each.item_id) for each in found} == {"Report 1.txt", "Deep/my REPORT"}
    assert len(await cloud.client.archive.search("report", 1)) == 1
    assert [each.name for each in await cloud.client.archive.search("0%_s", 10)] == ["100%_sure"]
    assert [each.name for each in await cloud.client.archive.search("%", 10)] == ["100%_sure"]


async def test_a_server_without_the_apps_says_so(cloud: Cloud) -> None:
    cloud.account.has_trash = cloud.account.has_versions = False
    plain = cloud.another()
    root = await plain.root()
    assert plain.capabilities.features == {Feature.SEARCH, Feature.SESSIONS}
    folder = await plain.make_folder(root.item_id, "d", mode=0o755, mtime_ns=10**18, key=cloud.key())
    await plain.remove(folder.item_id, folder.metadata_version, key=cloud.key())
    assert not cloud.account.root.children
