"""Contents that arrive ahead of a walk: few requests, no wrong byte, nobody left waiting, little for nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache import fsck
from sync import prefetch
from sync.capabilities import Capabilities, Feature
from sync.remote import BadDigest, Refused, Unreachable
from sync.traversal import BATCH_MIN
from tests.engine.machine import Machine, body, file_of, flat, forest, machine, until
from tests.fakes.faults import Fault
from tests.fakes.remote import FakeRemote

if TYPE_CHECKING:
    from pathlib import Path

    from cache.model import Ino
    from tests.fakes.drive import FakeDrive

pytestmark = pytest.mark.virtual_time  # what is counted depends on no clock


async def files(made: Machine, path: str = "many") -> list[Ino]:
    return [entry.attributes.ino for entry in await made.entries(await made.ino(path))]


async def quiet(made: Machine) -> None:
    """No batch is under way any more."""
    await trio.testing.wait_all_tasks_blocked()
    await until(lambda: made.engine.prefetcher.coming == 0 and len(made.store.opened) == 0)


async def test_a_walk_of_300_files_takes_few_requests(tmp_path: Path) -> None:
    drive = flat(300)
    async with machine(tmp_path, drive) as made:
        found = await made.walk()
        assert found == drive.tree()
        assert made.asked("read") <= 2
        assert made.asked("read_many") <= 8
        asked = [item_id for batch in made.remote.batches for item_id in batch]
        assert len(asked) == len(set(asked))
        assert made.engine.statistics().bytes_down == 300 * 4096


async def test_a_walk_goes_on_into_the_next_folders(tmp_path: Path) -> None:
    drive = forest(30, 10)
    async with machine(tmp_path, drive) as made:
        await made.walk(read=False)
        assert await made.walk() == drive.tree()
        assert made.asked("read") <= 4
        assert made.asked("read_many") <= 12


async def test_two_files_are_followed_by_no_more_than_a_small_batch(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(200)) as made:
        inos = await files(made)
        await made.read(inos[0])
        await quiet(made)
        assert made.remote.batches == []
        await made.read(inos[1])
        await quiet(made)
        assert [len(batch) for batch in made.remote.batches] == [BATCH_MIN]


async def test_files_opened_without_an_order_bring_little(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(400)) as made:
        inos = await files(made)
        for at in (300, 20, 211, 117, 389, 4, 250, 160, 333, 90):
            assert await made.read(inos[at]) == body(at)
            await quiet(made)
        assert sum(map(len, made.remote.batches)) <= 6 * BATCH_MIN


async def in_flight(made: Machine) -> tuple[list[Ino], Fault]:
    """A walk's first batch is at the server's door; its files, and what holds it there."""
    inos = await files(made)
    fault = made.remote.inject(Fault(operation="read_many", gate=trio.Event()))
    assert await made.read(inos[0]) == body(0)
    assert await made.read(inos[1]) == body(1)
    await fault.reached.wait()
    return inos, fault


async def test_who_needs_a_file_that_is_in_a_batch_waits_for_it(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(60)) as made, trio.open_nursery() as nursery:
        inos, fault = await in_flight(made)
        got: list[bytes] = []

        async def reader() -> None:
            got.append(await made.read(inos[5]))

        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        assert (got, made.asked("read")) == ([], 2)
        assert await made.read(inos[55]) == body(55)  # not in the batch: waits for nobody
        assert fault.gate is not None
        fault.gate.set()
        await until(lambda: bool(got))
        assert (got, made.asked("read")) == ([body(5)], 3)


async def test_who_needs_a_file_of_a_batch_that_stands_still_asks_by_himself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "PATIENCE_S", 0.05)
    async with machine(tmp_path, flat(60)) as made:
        inos, fault = await in_flight(made)
        before = made.asked("read")
        assert await made.read(inos[BATCH_MIN]) == body(BATCH_MIN)
        assert made.asked("read") == before + 1
        assert made.engine.prefetcher.coming >= BATCH_MIN
        assert fault.gate is not None
        fault.gate.set()
        await quiet(made)
        assert await made.read(inos[BATCH_MIN]) == body(BATCH_MIN)


async def test_a_batch_that_is_cut_fails_nobody(tmp_path: Path) -> None:
    drive = flat(60)
    async with machine(tmp_path, drive) as made:
        made.remote.inject(Fault(operation="read_many", cut_after_bytes=3 * 4096))
        made.remote.inject(Fault(operation="read_many", before=Unreachable()))
        assert await made.walk() == drive.tree()


async def test_a_mistake_of_ours_in_a_batch_ends_the_batch_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sync.prefetch._is_right", lambda _whole: 1 // 0)
    drive = flat(60)
    async with machine(tmp_path, drive) as made:
        assert await made.walk() == drive.tree()
        assert made.asked("read_many") <= 2, "as many as are under way at a time"
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


async def test_of_an_empty_file_there_is_nothing_to_fetch(tmp_path: Path) -> None:
    drive = flat(2)
    file_of(drive, drive.root_id, "empty", b"")
    async with machine(tmp_path, drive) as made:
        inos = [await made.ino("empty"), *await files(made)]
        await made.engine.prefetcher.bring(inos)
        assert await made.read(inos[0]) == b""
        assert fsck.examine(made.store.db.reader, made.store.blobs, deep=True) == []


@pytest.mark.parametrize("retain", [True, False])
async def test_a_file_changed_while_in_a_batch_is_not_served_old(tmp_path: Path, retain: bool) -> None:
    drive = flat(60, retain=retain)
    async with machine(tmp_path, drive) as made:
        inos, fault = await in_flight(made)
        item = drive.at("many/f00005")
        assert item.content_version is not None
        drive.overwrite(item.item_id, item.content_version, b"new" * 500, mode=0o644, mtime_ns=2)
        await made.engine.puller.pull()
        assert fault.gate is not None
        fault.gate.set()
        await quiet(made)
        assert await made.read(inos[5]) == b"new" * 500
        assert await made.read(inos[6]) == body(6)


async def test_a_file_edited_while_in_a_batch_keeps_the_edit(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(60)) as made:
        inos, fault = await in_flight(made)
        await made.filesystem.files.truncate(made.filesystem._node(inos[5]), 0, None)
        opened = await made.filesystem.open(inos[5], os.O_WRONLY)
        await made.filesystem.write(opened.fh, 0, b"mine")
        assert fault.gate is not None
        fault.gate.set()
        await until(lambda: not any(each.downloads for each in made.store.opened))
        await made.filesystem.release(opened.fh)
        assert await made.read(inos[5]) == b"mine"


async def test_wrong_bytes_are_not_published(tmp_path: Path) -> None:
    drive = flat(30)
    async with machine(tmp_path, drive) as made:
        inos = await files(made)
        item = drive.at("many/f00005")
        assert item.content_version is not None
        drive.bodies[item.item_id, item.content_version] = b"x" * item.size
        for at in range(5):
            assert await made.read(inos[at]) == body(at)
        with pytest.raises(BadDigest):
            await made.read(inos[5])
        assert await made.read(inos[6]) == body(6)


async def test_a_remote_without_batches_is_read_file_by_file(tmp_path: Path) -> None:
    drive = flat(20)
    remote = FakeRemote(drive)
    remote.capabilities = Capabilities(features=frozenset({Feature.DESCENDANTS}))
    async with machine(tmp_path, drive, remote) as made:
        assert await made.walk() == drive.tree()
        assert (made.asked("read"), made.asked("read_many")) == (20, 0)


async def test_a_remote_that_refuses_batches_is_not_asked_again(tmp_path: Path) -> None:
    drive = flat(40)
    async with machine(tmp_path, drive) as made:
        made.remote.adversary = lambda operation: (
            Fault(before=Refused("what is that?")) if operation == "read_many" else None
        )
        assert await made.walk() == drive.tree()
        assert made.asked("read_many") <= 2, "as many as are under way at a time"


async def test_nothing_is_fetched_beyond_the_room_of_the_cache(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(200), cache_bytes=10 * 4096) as made:
        inos = await files(made)
        for at in range(3):
            await made.read(inos[at])
        await quiet(made)
        assert 1 <= sum(map(len, made.remote.batches)) <= 9


async def test_what_was_fetched_ahead_is_evicted_like_anything_else(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(60)) as made:
        inos = await files(made)
        for at in range(2):
            await made.read(inos[at])
        await quiet(made)
        assert (await made.engine.evict(inos[5])).freed_bytes == 4096
        assert await made.read(inos[5]) == body(5)


async def test_leaving_in_mid_batch_lets_everything_go(tmp_path: Path) -> None:
    drive: FakeDrive = flat(60)
    async with machine(tmp_path, drive) as made:
        await in_flight(made)
        assert made.engine.prefetcher.coming >= BATCH_MIN
    assert made.engine.prefetcher.coming == 0
    assert len(made.store.opened) == 0
