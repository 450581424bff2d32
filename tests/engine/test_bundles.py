"""Small contents that arrive together share a file: read, changed, evicted, damaged and lost one by one."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio

from cache import bundles, contents, dropped, durability, fsck
from cache.bundles import Bundles
from cache.clearing import clear
from cache.db import Database, inline
from cache.inspection import inspect
from cache.model import Bundled, BundleId
from cache.store import LocalStore
from tests.engine.machine import Machine, body, file_of, flat, machine, until
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cache.model import Content, Ino

FILES = 10


async def gathered(here: Machine) -> list[Ino]:
    """Files that were brought in one request."""
    inos = [entry.attributes.ino for entry in await here.entries(await here.ino("many"))]
    await here.engine.prefetcher.bring(inos)
    return inos


def content_of(here: Machine, ino: Ino) -> Content:
    node = here.filesystem._node(ino)
    assert node.content_id is not None
    return here.store.content(node.content_id)


def bundled(here: Machine, ino: Ino) -> Bundled:
    place = content_of(here, ino).bundled
    assert place is not None
    return place


def disk_bytes(here: Machine, bundle_id: BundleId) -> int:
    return (here.store.directory / "blobs" / "bundles" / str(bundle_id)).stat().st_blocks * 512


async def at_rest(here: Machine) -> None:
    await until(lambda: not len(here.store.opened))
    await here.store.save()
    assert fsck.examine(here.store.db.reader, here.store.blobs, deep=True) == []


async def test_what_arrives_together_is_in_one_file_and_reads_as_it_is(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        assert len({bundled(here, ino).bundle_id for ino in inos}) == 1
        assert list(here.store.blobs.ids()) == []
        assert [await here.read(ino) for ino in inos] == [body(number) for number in range(FILES)]
        assert here.asked("read") == 0
        await at_rest(here)
    assert inspect(tmp_path, verify=True).verified_files == FILES
    assert fsck.check(tmp_path, deep=True) == []


async def test_a_large_one_among_them_has_a_blob_of_its_own(tmp_path: Path) -> None:
    drive = flat(FILES)
    large = b"l" * (bundles.BUNDLED_MAX_BYTES + 1)
    file_of(drive, drive.root_id, "large", large)
    async with machine(tmp_path, drive) as here:
        small, ino = await here.ino("many/f00000"), await here.ino("large")
        await here.engine.prefetcher.bring([small, await here.ino("many/f00001"), ino])
        assert bundled(here, small).start == 0
        assert content_of(here, ino).bundled is None
        assert await here.read(ino) == large


async def test_one_that_is_written_to_leaves_the_others_alone(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        reader = (await here.filesystem.open(inos[3], os.O_RDONLY)).fh
        writer = (await here.filesystem.open(inos[3], os.O_RDWR)).fh
        await here.filesystem.write(writer, 1, b"changed")
        expected = body(3)[:1] + b"changed" + body(3)[8:]
        assert bytes(await here.filesystem.read(reader, 0, 1 << 20)) == expected
        assert content_of(here, inos[3]).bundled is None
        assert here.store.blobs.is_marked(content_of(here, inos[3]).content_id)
        await here.filesystem.release(writer)
        await here.filesystem.release(reader)
        assert await here.read(inos[3]) == expected
        assert [await here.read(ino) for ino in inos[:3] + inos[4:]] == [body(at) for at in range(FILES) if at != 3]
        await at_rest(here)


async def test_a_bundle_whose_every_content_was_changed_goes(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        bundle_id = bundled(here, inos[0]).bundle_id
        for ino in inos[1:]:
            writer = (await here.filesystem.open(ino, os.O_RDWR)).fh
            await here.filesystem.write(writer, 0, b"changed")
            await here.filesystem.release(writer)
        await until(lambda: not len(here.store.opened))
        await here.store.save()
        assert disk_bytes(here, bundle_id) == 4096
        writer = (await here.filesystem.open(inos[0], os.O_RDWR)).fh
        await here.filesystem.write(writer, 0, b"changed")
        assert list(here.store.blobs.bundles.ids()) == [bundle_id], "somebody may be reading there"
        await here.filesystem.release(writer)
        await at_rest(here)
        assert list(here.store.blobs.bundles.ids()) == []
        await here.store.save()  # which tells the catalog so
        assert dropped.every(here.store.db.reader) == []
        assert [await here.read(ino) for ino in inos] == [b"changed" + body(at)[7:] for at in range(FILES)]


async def test_who_is_killed_after_a_content_left_its_bundle_finds_it_gone(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        for ino in inos:
            opened = await here.store.open_content(here.filesystem._node(ino))
            await here.store.separate(opened)
            here.store.opened.release(opened)
        assert len(dropped.every(here.store.db.reader)) == FILES
        (bundle_id,) = here.store.blobs.bundles.ids()
        with closing(sqlite3.connect(tmp_path / "as-killed.db")) as kept:
            here.store.db.reader.backup(kept)
    (tmp_path / "as-killed.db").replace(tmp_path / "state.db")
    (tmp_path / "blobs" / "bundles" / str(bundle_id)).touch()
    store = LocalStore(tmp_path, runner=inline)
    try:
        assert list(store.blobs.bundles.ids()) == []
        assert dropped.every(store.db.reader) == []
        assert fsck.examine(store.db.reader, store.blobs, deep=True) == []
    finally:
        await store.aclose()


async def test_names_that_the_disk_did_not_keep_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        raise OSError(errno.EIO, "the disk would not")

    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        monkeypatch.setattr(here.store.blobs.bundles, "sync_names", failing)
        await here.store.durability.sync_all()
        monkeypatch.undo()
        assert [here.store.resident_bytes(here.filesystem._node(ino)) for ino in inos] == [0] * FILES
        assert [await here.read(ino) for ino in inos] == [body(at) for at in range(FILES)]
        await at_rest(here)


async def test_one_that_is_emptied_leaves_the_others_alone(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        reader = (await here.filesystem.open(inos[1], os.O_RDONLY)).fh
        writer = (await here.filesystem.open(inos[1], os.O_WRONLY | os.O_TRUNC)).fh
        await here.filesystem.write(writer, 0, b"new")
        assert bytes(await here.filesystem.read(reader, 0, 100)) == b"new"
        await here.filesystem.release(writer)
        await here.filesystem.release(reader)
        assert [await here.read(ino) for ino in inos[2:]] == [body(at) for at in range(2, FILES)]
        await at_rest(here)


async def test_the_room_of_one_that_is_evicted_is_given_back_and_the_file_goes_with_the_last(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        bundle_id = bundled(here, inos[0]).bundle_id
        assert disk_bytes(here, bundle_id) == FILES * 4096
        assert await here.engine.evictor.evict(inos[0]) == 4096
        assert disk_bytes(here, bundle_id) == (FILES - 1) * 4096
        assert await here.read(inos[1]) == body(1)
        assert await here.read(inos[0]) == body(0)
        await until(lambda: not len(here.store.opened))
        for ino in inos:
            await here.engine.evictor.evict(ino)
        assert list(here.store.blobs.bundles.ids()) == []
        await at_rest(here)


async def test_a_bundle_that_the_disk_did_not_keep_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_bundle_id: BundleId) -> None:
        raise OSError(errno.EIO, "the disk would not")

    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        reader = (await here.filesystem.open(inos[0], os.O_RDONLY)).fh
        monkeypatch.setattr(here.store.blobs.bundles, "sync", failing)
        await here.store.durability.sync_all()
        monkeypatch.undo()
        assert here.store.resident_bytes(here.filesystem._node(inos[5])) == 0
        assert bytes(await here.filesystem.read(reader, 0, 1 << 20)) == body(0)
        await here.filesystem.release(reader)
        assert [await here.read(ino) for ino in inos] == [body(at) for at in range(FILES)]
        assert here.asked("read") == FILES
        assert content_of(here, inos[5]).bundled is None
        await at_rest(here)


async def test_synced_once_all_of_them_are_durable(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        synced: list[BundleId] = []
        sync = here.store.blobs.bundles.sync
        here.store.blobs.bundles.sync = lambda each: synced.append(each) or sync(each)  # type: ignore[assignment,func-returns-value,method-assign]
        await here.store.durability.sync_all()
        assert synced == [bundled(here, inos[0]).bundle_id]
        assert all(content_of(here, ino).durable for ino in inos)


async def test_a_bundle_that_was_cut_is_fetched_again_as_far_as_it_is_gone(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        place = bundled(here, inos[6])
        os.truncate(here.store.directory / "blobs" / "bundles" / str(place.bundle_id), place.start + 100)
        assert [await here.read(ino) for ino in inos] == [body(at) for at in range(FILES)]
        assert here.asked("read") == FILES - 6
        await at_rest(here)


async def test_a_full_disk_is_not_left_with_a_part_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: memoryview) -> int:
        if len(data) < FILES * 4096:
            raise OSError(errno.ENOSPC, "no room")
        return os.pwrite(fd, data[:4096], 0)

    async with machine(tmp_path, flat(FILES)) as here:
        sizes = [body(number) for number in range(FILES)]
        monkeypatch.setattr(bundles.os, "write", full)
        with pytest.raises(OSError, match="no room"):
            here.store.blobs.bundles.write(BundleId(1000), sizes)
        assert BundleId(1000) not in set(here.store.blobs.bundles.ids())


async def test_what_the_remote_no_longer_knows_is_put_aside_out_of_a_bundle(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        kept = here.store.aside.keep_bytes(content_of(here, inos[2]), "/many/f00002", 0)
        await here.engine.evictor.evict(inos[2])
        assert kept.read_bytes() == body(2)


async def test_who_is_killed_between_leaves_nothing(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        first, second = bundled(here, inos[0]), bundled(here, inos[1])
        newest = contents.newest(here.store.db.reader)
        here.store.blobs.bundles.write(BundleId(newest + 1), [b"never committed"])
        evicted = content_of(here, inos[1])
        await here.store.db.write(lambda connection: contents.delete(connection, evicted.content_id))
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        assert [each.bundled for each in dropped.every(connection)] == [second]
    store = LocalStore(tmp_path, runner=inline)
    try:
        assert list(store.blobs.bundles.ids()) == [first.bundle_id]
        assert (tmp_path / "blobs" / "bundles" / str(first.bundle_id)).stat().st_blocks * 512 == (FILES - 1) * 4096
        assert fsck.examine(store.db.reader, store.blobs, deep=True) == []
    finally:
        await store.aclose()


class Cuts:
    """Looks at each hole in a bundle: could a power loss bring a row back that tells of what was there?"""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holes = 0
        self._unsynced = False
        write, give_back = Database.write_now, Bundles.give_back

        def write_now(db: Database, change: Callable[[sqlite3.Connection], object], *, durable: bool = False) -> object:
            done = write(db, change, durable=durable)
            self._unsynced = not durable
            return done

        def hole(bundles: Bundles, place: Bundled, size: int) -> None:
            assert not self._unsynced, "the row may come back, and find zeros"
            self.holes += 1
            give_back(bundles, place, size)

        monkeypatch.setattr(Database, "write_now", write_now)
        monkeypatch.setattr(Bundles, "give_back", hole)


async def test_room_is_given_back_when_no_power_loss_can_bring_its_row_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = Cuts(monkeypatch)
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        await here.engine.evictor.evict(inos[0])
        assert cuts.holes == 1
        for ino in inos[1:3]:
            opened = await here.store.open_content(here.filesystem._node(ino))
            await here.store.separate(opened)
            here.store.opened.release(opened)
            if ino == inos[1]:
                await at_rest(here)
                assert cuts.holes == 2
        here.store._loose.clear()  # as of one that is killed before it is looked at
    store = LocalStore(tmp_path, runner=inline)
    assert cuts.holes == 3
    await store.aclose()
    await clear(tmp_path)
    assert fsck.check(tmp_path) == []


async def test_programs_wait_for_no_sync_while_contents_of_a_bundle_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes to the catalog waits for a durable commit of others: the rooms of many go with one, when it is due."""
    for interval in ("SYNC_INTERVAL_S", "DIRTY_SYNC_INTERVAL_S"):  # due at once, and not again while this runs
        monkeypatch.setattr(durability, interval, 3600.0)
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        many = await here.ino("many")
        synced: list[bool] = []
        write = Database.write_now

        def write_now(db: Database, change: Callable[[sqlite3.Connection], object], *, durable: bool = False) -> object:
            synced.extend([True] if durable else [])
            return write(db, change, durable=durable)

        monkeypatch.setattr(Database, "write_now", write_now)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.store.run_janitor)
            here.store.tidy([])
            for number, ino in enumerate(inos):
                held = content_of(here, ino).content_id
                await here.filesystem.unlink(many, f"f{number:05}")
                await until(lambda held=held: not contents.exists(here.store.db.reader, held))  # type: ignore[misc]
            assert len(synced) < FILES / 2
            nursery.cancel_scope.cancel()
        monkeypatch.undo()
        await here.store.save()
        assert list(here.store.blobs.bundles.ids()) == []
        await at_rest(here)


