"""One suite for every Remote: what the engine may rely on. Each test has a folder of its own on a drive."""

from __future__ import annotations

from dataclasses import replace as with_
from typing import TYPE_CHECKING

import pytest
import trio

from cache.model import Anchor, Item, ItemId, Kind, Version
from sync.remote import (
    AnchorExpired,
    BadDigest,
    Conflict,
    Gone,
    NameRefused,
    NewFile,
    Overwrite,
    Refused,
    Remote,
    Replaced,
    Tombstone,
    VersionGone,
)
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from tests.contract.homes import Home

MTIME_NS = 1_600_000_000_123_456_789


def facts(item: Item) -> Item:
    """What every answer about one state must agree on."""
    return with_(item, capabilities=frozenset())


async def content(remote: Remote, item: Item, start: int = 0, stop: int | None = None) -> bytes:
    assert item.content_version is not None
    async with remote.read(item.item_id, item.content_version, start, item.size if stop is None else stop) as reader:
        data = b"".join([piece async for piece in reader])
        assert len(data) == reader.stop - reader.start
        return data


async def test_the_root_is_a_folder_without_parent_and_name(home: Home) -> None:
    root = await home.remote.root()
    assert (root.parent_id, root.name, root.kind, root.content_version) == (None, "", Kind.FOLDER, None)


