"""What changed on a Nextcloud: the walk, its cost, and that nothing but the server's word deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from cache.model import Anchor, Item
from sync.remote import AnchorExpired, Busy, RemoteError, Tombstone
from sync.remotes.nextcloud import ledger, places, remote
from tests.contract.homes import content
from tests.harness.steps import Steps

if TYPE_CHECKING:
    from tests.contract.nextcloud.conftest import Cloud

PROPFIND, SEARCH = "PROPFIND", "SEARCH"


def names(news: list[Item | Tombstone]) -> set[str]:
    return {each.name if isinstance(each, Item) else f"-{each.item_id}" for each in news}


async def deep(cloud: Cloud) -> list[Item]:
    """a/b/c with a file in each, all of it listed."""
    for path in ("a", "a/b", "a/b/c"):
        cloud.account.make_folder(path)
        cloud.account.write(f"{path}/f", b"x")
    cloud.account.clock.ahead_s += 10
    found = [await cloud.known(path) for path in ("a", "a/b", "a/b/c")]
    await cloud.client.children(found[-1].item_id)
    anchor = await cloud.client.newest_anchor()
    await cloud.news(anchor)
    cloud.asked()
    return found


async def test_nothing_new_costs_one_look_at_the_root(cloud: Cloud) -> None:
    await deep(cloud)
    assert await cloud.news(await cloud.client.newest_anchor()) == []
    assert len(cloud.asked()) == 1


async def test_a_change_costs_a_listing_of_each_folder_above_it(cloud: Cloud) -> None:
    await deep(cloud)
    for number in range(20):
        cloud.account.make_folder(f"other{number}")
    await cloud.news(await cloud.client.newest_anchor())
    cloud.asked()
    anchor = await cloud.client.newest_anchor()
    cloud.account.write("a/b/new", b"y", checksum="SHA1:1")
    assert names(await cloud.news(anchor)) == {"new"}
    assert len(cloud.asked(PROPFIND)) == 1 + 3


async def test_a_moved_folder_is_not_listed_again(cloud: Cloud) -> None:
    _, inner, innermost = await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.move(cloud.account.at("a/b"), "moved")
    (told,) = await cloud.news(anchor)
    assert isinstance(told, Item)
    assert (told.item_id, told.parent_id, told.name) == (inner.item_id, cloud.root, "moved")
    assert not [each for each in cloud.asked(PROPFIND) if "moved" in each]
    assert await cloud.client.archive.path(innermost.item_id) == "moved/c"


async def test_a_folder_that_was_made_here_is_followed(cloud: Cloud) -> None:
    folder = await cloud.make_folder("made")
    anchor = await cloud.client.newest_anchor()
    cloud.account.write("made/new", b"y", checksum="SHA1:1")
    assert names(await cloud.news(anchor)) == {"new"}
    assert folder.name == "made"


async def test_what_moves_to_where_nobody_looked_is_not_gone(cloud: Cloud) -> None:
    folders = await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.make_folder("unseen")
    cloud.account.make_folder("unseen/deeper")
    cloud.account.move(cloud.account.at("a/b/f"), "unseen/deeper/g")
    news = await cloud.news(anchor)
    assert not [each for each in news if isinstance(each, Tombstone)]
    moved = next(each for each in news if isinstance(each, Item) and each.name == "g")
    assert await cloud.client.archive.path(moved.item_id) == "unseen/deeper/g"
    assert await content(cloud.client, moved) == b"x"
    anchor = await cloud.client.newest_anchor()
    cloud.account.clock.ahead_s += 10
    cloud.account.write("unseen/deeper/g", b"later", checksum="SHA1:1")
    assert "g" in names(await cloud.news(anchor)), "and it is followed from then on"
    assert folders


async def test_a_deletion_is_told_with_everything_below(cloud: Cloud) -> None:
    folders = await deep(cloud)
    below = {cloud.account.at(path).file_id for path in ("a", "a/f", "a/b", "a/b/f", "a/b/c", "a/b/c/f")}
    anchor = await cloud.client.newest_anchor()
    cloud.account.remove(cloud.account.at("a"))
    assert names(await cloud.news(anchor)) == {f"-{each}" for each in below}
    told = await cloud.client.get_many([folders[1].item_id])
    assert told[folders[1].item_id] == Tombstone(item_id=folders[1].item_id, parent_id=folders[0].item_id)


async def test_what_left_a_folder_before_it_was_deleted_lives_on(cloud: Cloud) -> None:
    await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.make_folder("unseen")
    cloud.account.move(cloud.account.at("a/b/c"), "unseen/c")
    cloud.account.remove(cloud.account.at("a"))
    news = {each.item_id: each for each in await cloud.news(anchor)}
    kept = cloud.account.at("unseen/c")
    told = {each.item_id: each for each in [*news.values()] if isinstance(each, Item)}
    assert told[str(kept.file_id)].name == "c"  # type: ignore[index]
    assert not [each for each in kept.children.values() if isinstance(news.get(str(each.file_id)), Tombstone)]  # type: ignore[call-overload]


@pytest.mark.parametrize(("method", "status"), [("SEARCH", 503), ("SEARCH", 400), ("PROPFIND", 503), ("PROPFIND", 500)])
async def test_an_error_deletes_nothing(cloud: Cloud, method: str, status: int) -> None:
    folders = await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.remove(cloud.account.at("a/b"))
    cloud.server.fault(method, status=status, times=50)
    with pytest.raises(RemoteError):
        await cloud.news(anchor)
    cloud.server.faults.clear()
    assert f"-{folders[1].item_id}" in names(await cloud.news(anchor)), "it is found out later"


@pytest.mark.parametrize("path", ["/a$", "/a/b$", "/a/b/c$"])
async def test_a_walk_that_broke_off_is_gone_on_with(cloud: Cloud, path: str) -> None:
    """What it listed by then is not changed any more, and what it did not come to still is."""
    await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.write("a/b/c/new", b"y", checksum="SHA1:1")
    cloud.server.fault(PROPFIND, path, status=500, times=50)
    with pytest.raises(RemoteError):
        await cloud.news(anchor)
    cloud.server.faults.clear()
    assert names(await cloud.news(anchor)) == {"new"}
    cloud.asked()
    assert await cloud.news(await cloud.client.newest_anchor()) == []
    assert len(cloud.asked()) == 1


async def test_a_listing_of_a_folder_hides_nothing_that_changed_below_it(cloud: Cloud) -> None:
    await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.write("a/b/new", b"y", checksum="SHA1:1")
    await cloud.client.children(cloud.root)
    assert names(await cloud.news(anchor)) == {"new"}


async def test_maintenance_is_a_pause(cloud: Cloud) -> None:
    await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.server.maintenance = True
    with pytest.raises(Busy) as caught:
        await cloud.news(anchor)
    assert caught.value.retry_after_s == 1.0
    cloud.server.maintenance = False
    assert await cloud.news(anchor) == []


async def test_data_from_a_backup_make_every_anchor_foreign(cloud: Cloud) -> None:
    await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.fingerprint = "restored"
    with pytest.raises(AnchorExpired) as caught:
        await cloud.client.changes(anchor)
    assert caught.value.fresh is not None
    assert caught.value.lost
    with pytest.raises(AnchorExpired) as again:  # as after a restart that looked at the root first
        await cloud.another(cloud.state).changes(anchor)
    assert again.value.lost
    cloud.account.clock.ahead_s += 10
    assert await cloud.news(caught.value.fresh) == []


async def test_a_page_can_be_told_again_after_a_restart(cloud: Cloud) -> None:
    await deep(cloud)
    anchor = await cloud.client.newest_anchor()
    cloud.account.write("a/new", b"y", checksum="SHA1:1")
    told = await cloud.news(anchor)
    again = cloud.another(cloud.state)
    assert list((await again.changes(anchor)).changes) == told


async def test_a_ledger_that_was_lost_makes_every_anchor_foreign(cloud: Cloud) -> None:
    anchor = await cloud.client.newest_anchor()
    with pytest.raises(AnchorExpired) as caught:
        await cloud.another(cloud.state / "other").changes(anchor)
    assert not caught.value.lost
    for nonsense in ("", "x", f"{anchor}0", "1.2"):
        with pytest.raises(AnchorExpired):
            await cloud.client.changes(Anchor(nonsense))


async def test_a_damaged_ledger_is_begun_anew(cloud: Cloud) -> None:
    state = cloud.state / "damaged"
    state.mkdir()
    (state / "nextcloud.db").write_bytes(b"no database at all" * 100)
    cloud.account.write("f", b"x")
    again = cloud.another(state)
    assert [each.name for each in (await again.children((await again.root()).item_id)).items] == ["f"]


async def test_an_older_listing_does_not_undo_a_newer_answer(cloud: Cloud) -> None:
    """A listing that was answered before our write, and comes in after it."""
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"one")
    anchor = await cloud.client.newest_anchor()
    real, held, go = cloud.client._exchange.read, trio.Event(), trio.Event()

    async def late(ask, make):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        answer = await real(ask, make)
        if ask.headers.get("depth") == "1":
            held.set()
            await go.wait()
        return answer

    async with trio.open_nursery() as nursery:
        cloud.client._exchange.read = late  # type: ignore[method-assign]
        nursery.start_soon(cloud.client.children, cloud.root)
        await held.wait()
        cloud.client._exchange.read = real  # type: ignore[method-assign]
        newer = await cloud.overwrite(item, b"newer")
        added = await cloud.put("g", b"g")
        go.set()
    assert (await cloud.client.get_many([item.item_id]))[item.item_id] == newer
    news = {each.item_id: each for each in await cloud.news(anchor)}
    assert news == {newer.item_id: newer, added.item_id: added}


async def test_many_in_one_folder(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs do not wait while they are read, recorded and told."""
    steps = Steps()
    for module, name in ((places, "seen"), (ledger, "told_anew"), (remote, "item_of")):
        monkeypatch.setattr(module, name, steps.counted(getattr(module, name)))
    for number in range(2_000):
        cloud.account.write(f"n{number:05}", b"", checksum="SHA1:1")
    trio.lowlevel.add_instrument(steps)
    listing = await cloud.client.children(cloud.root)
    trio.lowlevel.remove_instrument(steps)
    assert len(listing.items) == 2_000
    assert steps.elsewhere >= 3 * 2_000
    assert steps.most <= ledger.HERE_MAX_ROWS
    anchor = await cloud.client.newest_anchor()
    cloud.account.write("new", b"", checksum="SHA1:1")
    assert names(await cloud.news(anchor)) == {"new"}
