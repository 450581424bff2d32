"""Hydration against a remote in memory: what is asked for, how often, and what a reader gets when it goes wrong."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from cache.db import inline
from cache.errors import NoSpaceLeft
from cache.model import ROOT_INO, Kind, NodeChanged, Version
from cache.store import LocalStore
from cache.tree import child
from sync import downloads
from sync import hydrator as hydration
from sync.absorb import Absorber
from sync.choices import Policy
from sync.growth import TOLD_AFTER_S, Growth
from sync.hydrator import Hydrator
from sync.planner import Conflicts
from sync.readahead import BLOCK_BYTES
from sync.remote import BadDigest, Unreachable, VersionGone
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.fakes.remote import FakeRemote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.opened import OpenContent

pytestmark = pytest.mark.virtual_time

MIB = 1 << 20
DATA = bytes(range(256)) * (8 * MIB // 256)


class Bench:
    """One file on a remote in memory, open here."""

    def __init__(self, drive: FakeDrive, remote: FakeRemote, store: LocalStore, hydrator: Hydrator) -> None:
        self.drive, self.remote, self.store, self.hydrator = drive, remote, store, hydrator
        self.news: list[NodeChanged] = []
        self.opened: OpenContent

    @property
    def reads(self) -> int:
        """Downloads asked for."""
        return self.remote.requests.count("read")

    async def quiet(self) -> None:
        """Return when no download runs any more."""
        with trio.fail_after(5):
            while self.opened.downloads:  # noqa: ASYNC110  # there is no event for that: nobody but a test wants it
                await trio.sleep(0.001)

    def held(self, start: int, stop: int) -> bytes:
        """What a reader would get."""
        return os.pread(self.opened.fd, stop - start, start)


@asynccontextmanager
async def bench(directory: Path, data: bytes = DATA, policy: Policy = Policy.PARTIAL) -> AsyncIterator[Bench]:
    drive = FakeDrive()
    item = drive.create(drive.root_id, "file", Kind.FILE, mode=0o644, mtime_ns=1, data=data)
    remote = FakeRemote(drive)
    store = LocalStore(directory, runner=inline)
    news: list[NodeChanged] = []
    growth = Growth(news.extend)
    hydrator = Hydrator(remote, store, news.extend, growth, policy)
    here = Bench(drive, remote, store, hydrator)
    here.news = news

    def know(connection: object) -> None:
        absorber = Absorber(connection, store.clock(), "host", Conflicts.COPY, store.aside)  # type: ignore[arg-type]
        absorber.root(drive.items[drive.root_id])
        absorber.item(item, unlisted_parent=True)

    await store.db.write(know)
    node = child(store.db.reader, ROOT_INO, "file")
    assert node is not None
    async with trio.open_nursery() as nursery:
        await nursery.start(hydrator.run)
        nursery.start_soon(growth.run)
        here.opened = await store.open_content(node)
        try:
            yield here
        finally:
            nursery.cancel_scope.cancel()
    store.opened.release(here.opened)
    await store.aclose()


async def test_many_readers_of_one_range_are_one_request(tmp_path: Path) -> None:
    async with bench(tmp_path) as here, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(here.hydrator.read, here.opened, 5 * MIB, 5 * MIB + 4096)
    assert here.reads == 1


async def test_partial_fetches_what_is_read_and_little_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        await here.hydrator.read(here.opened, 5 * MIB + 1, 5 * MIB + 4000)
        assert here.held(5 * MIB + 1, 5 * MIB + 4000) == DATA[5 * MIB + 1 : 5 * MIB + 4000]
        assert here.hydrator.statistics.bytes_down <= 2 * BLOCK_BYTES


async def test_progressive_brings_the_rest_behind_the_reader(tmp_path: Path) -> None:
    async with bench(tmp_path, policy=Policy.PROGRESSIVE) as here:
        await here.hydrator.read(here.opened, 0, 4096)
        with trio.fail_after(10):
            await here.hydrator.ensure(here.opened, 0, len(DATA))
        assert here.held(0, len(DATA)) == DATA
        assert here.reads == 1


async def test_the_rest_is_asked_for_when_the_reader_of_another_place_has_what_he_wants(tmp_path: Path) -> None:
    async with bench(tmp_path, policy=Policy.PROGRESSIVE) as here:
        await here.hydrator.read(here.opened, 6 * MIB, 6 * MIB + 4096)
        assert here.held(6 * MIB, 6 * MIB + 4096) == DATA[6 * MIB : 6 * MIB + 4096]
        assert here.reads == 1, "no stream of the background beside the reader's"
        await here.quiet()
        assert here.held(0, len(DATA)) == DATA


async def test_readers_do_not_hold_the_rest_back_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydration, "HELD_BACK_S", 0.01)
    monkeypatch.setattr(downloads, "YIELD_S", 0.001)
    async with bench(tmp_path, policy=Policy.PROGRESSIVE) as here:
        here.hydrator.filler.urgent += 1  # somebody reads, and goes on reading
        here.hydrator.begin(here.opened)
        await here.quiet()
        assert here.opened.whole


async def test_a_reader_from_the_beginning_takes_over_what_was_held_back(tmp_path: Path) -> None:
    async with bench(tmp_path, policy=Policy.PROGRESSIVE) as here:
        here.hydrator.filler.urgent += 1
        here.hydrator.begin(here.opened)
        await here.hydrator.read(here.opened, 0, 4096)
        with trio.fail_after(5):
            await here.hydrator.ensure(here.opened, 0, len(DATA))
        assert here.held(0, len(DATA)) == DATA
        assert here.reads == 1


@pytest.mark.parametrize("policy", [Policy.PARTIAL, Policy.PROGRESSIVE])
async def test_a_mistake_of_ours_in_a_download_is_its_readers_error_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, policy: Policy
) -> None:
    async with bench(tmp_path, policy=policy) as here:
        with monkeypatch.context() as broken:
            broken.setattr(downloads, "_gaps", lambda *_: 1 // 0)
            with pytest.raises(OSError, match="ZeroDivisionError"):
                await here.hydrator.read(here.opened, 0, 4096)
            await here.quiet()
        await here.hydrator.read(here.opened, 0, 4096)
        assert here.held(0, 4096) == DATA[:4096]
    assert "a download failed" in caplog.text
    caplog.clear()


async def test_a_cut_download_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        here.remote.inject(Fault(operation="read", cut_after_bytes=3 * MIB))
        await here.hydrator.ensure(here.opened, 0, len(DATA))
        assert here.held(0, len(DATA)) == DATA
        assert here.reads == 2
        assert here.hydrator.statistics.bytes_down == len(DATA)


async def test_a_whole_answer_to_a_range_is_not_spliced_in_at_the_wrong_place(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        here.remote.inject(Fault(operation="read", whole=True))
        await here.hydrator.ensure(here.opened, 4 * MIB, 5 * MIB)
        assert here.held(4 * MIB, 5 * MIB) == DATA[4 * MIB : 5 * MIB]


@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_bytes_that_are_not_what_was_announced_are_never_kept(tmp_path: Path, size: int) -> None:
    async with bench(tmp_path, data=DATA[:size]) as here:
        here.opened.digest = "sha-256:" + "0" * 64
        with suppress(BadDigest):  # a small file is checked before a byte is served, a large one at its end
            await here.hydrator.ensure(here.opened, 0, size)
        await here.quiet()
        with pytest.raises(BadDigest):
            await here.hydrator.ensure(here.opened, 0, size)
        assert not here.opened.holds(0, size)


async def test_who_wants_all_of_a_file_is_told_when_it_is_not_what_was_announced(tmp_path: Path) -> None:
    async with bench(tmp_path, data=DATA[: 3 * MIB]) as here:
        here.opened.digest = "sha-256:" + "0" * 64
        with pytest.raises(BadDigest):
            await here.hydrator.fill(here.opened)


async def test_a_file_that_came_is_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stream does so, and who wants all of it."""
    compared = []

    async def digest_of(*arguments: int) -> tuple[int, str]:
        compared.append(arguments)
        return await digest(*arguments)

    digest = downloads.digest_of
    monkeypatch.setattr(downloads, "digest_of", digest_of)
    async with bench(tmp_path) as here:
        here.opened.digest = f"sha-256:{hashlib.sha256(DATA).hexdigest()}"
        await here.hydrator.fill(here.opened)
        await here.quiet()
        assert len(compared) == 1
        assert here.opened.hashed


