"""What the kernel must be told, because it was answered otherwise before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache.model import Kind, News, NodeChanged
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path


def told(machine: Machine) -> list[News]:
    """News since the last look."""
    found: list[News] = []
    while True:
        try:
            found.append(machine.news.receive_nowait())
        except trio.WouldBlock:
            return found


async def test_a_new_folder_changes_the_link_count_of_its_parent(tmp_path: Path) -> None:
    drive = FakeDrive()
    folder = drive.create(drive.root_id, "d", Kind.FOLDER, mode=0o755, mtime_ns=5, data=b"")
    machine = Machine("ann", drive, tmp_path / "ann")
    try:
        await machine.begin()
        await machine.list_all()
        ino = machine.at("/d").ino
        assert (await machine.filesystem.getattr(ino)).nlink == 2
        told(machine)
        drive.create(folder.item_id, "sub", Kind.FOLDER, mode=0o755, mtime_ns=5, data=b"")
        await machine.pull()
        assert (await machine.filesystem.getattr(ino)).nlink == 3
        assert NodeChanged(ino) in told(machine)
    finally:
        machine.remove()
