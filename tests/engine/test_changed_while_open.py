"""Files that are changed here while older bytes of them are still on their way, still open, or still being read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from cache import content_edits
from cache.errors import NoSpaceLeft
from cache.model import Kind
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.machine import Machine
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import Ino

pytestmark = pytest.mark.virtual_time

MIB = 1 << 20
OLD = {"/large": b"old." * (MIB // 2), "/small": b"old, and small"}
NEW = {"/large": b"newer" * (MIB // 2), "/small": b"new"}


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """Both files are placeholders."""
    drive = FakeDrive()
    for path, data in OLD.items():
        drive.create(drive.root_id, path[1:], Kind.FILE, mode=0o644, mtime_ns=5, data=data)
    machine = Machine("ann", drive, tmp_path / "ann")
    await machine.begin()
    async with machine.running():
        await machine.list_all()
        yield machine
    machine.remove()


async def opened(machine: Machine, path: str) -> tuple[Ino, int]:
    ino = machine.at(path).ino
    return ino, (await machine.filesystem.open(ino, os.O_RDWR)).fh


async def empty(machine: Machine, ino: Ino, fh: int | None) -> None:
    await machine.filesystem.setattr(ino, AttributeChange(size=0), fh)


def changed_elsewhere(machine: Machine, path: str, data: bytes) -> None:
    item = machine.drive.child(machine.drive.root_id, path[1:])
    assert item is not None
    assert item.content_version is not None
    machine.drive.overwrite(item.item_id, item.content_version, data, mode=0o644, mtime_ns=9)


@pytest.mark.parametrize("path", NEW)
async def test_bytes_that_come_late_do_not_go_over_a_newer_version(machine: Machine, path: str) -> None:
    """The stream began, stalled, and goes on when the file was emptied, written anew, and sent."""
    gate, files = trio.Event(), machine.filesystem
    reads = machine.remote.inject(Fault(operation="read", gate=gate))
    known = machine.drive.child(machine.drive.root_id, path[1:])
    assert known is not None
    machine.drive.items[known.item_id] = replace(known, digest=None)  # as of a server that tells none
    ino, fh = await opened(machine, path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(files.read, fh, 0, 4096)
        await reads.reached.wait()
        await empty(machine, ino, fh)
    for start in range(0, len(NEW[path]), MIB):
        await files.write(fh, start, NEW[path][start : start + MIB])
    await files.release(fh)
    assert await machine.push_all()
    assert machine.drive.tree()[path] == NEW[path]
    gate.set()
    while len(machine.store.opened):  # noqa: ASYNC110  # there is no event for that: nobody but a test wants it
        await trio.sleep(0.01)
    assert await machine.read(ino) == NEW[path][:MIB]
    assert machine.faults() == []


async def test_a_reader_of_what_is_emptied_waits_for_nobody(machine: Machine) -> None:
    reads = machine.remote.inject(Fault(operation="read", gate=trio.Event()))
    ino, fh = await opened(machine, "/large")
    began_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.filesystem.read, fh, 0, 4096)
        await reads.reached.wait()
        await empty(machine, ino, fh)
    assert trio.current_time() - began_s < 1
    await machine.filesystem.release(fh)


async def test_emptying_an_older_version_leaves_unsent_bytes_of_the_newer_one_alone(machine: Machine) -> None:
    """Both were open: each handle keeps the content that it opened."""
    files = machine.filesystem
    ino, older = await opened(machine, "/large")
    changed_elsewhere(machine, "/large", b"version two")
    await machine.pull()
    _, newer = await opened(machine, "/large")
    await files.write(newer, 0, b"unsent.")
    await empty(machine, ino, older)
    await files.write(older, 0, b"of the older")
    await files.release(older)
    await files.release(newer)
    await machine.store.save()
    assert machine.faults() == []
    assert await machine.push_all()
    assert machine.drive.tree()["/large"] == b"unsent. two"
    assert b"of the older" in machine.drive.tree().values()


async def test_emptying_an_older_version_is_no_edit_of_the_newer_one(machine: Machine) -> None:
    ino, older = await opened(machine, "/large")
    changed_elsewhere(machine, "/large", b"version two")
    await machine.pull()
    await empty(machine, ino, older)
    await machine.filesystem.write(older, 0, b"of the older")
    await machine.filesystem.release(older)
    assert machine.faults() == []
    assert await machine.push_all()
    assert machine.drive.tree()["/large"] == b"version two"
    assert b"of the older" in machine.drive.tree().values()


async def test_a_cut_that_a_full_disk_could_not_write_down_is_no_damage(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise NoSpaceLeft("no room for the catalog")

    await machine.create("/unsent", b"0123456789")
    ino = machine.at("/unsent").ino
    with monkeypatch.context() as patch:
        patch.setattr(content_edits, "settle", full)
        with pytest.raises(NoSpaceLeft):
            await machine.filesystem.setattr(ino, AttributeChange(size=4), None)
    assert (await machine.filesystem.getattr(ino)).size == 4
    await machine.store.aclose()
    machine.open()
    assert not (machine.directory / "rescued").exists()
    assert machine.tree()["/unsent"] == b"0123"