async def test_a_reader_of_a_version_that_is_gone_gets_an_error_not_other_bytes(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        item = here.drive.at("file")
        here.drive.overwrite(item.item_id, Version(str(item.content_version)), b"new" * MIB, mode=0o644, mtime_ns=2)
        here.drive.drop_versions()
        with pytest.raises(VersionGone):
            await here.hydrator.read(here.opened, 0, 4096)
        assert not here.opened.resident


async def test_a_version_that_the_remote_retains_is_served_to_its_handle(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        item = here.drive.at("file")
        here.drive.overwrite(item.item_id, Version(str(item.content_version)), b"new" * MIB, mode=0o644, mtime_ns=2)
        await here.hydrator.read(here.opened, MIB, 2 * MIB)
        assert here.held(MIB, 2 * MIB) == DATA[MIB : 2 * MIB]


async def test_a_read_that_nobody_answers_ends(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        here.remote.inject(Fault(operation="read", gate=trio.Event()))
        began = trio.current_time()
        with pytest.raises(Unreachable):
            await here.hydrator.read(here.opened, 0, 4096)
        assert trio.current_time() - began <= hydration.WAIT_DEADLINE_S + 1


async def test_blocks_that_arrived_are_told_to_the_kernel_late_and_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as here:
        for start in (0, 2 * MIB):
            await here.hydrator.read(here.opened, start, start + 4096)
            await here.quiet()
        assert here.news == []
        await trio.sleep(TOLD_AFTER_S + 0.1)
        assert here.news == [NodeChanged(here.opened.ino)]


@pytest.mark.parametrize("policy", [Policy.PARTIAL, Policy.PROGRESSIVE])
async def test_a_catalog_without_room_fails_the_read_not_the_mount(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_opened: OpenContent) -> None:
        raise NoSpaceLeft("no room for the catalog")

    async with bench(tmp_path, policy=policy) as here:
        with monkeypatch.context() as patch:
            patch.setattr(here.store, "separate", full)
            with pytest.raises(NoSpaceLeft):
                await here.hydrator.read(here.opened, 0, 4096)
        await here.hydrator.read(here.opened, 0, 4096)
        assert here.held(0, 4096) == DATA[:4096]


async def test_zeros_take_no_room_and_nothing_earlier_shows_through(tmp_path: Path) -> None:
    data = DATA[:MIB] + bytes(2 * MIB) + DATA[3 * MIB :]
    async with bench(tmp_path, data) as here:
        os.pwrite(here.opened.fd, b"an earlier life", 2 * MIB)
        await here.hydrator.ensure(here.opened, 0, len(data))
        assert here.held(0, len(data)) == data
        assert os.fstat(here.opened.fd).st_blocks * 512 <= len(data) - 2 * MIB + (64 << 10)
