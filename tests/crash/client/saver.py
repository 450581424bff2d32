"""A program that saves files in the ways that programs do, on a state directory, and says what it was promised.

`saver.py STATE`: "wrote NAME N" before bytes of version N of a file may be anywhere, "synced NAME N" after fsync.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from cache.model import Kind
from tests.fakes.drive import FakeDrive
from tests.harness.waiting import DEADLINE_S, PAUSE_S
from tests.model.machine import Machine

ROUNDS = 4
PAGES = 3


def version(name: str, number: int) -> bytes:
    """Content of a file; 0 is what the remote has."""
    return f"{name} {number} ".encode().ljust(16, b".") * 256 * PAGES


def say(*words: object) -> None:
    """One write, where the recording sees it."""
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


class Saver:
    """One run."""

    def __init__(self, state: Path) -> None:
        drive = FakeDrive()
        for number in range(ROUNDS):
            for name in (f"held{number}", f"doc{number}"):
                drive.create(drive.root_id, name, Kind.FILE, mode=0o644, mtime_ns=5, data=version(name, 0))
        self.machine = Machine("ann", drive, state)

    async def run(self) -> None:
        """See the module."""
        machine = self.machine
        await machine.begin()
        async with machine.running() as nursery:
            await machine.read_all()
            nursery.start_soon(machine.store.blobs.spares.run)
            await self._spares_are_ready()
            for number in range(ROUNDS):
                await self.edit_in_place(f"held{number}", 1, sync=number % 2 == 0)
                await self.save_new(f"new{number}", 1, sync=number % 2 == 1)
                await self.save_by_renaming(f"doc{number}", 1, sync=number % 2 == 0)
                if number % 2:
                    await machine.store.save()
                    await machine.store.durability.sync_all()
                    await machine.store.db.checkpoint()
                await self.save_by_renaming(f"doc{number}", 2, sync=number == 1)
        await machine.store.aclose()

    async def _spares_are_ready(self) -> None:
        """From here on new files are not made, but given a name, as in a mount."""
        with trio.fail_after(DEADLINE_S):
            while not self.machine.store.blobs.spares.ready:  # noqa: ASYNC110  # it tells no event
                await trio.sleep(PAUSE_S)

    async def _write(self, fh: int, name: str, number: int, *, sync: bool) -> None:
        say("wrote", name, number)
        data = version(name, number)
        for start in range(0, len(data), 4096):
            await self.machine.filesystem.write(fh, start, data[start : start + 4096])
        if sync:
            await self.machine.filesystem.fsync(fh, False)

    async def edit_in_place(self, name: str, number: int, *, sync: bool) -> None:
        """Pages of a file that is here and clean are overwritten."""
        fh = (await self.machine.filesystem.open(self.machine.at(f"/{name}").ino, os.O_RDWR)).fh
        await self._write(fh, name, number, sync=sync)
        if sync:
            say("synced", name, number)
        await self.machine.filesystem.release(fh)

    async def save_new(self, name: str, number: int, *, sync: bool) -> None:
        """A file that was not there."""
        say("wrote", name, number)
        fh, _ = await self.machine.filesystem.create(*self.machine.place(f"/{name}"), 0o644, os.O_RDWR)
        await self._write(fh, name, number, sync=sync)
        if sync:
            say("synced", name, number)
        await self.machine.filesystem.release(fh)

    async def save_by_renaming(self, name: str, number: int, *, sync: bool) -> None:
        """A new file is renamed over an old one."""
        temporary = self.machine.place(f"/{name}.tmp")
        fh, _ = await self.machine.filesystem.create(*temporary, 0o644, os.O_RDWR)
        await self._write(fh, name, number, sync=sync)
        await self.machine.filesystem.release(fh)
        await self.machine.filesystem.rename(*temporary, *self.machine.place(f"/{name}"), 0)
        if sync:
            folder = (await self.machine.filesystem.opendir(self.machine.at("").ino)).fh
            await self.machine.filesystem.fsyncdir(folder)
            say("synced", name, number)


if __name__ == "__main__":
    trio.run(Saver(Path(sys.argv[1])).run)