async def test_a_new_file_is_told_whole_and_alike_everywhere(home: Home) -> None:
    before = await home.remote.newest_anchor()
    item = await home.put("a.txt", b"hello", mode=0o640, mtime_ns=MTIME_NS)
    assert (item.name, item.kind, item.size, item.mode, item.mtime_ns) == (
        "a.txt",
        Kind.FILE,
        5,
        0o640,
        MTIME_NS,
    )
    assert item.parent_id == home.folder
    assert item.digest == BytesSource(b"hello").digest
    listing = await home.remote.children(home.folder)
    assert [facts(row) for row in listing.items] == [facts(item)]
    assert (await home.remote.get_many([item.item_id]))[item.item_id] == item
    assert facts(item) in [facts(row) for row in await home.news(before) if isinstance(row, Item)]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_content_comes_back(home: Home, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    item = await home.put("f", data[:size])
    assert await content(home.remote, item) == data[:size]


async def test_ranges_tell_where_they_are(home: Home) -> None:
    item = await home.put("f", b"0123456789")
    assert item.content_version is not None
    async with home.remote.read(item.item_id, item.content_version, 3, 6) as reader:
        data = b"".join([piece async for piece in reader])
    whole = {(0, 10, 10): b"0123456789", (3, 6, 10): b"345"}
    assert whole[reader.start, reader.stop, reader.total] == data
    async with home.remote.read(item.item_id, item.content_version, 8, 50) as reader:
        assert reader.stop == 10


async def test_overwrite_keeps_the_id_and_changes_both_versions(home: Home) -> None:
    item = await home.put("f", b"one")
    assert item.content_version is not None
    newer = await home.overwrite(item, b"three")
    assert newer.item_id == item.item_id
    assert newer.content_version != item.content_version
    assert newer.metadata_version != item.metadata_version
    assert await content(home.remote, newer) == b"three"
    assert await content(home.other, newer, 1, 3) == b"hr"


async def test_a_replaced_version_stays_readable(home: Home) -> None:
    item = await home.put("f", b"one")
    await home.overwrite(item, b"three")
    assert await content(home.remote, item) == b"one"
    assert await content(home.remote, item, 1, 2) == b"n"


async def test_a_removed_files_content_stays_readable_for_open_handles(home: Home) -> None:
    item = await home.put("f", b"one")
    await home.remote.remove(item.item_id, item.metadata_version, key=home.key())
    assert await content(home.remote, item) == b"one"


async def test_hints_after_a_foreign_anchor_are_refused(home: Home) -> None:
    with pytest.raises(AnchorExpired):
        await anext(aiter(home.remote.hints(Anchor("nonsense"))))


async def test_an_unknown_version_is_gone_with_the_item_as_it_is(home: Home) -> None:
    item = await home.put("f", b"one")
    with pytest.raises(VersionGone) as caught:
        await content(home.remote, with_(item, content_version=Version("nonsense")))
    assert caught.value.current == item


async def test_a_stale_overwrite_conflicts_and_changes_nothing(home: Home) -> None:
    item = await home.put("f", b"one")
    newer = await home.overwrite(item, b"two")
    with pytest.raises(Conflict) as caught:
        await home.overwrite(item, b"other")
    assert caught.value.current == newer
    assert await content(home.remote, newer) == b"two"


async def test_a_new_file_never_replaces(home: Home) -> None:
    item = await home.put("f", b"one")
    with pytest.raises(Conflict) as caught:
        await home.put("f", b"two")
    assert caught.value.current == item
    assert await content(home.remote, item) == b"one"


async def test_a_folder_and_a_symlink_never_replace(home: Home) -> None:
    item = await home.put("f", b"one")
    with pytest.raises(Conflict) as caught:
        await home.make_folder("f")
    assert caught.value.current == item
    with pytest.raises(Conflict) as caught:
        await home.remote.make_symlink(home.folder, "f", target="x", mtime_ns=MTIME_NS, key=home.key())
    assert caught.value.current == item


async def test_a_symlink_keeps_its_target_and_time(home: Home) -> None:
    link = await home.remote.make_symlink(home.folder, "l", target="../ä b", mtime_ns=MTIME_NS, key=home.key())
    assert (link.kind, link.symlink_target, link.mtime_ns) == (Kind.SYMLINK, "../ä b", MTIME_NS)
    assert (await home.remote.children(home.folder)).items == [link]


async def test_a_folder_keeps_its_mode_and_time(home: Home) -> None:
    folder = await home.make_folder("d", mode=0o750, mtime_ns=MTIME_NS)
    assert (folder.kind, folder.mode, folder.mtime_ns, folder.digest) == (Kind.FOLDER, 0o750, MTIME_NS, None)
    assert (await home.remote.children(folder.item_id)).items == []


async def test_bytes_that_are_not_the_announced_ones_are_refused(home: Home) -> None:
    wrong = BytesSource(b"abc", digest=BytesSource(b"xyz").digest)
    with pytest.raises(BadDigest):
        await home.remote.put(NewFile(parent_id=home.folder, name="f"), wrong, mtime_ns=0, mode=0o644, key=home.key())
    short = BytesSource(b"abc", size=5)
    with pytest.raises(BadDigest):
        await home.remote.put(NewFile(parent_id=home.folder, name="g"), short, mtime_ns=0, mode=0o644, key=home.key())
    assert (await home.remote.children(home.folder)).items == []


@pytest.mark.parametrize(
    "name", ["%2F", "a b?#&+", "ünï", "e\u0301", "\u00e9", "🐟", "-", "con", "a\\b", "\n", "%", "x" * 255]
)
async def test_odd_names_come_back_exactly(home: Home, name: str) -> None:
    item = await home.put(name, b"x")
    folder = await home.make_folder("d")
    moved = await home.remote.move(
        item.item_id, item.metadata_version, folder.item_id, name, replace=None, key=home.key()
    )
    assert (item.name, moved.name) == (name, name)
    assert [row.name for row in (await home.other.children(folder.item_id)).items] == [name]


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
        lambda: home.put("c", b"x", parent=item.item_id),
        lambda: home.make_folder("c", parent=item.item_id),
        lambda: home.remote.move(
            other.item_id, other.metadata_version, item.item_id, "c", replace=None, key=home.key()
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


async def test_what_never_was_is_unknown_without_proof(home: Home) -> None:
    nothing = ItemId("never-was")
    assert await home.remote.get_many([nothing]) == {nothing: None}
    for refused in (
        lambda: home.remote.children(nothing),
        lambda: home.remote.remove(nothing, Version("v"), key=home.key()),
        lambda: home.put("x", b"", parent=nothing),
        lambda: content(home.remote, with_(fake_item(), item_id=nothing)),
    ):
        with pytest.raises(Gone) as caught:
            await refused()
        assert not caught.value.tombstone


def fake_item() -> Item:
    return Item(
        item_id=ItemId("x"),
        parent_id=None,
        name="x",
        kind=Kind.FILE,
        size=1,
        mode=0,
        mtime_ns=0,
        ctime_ns=0,
        content_version=Version("v"),
        metadata_version=Version("m"),
    )


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
    count = 1203
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

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await reached.receive()
            await home.put("f", b"1", remote=home.other)
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


async def test_a_download_may_be_left_early_and_the_next_request_is_fine(home: Home) -> None:
    item = await home.put("f", bytes(3_000_000))
    assert item.content_version is not None
    async with home.remote.read(item.item_id, item.content_version, 0, item.size) as reader:
        async for piece in reader:
            assert piece
            break
    assert len(await content(home.remote, item)) == item.size


async def test_overwriting_a_folder_is_refused(home: Home) -> None:
    folder = await home.make_folder("d")
    with pytest.raises((Conflict, Refused)):
        await home.remote.put(
            Overwrite(item_id=folder.item_id, base=Version("v")),
            BytesSource(b"x"),
            mtime_ns=0,
            mode=0o644,
            key=home.key(),
        )
    assert (await home.remote.children(home.folder)).items == [folder]
