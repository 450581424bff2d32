"""Extended attributes in random histories of two machines: crashes, lost answers, refusals; all end alike.

And nothing is lost: of an attribute that only one machine ever changed, the last value is what all end with, as long as
its file lives.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from cache import xattrs
from cache.errors import LocalError, NotFound
from cache.model import Kind
from sync.remote import Busy, RemoteError, Unknown, Unreachable
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

SEEDS = 4
STEPS = 50
FILES = ("/f", "/g")  # written, saved over and deleted
PATHS = (*FILES, "/d")
KEPT = "/kept"  # never deleted, saved over or renamed: what is tagged there is held to
FAULTS = (Unknown("lost"), Unreachable("cut"), Busy("later"))


class History:
    """One seed's."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.drive = FakeDrive()
        self.chance = random.Random(seed)  # no secret
        self.machines = [Machine(name, self.drive, folder / name, seed=seed) for name in ("ann", "bob")]
        self.mine: dict[str, bytes | None] = {}  # each machine changes one attribute of KEPT

    async def begin(self) -> None:
        root = self.drive.root_id
        for path in (*FILES, KEPT):
            self.drive.create(root, path[1:], Kind.FILE, mode=0o644, mtime_ns=1, data=b"1")
        self.drive.create(root, "d", Kind.FOLDER, mode=0o755, mtime_ns=1)
        for machine in self.machines:
            await machine.begin()
            await machine.list_all()

    async def step(self) -> None:
        machine = self.chance.choice(self.machines)
        action = self.chance.choice(("tag", "tag", "tag", "write", "save", "unlink", "crash", "pull", "push", "fault"))
        async with machine.running():
            with suppress(LocalError, RemoteError):  # removed already, or never there; no answer
                await getattr(self, f"_{action}")(machine)
        assert (faults := machine.faults()) == [], (action, faults)

    def _path(self, machine: Machine, paths: tuple[str, ...]) -> str:
        """One that is there; NotFound."""
        path = self.chance.choice(paths)
        if path not in machine.tree():
            raise NotFound(path)
        return path

    async def _tag(self, machine: Machine) -> None:
        path = self._path(machine, (*PATHS, KEPT, KEPT))
        name = machine.name if path == KEPT else self.chance.choice("ab")
        value = None if self.chance.random() < 0.3 else self.chance.randbytes(3)
        ino, attribute = machine.at(path).ino, f"user.{name}".encode()
        if value is None:
            await machine.filesystem.removexattr(ino, attribute)
        else:
            await machine.filesystem.setxattr(ino, attribute, value)
        if path == KEPT:
            self.mine[name] = value

    async def _write(self, machine: Machine) -> None:
        await machine.write(machine.at(self._path(machine, FILES)).ino, 0, self.chance.randbytes(4))

    async def _save(self, machine: Machine) -> None:
        """As editors do: a new file, perhaps with the attributes of the old one, renamed over it."""
        path = self.chance.choice(FILES)
        parent, name = machine.place(path)
        fh, made = await machine.filesystem.create(parent, "tmp", 0o644, os.O_RDWR | os.O_EXCL)
        await machine.filesystem.write(fh, 0, self.chance.randbytes(4))
        await machine.filesystem.release(fh)
        if self.chance.random() < 0.5:
            await machine.filesystem.setxattr(made.ino, b"user.a", self.chance.randbytes(2))
        await machine.filesystem.rename(parent, "tmp", parent, name, 0)

    async def _unlink(self, machine: Machine) -> None:
        await machine.filesystem.unlink(*machine.place(self._path(machine, FILES)))

    async def _crash(self, machine: Machine) -> None:
        machine.crash()
        await machine.begin()

    async def _pull(self, machine: Machine) -> None:
        await machine.pull()

    async def _push(self, machine: Machine) -> None:
        await machine.push_one(self.chance.randrange(8))

    async def _fault(self, machine: Machine) -> None:
        error = self.chance.choice(FAULTS)
        lost = isinstance(error, Unknown)
        operation = self.chance.choice(("set_xattrs", "put", "remove", "move"))
        machine.remote.inject(Fault(operation=operation, after=error if lost else None, before=None if lost else error))

    async def settle(self) -> None:
        """All faults are over; both sides push and pull until nothing is left."""
        for _ in range(12):
            for machine in self.machines:
                async with machine.running():
                    with suppress(RemoteError):  # the faults that nothing met yet
                        await machine.pull()
                    await machine.push_all()
                    await machine.pull()
                    await machine.list_all()
            if all(self._tags(each) == self._told() and not each.outbox() for each in self.machines):
                return
        raise AssertionError([self._told(), *[(self._tags(each), each.outbox()) for each in self.machines]])

    def _tags(self, machine: Machine) -> dict[str, dict[str, bytes]]:
        reader, found = machine.store.db.reader, {}
        for path in machine.tree():
            found[path] = xattrs.of_node(reader, machine.at(path))
        return found

    def _told(self) -> dict[str, dict[str, bytes]]:
        return {path: dict(self.drive.at(path).xattrs or ()) for path in self.drive.tree()}

    def remove(self) -> None:
        for machine in self.machines:
            machine.remove()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_all_end_with_the_same_attributes(seed: int, tmp_path: Path, autojump_clock: MockClock) -> None:
    del autojump_clock  # pauses between attempts take no time
    history = History(seed, tmp_path)
    try:
        await history.begin()
        for _ in range(STEPS):
            await history.step()
        await history.settle()
        kept = dict(history.drive.at(KEPT).xattrs or ())
        expected = {f"user.{name}": value for name, value in history.mine.items() if value is not None}
        assert kept == expected
    finally:
        history.remove()
