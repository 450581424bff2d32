"""A real file system with little room: the floor is kept, a reader gets its bytes, and ENOSPC is the last word."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from cache.errors import NoSpaceLeft
from cache.pinfile import PinState
from sync import evictor as eviction
from tests.engine.machine import Machine, file_of, folder_of, machine, until
from tests.fakes.drive import FakeDrive
from vfs.errnos import errno_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
DISK_MIB = 48
FILES = 15
FILE_BYTES = 4 * MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 48 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}M", "tmpfs", place], check=False)
    if made.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def drive_of_films() -> FakeDrive:
    drive = FakeDrive()
    folder = folder_of(drive, drive.root_id, "films")
    for number in range(FILES):
        file_of(drive, folder, f"f{number}", bytes([number]) * FILE_BYTES)
    return drive


async def read(here: Machine, number: int) -> bytes:
    opened = await here.filesystem.open(await here.ino(f"films/f{number}"), os.O_RDONLY)
    try:
        return bytes(await here.filesystem.read(opened.fh, 0, FILE_BYTES))
    finally:
        await here.filesystem.release(opened.fh)
        await until(lambda: not len(here.store.opened))


async def read_all(here: Machine) -> None:
    for number in range(FILES):
        assert await read(here, number) == bytes([number]) * FILE_BYTES


async def test_room_is_left_and_made(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "JUST_USED_S", -2)
    monkeypatch.setattr(eviction, "FULL_DISK_BYTES", 12 * MIB)
    async with machine(disk, drive_of_films(), cache_bytes=1 << 40) as here:
        here.engine.evictor.floor_bytes = 16 * MIB
        for number in range(FILES):
            assert await read(here, number) == bytes([number]) * FILE_BYTES
            assert await here.engine.evictor.make_room()
            assert here.store.blobs.free_bytes() >= 16 * MIB
        here.engine.evictor.floor_bytes = 0
        await read_all(here)  # nobody makes room beforehand: 60 MiB do not fit


async def test_a_disk_full_of_pinned_bytes_is_full(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "JUST_USED_S", -2)
    async with machine(disk, drive_of_films(), cache_bytes=1 << 40) as here:
        here.engine.evictor.floor_bytes = 0
        await here.engine.pin(await here.ino("films"), PinState.PINNED)
        with pytest.raises((OSError, NoSpaceLeft)) as full:
            await read_all(here)
        assert errno_of(full.value) == errno.ENOSPC
        assert await read(here, 0) == bytes([0]) * FILE_BYTES


async def test_a_drive_on_a_full_disk_can_be_mounted(disk: Path) -> None:
    """The room that was kept for such an hour is enough for the start."""
    drive = drive_of_films()
    async with machine(disk / "state", drive) as here:
        expected = await read(here, 0)
    with (disk / "somebody's").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(disk).f_bavail == 0
    async with machine(disk / "state", drive) as here:
        here.remote.online = False
        assert await read(here, 0) == expected
