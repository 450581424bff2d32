"""fsync by itself: a sync that failed is never called durable by a later one that went well."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from cache import contents
from cache.errors import NoSpaceLeft
from cache.model import Kind
from tests.fakes.drive import FakeDrive
from tests.harness.waiting import DEADLINE_S
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import ContentId


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """/held "bytes", which is here."""
    drive = FakeDrive()
    drive.create(drive.root_id, "held", Kind.FILE, mode=0o644, mtime_ns=5, data=b"bytes")
    machine = Machine("ann", drive, tmp_path / "ann")
    await machine.begin()
    async with machine.running():
        await machine.read_all()
        await machine.store.save()
        yield machine
    machine.remove()


def fail_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sync of bytes fails; the kernel tells that once."""
    sync = machine.store.blobs.sync

    def failing(_fd: int) -> None:
        monkeypatch.setattr(machine.store.blobs, "sync", sync)
        raise OSError(errno.EIO, "the disk would not")

    monkeypatch.setattr(machine.store.blobs, "sync", failing)


async def test_a_programs_fsync_fails_until_the_remote_has_the_bytes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ino = machine.at("/held").ino
    fh = (await machine.filesystem.open(ino, os.O_RDWR)).fh
    await machine.filesystem.write(fh, 0, b"mine!")
    fail_once(machine, monkeypatch)
    for _ in range(2):
        with pytest.raises(OSError, match="would not"):
            await machine.filesystem.fsync(fh, False)
    assert (await machine.filesystem.read(fh, 0, 9)) == b"mine!"
    await machine.filesystem.release(fh)
    await machine.store.durability.sync_all()
    content = contents.get(machine.store.db.reader, machine.at("/held").content_id or 0)  # type: ignore[arg-type]
    assert content is not None
    assert content.dirty
    assert not content.durable
    assert await machine.push_all()
    assert machine.drive.tree()["/held"] == b"mine!"
    await machine.write(ino, 0, b"again")
    fh = (await machine.filesystem.open(ino, os.O_RDWR)).fh
    await machine.filesystem.fsync(fh, False)
    await machine.filesystem.release(fh)


