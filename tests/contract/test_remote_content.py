"""One suite for every Remote: files, folders, symlinks and their content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace as with_

from cache.model import Item, Kind, Version
from sync.remote import (
    BadDigest,
    Conflict,
    NewFile,
    Overwrite,
    Refused,
    VersionGone,
)
from tests.contract.homes import MTIME_NS, content, facts
from tests.contract.offers import lacks, needs
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from tests.contract.homes import Home


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
    if not (size or home.remote.capabilities.empty_files):
        with pytest.raises(Refused):
            await home.put("f", b"")
        assert not (await home.other.children(home.there)).items
        return
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
    assert await content(home.other, await home.seen(newer), 1, 3) == b"hr"


async def test_a_file_may_be_emptied_or_stays_as_it_was(home: Home) -> None:
    item = await home.put("f", b"one")
    if not home.remote.capabilities.empty_files:
        with pytest.raises(Refused):
            await home.overwrite(item, b"")
        assert await content(home.remote, item) == b"one"
        return
    empty = await home.overwrite(item, b"")
    assert (empty.size, await content(home.remote, empty)) == (0, b"")


async def test_a_replaced_version_stays_readable_or_is_gone(home: Home) -> None:
    item = await home.put("f", b"one")
    newer = await home.overwrite(item, b"three")
    if home.remote.capabilities.old_versions_readable:
        assert await content(home.remote, item) == b"one"
        assert await content(home.remote, item, 1, 2) == b"n"
        return
    with pytest.raises(VersionGone) as caught:
        await content(home.remote, item)
    assert caught.value.current == newer


@needs("old_versions_readable")
async def test_a_removed_files_content_stays_readable_for_open_handles(home: Home) -> None:
    item = await home.put("f", b"one")
    await home.remote.remove(item.item_id, item.metadata_version, key=home.key())
    assert await content(home.remote, item) == b"one"


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
    if home.remote.capabilities.symlinks:
        with pytest.raises(Conflict) as caught:
            await home.remote.make_symlink(home.folder, "f", target="x", mtime_ns=MTIME_NS, key=home.key())
        assert caught.value.current == item


@lacks("symlinks")
async def test_a_symlink_is_refused_where_there_are_none(home: Home) -> None:
    with pytest.raises(Refused):
        await home.remote.make_symlink(home.folder, "l", target="x", mtime_ns=MTIME_NS, key=home.key())


@needs("symlinks")
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
