"""A file that was deleted elsewhere while it was open here: emptying it is an edit, and an edit wins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cache.model import Kind
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("held", [True, False], ids=["whole", "placeholder"])
async def test_truncation_brings_the_file_back(tmp_path: Path, held: bool) -> None:
    drive = FakeDrive()
    item = drive.create(drive.root_id, "file", Kind.FILE, mode=0o644, mtime_ns=5, data=b"content")
    machine = Machine("ann", drive, tmp_path / "ann")
    await machine.begin()
    async with machine.running():
        await machine.list_all()
        node = machine.at("/file")
        if held:
            await machine.read(node.ino)
        fh = (await machine.filesystem.open(node.ino, os.O_RDWR)).fh
        drive.remove(item.item_id, item.metadata_version)
        await machine.pull()
        assert machine.tree() == {}
        await machine.filesystem.files.truncate(node, 0, fh)
        await machine.filesystem.release(fh)
        assert machine.tree() == {"/file": b""}
        assert await machine.push_all()
    assert drive.tree() == {"/file": b""}
    assert machine.faults() == []
    machine.remove()