async def test_unsent_bytes_that_the_disk_refused_are_fetched_again_when_the_remote_has_them(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ino = machine.at("/held").ino
    await machine.write(ino, 0, b"mine!")
    fail_once(machine, monkeypatch)
    await machine.store.durability.sync_all()
    assert await machine.push_all()
    await machine.store.durability.sync_all()
    assert machine.store.resident_bytes(machine.at("/held")) == 0
    assert await machine.read(ino) == b"mine!"


async def test_what_is_still_to_be_told_of_bytes_that_the_disk_refused_is_not_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = machine.at("/held")
    machine.store.untold._resident[node.content_id] = ((0, 5),)  # type: ignore[index]
    fail_once(machine, monkeypatch)
    await machine.store.durability.sync_all()
    await machine.store.save()
    assert machine.store.resident_bytes(machine.at("/held")) == 0


async def test_what_could_not_be_made_sure_of_is_tried_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full() -> None:
        raise NoSpaceLeft("no room for the catalog")

    await machine.create("/new", b"content")
    content_id = machine.at("/new").content_id
    await machine.filesystem.unlink(*machine.place("/new"))
    with monkeypatch.context() as patch:
        patch.setattr(machine.store.db, "make_durable", full)
        with pytest.raises(NoSpaceLeft):
            await machine.store.save()
    assert await machine.store.durability.delete_gone() == [content_id]


async def test_clean_bytes_that_the_disk_refused_are_fetched_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once(machine, monkeypatch)
    await machine.store.durability.sync_all()
    node = machine.at("/held")
    assert machine.store.resident_bytes(node) == 0
    before = machine.remote.requests.count("read")
    assert await machine.read(node.ino) == b"bytes"
    assert machine.remote.requests.count("read") == before + 1


async def test_bytes_whose_names_the_disk_refused_are_fetched_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_name = machine.store.blobs.sync_name

    def failing(_content_id: ContentId) -> None:
        monkeypatch.setattr(machine.store.blobs, "sync_name", sync_name)
        raise OSError(errno.EIO, "the disk would not")

    monkeypatch.setattr(machine.store.blobs, "sync_name", failing)
    for _ in range(2):
        await machine.store.durability.sync_all()
        assert machine.store.resident_bytes(machine.at("/held")) == 0


async def test_unsent_bytes_are_durable_soon_without_anybody_asking(machine: Machine) -> None:
    await machine.create("/new", b"content")
    await machine.store.durability.sync_all(dirty_only=True)
    (durable, once) = machine.store.db.reader.execute(
        "SELECT durable, was_durable FROM content WHERE dirty = 1"
    ).fetchone()
    assert (durable, once) == (1, 1)
    await machine.write(machine.at("/new").ino, 0, b"changed")
    (durable, once) = machine.store.db.reader.execute(
        "SELECT durable, was_durable FROM content WHERE dirty = 1"
    ).fetchone()
    assert (durable, once) == (0, 1)


async def test_the_last_copy_of_bytes_goes_only_after_its_deletion_is_on_the_disk(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power loss could bring the row back, and not the bytes."""
    await machine.create("/new", b"content")
    content_id = machine.at("/new").content_id
    assert content_id is not None
    await machine.filesystem.unlink(*machine.place("/new"))
    make_durable = machine.store.db.make_durable
    still_there: list[bool] = []

    async def made_durable() -> None:
        assert contents.get(machine.store.db.reader, content_id) is None
        await make_durable()
        still_there.append(machine.store.blobs.path(content_id).exists())

    monkeypatch.setattr(machine.store.db, "make_durable", made_durable)
    await machine.store.save()
    assert still_there == [True]
    assert not machine.store.blobs.path(content_id).exists()


class Disk:
    """Syncs of bytes that wait until they are let go, one after another."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[threading.Event] = []
        self.outcomes: list[OSError | None] = []
        monkeypatch.setattr(machine.store.blobs, "sync", self._sync)

    def _sync(self, _fd: int) -> None:
        gate = threading.Event()
        number = len(self.begun)
        self.begun.append(gate)
        assert gate.wait(DEADLINE_S)
        if (outcome := self.outcomes[number]) is not None:
            raise outcome

    async def syncs(self, count: int) -> None:
        """Return when so many have begun."""
        with trio.fail_after(DEADLINE_S):
            while len(self.begun) < count:  # noqa: ASYNC110  # threads tell no event
                await trio.sleep(0.001)

    def let_go(self, number: int, outcome: OSError | None = None) -> None:
        """One of them is over."""
        self.outcomes += [None] * (number + 1 - len(self.outcomes))
        self.outcomes[number] = outcome
        self.begun[number].set()


async def test_an_older_sync_says_nothing_of_what_a_failing_fsync_was_to_bring(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.create("/new", b"first")
    disk, ino = Disk(machine, monkeypatch), machine.at("/new").ino

    def durable() -> int:
        (found,) = machine.store.db.reader.execute("SELECT durable FROM content WHERE dirty = 1").fetchone()
        return int(found)

    done = trio.Event()

    async def janitor() -> None:
        await machine.store.durability.sync_all(dirty_only=True)
        done.set()

    async def fails(fh: int) -> None:
        with pytest.raises(OSError, match="would not"):
            await machine.filesystem.fsync(fh, False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(janitor)
        await disk.syncs(1)
        fh = (await machine.filesystem.open(ino, os.O_RDWR)).fh
        await machine.filesystem.write(fh, 0, b"later")
        nursery.start_soon(fails, fh)
        await disk.syncs(2)
        disk.let_go(0)
        await done.wait()
        told = durable()
        disk.let_go(1, OSError(errno.EIO, "the disk would not"))
    await machine.filesystem.release(fh)
    assert (told, durable()) == (0, 0)


async def test_a_long_log_of_the_catalog_is_folded_in_before_its_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folded = machine.store, 0

    async def checkpoint() -> None:
        nonlocal folded
        folded += 1

    await store.durability.sync_due()
    monkeypatch.setattr(store.db, "checkpoint", checkpoint)
    await store.durability.sync_due()
    assert folded == 0
    monkeypatch.setattr("cache.db.LOG_MAX_BYTES", 0)
    for _ in range(3):
        await store.durability.sync_due()
    assert folded == 1, "not again and again: somebody else may be reading it"
