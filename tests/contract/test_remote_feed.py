"""One suite for every Remote: the feed, hints, keys, paging."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace as with_

from cache.model import Anchor, Item, ItemId, Kind, Version
from sync.remote import (
    AnchorExpired,
    Conflict,
    Gone,
    Refused,
)
from tests.contract.homes import content, facts
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.contract.homes import Home


async def test_the_root_is_a_folder_without_parent_and_name(home: Home) -> None:
    root = await home.remote.root()
    assert (root.parent_id, root.name, root.kind, root.content_version) == (None, "", Kind.FOLDER, None)


async def test_hints_after_a_foreign_anchor_are_refused(home: Home) -> None:
    with pytest.raises(AnchorExpired):
        await anext(aiter(home.remote.hints(Anchor("nonsense"))))


async def test_what_never_was_is_unknown_without_proof(home: Home) -> None:
    nothing = ItemId("never-was")
    assert await home.remote.get_many([nothing]) == {nothing: None}
    for refused in (
        partial(home.remote.children, nothing),
        partial(home.remote.remove, nothing, Version("v"), key=home.key()),
        partial(home.put, "x", b"", parent=nothing),
        partial(content, home.remote, with_(await home.put("f", b"x"), item_id=nothing)),
    ):
        with pytest.raises(Gone) as caught:
            await refused()
        assert not caught.value.tombstone


async def test_a_key_makes_a_repeated_create_one_effect(home: Home) -> None:
    key = home.key()
    first = await home.make_folder("d", key=key)
    assert await home.make_folder("d", key=key) == first
    key = home.key()
    first = await home.put("f", b"x", key=key)
    assert await home.put("f", b"x", key=key) == first
    assert len((await home.remote.children(home.folder)).items) == 2


async def test_a_key_makes_a_repeated_change_one_effect(home: Home) -> None:
    item = await home.put("f", b"x")
    keys = [home.key() for _ in range(4)]
    for _ in range(2):
        written = await home.overwrite(item, b"y", key=keys[0])
    for _ in range(2):
        moved = await home.remote.move(
            item.item_id, written.metadata_version, home.folder, "g", replace=None, key=keys[1]
        )
    for _ in range(2):
        changed = await home.remote.set_attributes(
            item.item_id, moved.metadata_version, mode=0o600, mtime_ns=5, key=keys[2]
        )
    assert (await home.remote.children(home.folder)).items == [changed]
    for _ in range(2):
        await home.remote.remove(item.item_id, changed.metadata_version, key=keys[3])


async def test_a_key_is_for_one_request(home: Home) -> None:
    key = home.key()
    await home.make_folder("d", key=key)
    with pytest.raises(Refused):
        await home.make_folder("e", key=key)


async def test_the_feed_tells_the_newest_state_once_and_then_nothing(home: Home) -> None:
    anchor = await home.remote.newest_anchor()
    item = await home.put("f", b"1")
    other = await home.put("g", b"1")
    newest = await home.overwrite(item, b"22")
    assert await home.news(anchor) == [other, newest]
    assert await home.news(await home.remote.newest_anchor()) == []


async def test_changes_made_after_a_listing_are_in_the_feed_after_its_anchor(home: Home) -> None:
    await home.put("f", b"1")
    listing = await home.remote.children(home.folder)
    item = await home.put("g", b"1")
    assert item in await home.news(listing.anchor)


async def test_many_children_and_many_changes_come_in_pages(home: Home) -> None:
    anchor = await home.remote.newest_anchor()
    count = 1203 if home.remote.capabilities.keys_shared else 53  # no pages there, and a request or two for each
    names = [f"n{number:04}" for number in range(count)]
    limit = trio.Semaphore(8)

    async def make(name: str) -> None:
        async with limit:
            await home.make_folder(name)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(make, name)
    listing = await home.remote.children(home.folder)
    assert sorted(item.name for item in listing.items) == names
    assert len({row.item_id for row in await home.news(anchor)}) == count
    known = await home.remote.get_many([item.item_id for item in listing.items])
    assert known == {item.item_id: item for item in listing.items}


async def test_a_foreign_anchor_is_expired_and_a_fresh_one_is_told(home: Home) -> None:
    with pytest.raises(AnchorExpired) as caught:
        await home.remote.changes(Anchor("nonsense"))
    assert caught.value.fresh is not None
    assert (await home.remote.changes(caught.value.fresh)).changes == []


async def test_hints_come_on_connect_and_after_a_change_of_another_client(home: Home) -> None:
    seen, reached = trio.open_memory_channel[None](100)

    async def listen() -> None:
        async for _ in home.remote.hints(await home.remote.newest_anchor()):
            await seen.send(None)

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await reached.receive()
            await home.put("f", b"1", parent=home.there, remote=home.other)
            await reached.receive()
            nursery.cancel_scope.cancel()


async def test_writers_with_the_same_base_have_one_winner(home: Home) -> None:
    item = await home.put("f", b"0")
    won: list[Item] = []

    async def write(number: int) -> None:
        try:
            won.append(await home.overwrite(item, bytes([number])))
        except Conflict:
            return

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(write, number)
    assert [facts(row) for row in (await home.remote.children(home.folder)).items] == [facts(row) for row in won]


async def test_space_is_told(home: Home) -> None:
    space = await home.remote.space()
    assert 0 <= space.free <= space.total
    assert space.total > 0
