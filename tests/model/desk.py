"""A machine and the drive that others change behind its back: what tests of reconciliation are written on."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from cache.model import Item, Kind
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from sync.remote import Replaced


class Desk:
    """A machine that has listed everything, and the drive that others change behind its back.

    `push_first`: what was changed there is met as a refusal of the push, and not told before it.
    """

    def __init__(self, drive: FakeDrive, machine: Machine, *, push_first: bool = False) -> None:
        self.drive, self.machine, self._push_first = drive, machine, push_first
        self.do = machine.filesystem

    def there(self, path: str, data: bytes | str | None = None) -> Item:
        """A new file, symlink (to `data`) or folder at the remote."""
        folder, _, name = path.rpartition("/")
        parent = self.drive.at(folder).item_id
        if isinstance(data, str):
            return self.drive.create(parent, name, Kind.SYMLINK, mode=0o777, mtime_ns=5, target=data)
        kind = Kind.FOLDER if data is None else Kind.FILE
        return self.drive.create(parent, name, kind, mode=0o644, mtime_ns=5, data=data or b"")

    def edited(self, path: str, data: bytes) -> Item:
        """Other bytes at the remote."""
        item = self.drive.at(path)
        assert item.content_version is not None
        return self.drive.overwrite(item.item_id, item.content_version, data, mode=0o644, mtime_ns=6)

    def moved(self, path: str, target: str, replaced: Replaced | None = None) -> Item:
        """Another place at the remote."""
        item, (folder, _, name) = self.drive.at(path), target.rpartition("/")
        return self.drive.move(item.item_id, item.metadata_version, self.drive.at(folder).item_id, name, replaced)

    def deleted(self, path: str) -> None:
        """Gone at the remote."""
        item = self.drive.at(path)
        self.drive.remove(item.item_id, item.metadata_version)

    async def write(self, path: str, data: bytes) -> None:
        """Other bytes here."""
        await self.machine.write(self.machine.at(path).ino, 0, data, os.O_RDWR | os.O_TRUNC)

    async def rename(self, path: str, target: str) -> None:
        """Another place here."""
        await self.do.rename(*self.machine.place(path), *self.machine.place(target), 0)

    async def unlink(self, path: str) -> None:
        """Removed here."""
        await self.do.unlink(*self.machine.place(path))

    async def mkdir(self, path: str) -> None:
        """A new folder here."""
        await self.do.mkdir(*self.machine.place(path), 0o755)

    async def rmdir(self, path: str) -> None:
        """Removed here."""
        await self.do.rmdir(*self.machine.place(path))

    async def meet(self) -> dict[str, bytes | str | None]:
        """Pull and push until both sides agree; the tree that they agree on."""
        with trio.fail_after(10):
            if self._push_first:
                assert await self.machine.push_all(5.0), self.machine.outbox()
            for _ in range(10):
                await self.machine.pull()
                assert await self.machine.push_all(5.0), self.machine.outbox()
                await self.machine.pull()
                await self.machine.list_all()
                await self.machine.store.save()
                assert (faults := self.machine.faults()) == [], faults
                if self.machine.tree() == self.drive.tree() and not self.machine.outbox():
                    return self.drive.tree()
        raise AssertionError((self.machine.tree(), self.drive.tree()))

    def copies(self) -> dict[str, bytes | str | None]:
        """What stands under conflict names."""
        return {path: what for path, what in self.drive.tree().items() if "(conflict ann " in path}

    def decided(self) -> list[str]:
        """What the activity record says was decided."""
        return [row[0] for row in self.machine.store.db.reader.execute("SELECT what FROM activity ORDER BY seq")]


@asynccontextmanager
async def at_work(
    folder: Path, tree: Mapping[str, bytes | str | None] | None = None, *, drive: FakeDrive | None = None,
    push_first: bool = False, read: bool = True,
) -> AsyncIterator[Desk]:  # fmt: skip
    """A machine that knows all of `tree`, folders before what is in them, and with `read` has its bytes too."""
    drive = drive or FakeDrive()
    machine = Machine("ann", drive, folder / "ann")
    try:
        desk = Desk(drive, machine, push_first=push_first)
        for path, data in (tree or {}).items():
            desk.there(path, data)
        await machine.begin()
        async with machine.running():
            await (machine.read_all if read else machine.list_all)()
            yield desk
    finally:
        machine.remove()