async def test_others_have_their_turn_while_the_room_of_many_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "GONE_TOGETHER", 2)
    async with machine(tmp_path, flat(FILES)) as here:
        inos = await gathered(here)
        turns, seen = [0], set[int]()
        give_back = Bundles.give_back

        def hole(bundles: Bundles, place: Bundled, size: int) -> None:
            seen.add(turns[0])
            give_back(bundles, place, size)

        async def another() -> None:
            while True:
                await trio.lowlevel.checkpoint()
                turns[0] += 1

        monkeypatch.setattr(Bundles, "give_back", hole)
        chosen = {content_of(here, ino).content_id: ino for ino in inos[1:]}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(another)
            await here.engine.evictor.drop(chosen)
            nursery.cancel_scope.cancel()
        assert len(seen) > 2, "of five pieces two may follow each other before the other task has its turn"
        await at_rest(here)
        assert disk_bytes(here, bundled(here, inos[0]).bundle_id) == 4096


async def test_whoever_reads_what_is_emptied_reads_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader in a worker has the old descriptor; the bytes were doubted meanwhile, so they are not taken along."""
    cuts = Cuts(monkeypatch)
    async with machine(tmp_path, flat(FILES)) as here:
        ino = (await gathered(here))[4]
        place = bundled(here, ino)
        fh = (await here.filesystem.open(ino, os.O_RDWR)).fh
        opened = here.filesystem.files.handles.file(fh).opened
        opened.resident = ()
        reading = opened.fd
        await here.filesystem.setattr(ino, AttributeChange(size=0), fh)
        await here.store.save()
        assert os.pread(reading, 4096, place.start) == body(4)
        assert cuts.holes == 0
        await here.filesystem.release(fh)
        await at_rest(here)
        assert cuts.holes == 1


async def test_a_cache_that_is_cleared_holds_no_bundle(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        await gathered(here)
    assert (await clear(tmp_path)).files == FILES
    assert list((tmp_path / "blobs" / "bundles").iterdir()) == []


async def test_a_damaged_catalog_leaves_no_bundle_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with machine(tmp_path, flat(FILES)) as here:
        await gathered(here)
    (tmp_path / "state.db").write_bytes(b"no catalog at all")
    store = LocalStore(tmp_path, runner=inline)
    assert list(store.blobs.bundles.ids()) == []
    assert "damaged" in caplog.text
    await store.aclose()
