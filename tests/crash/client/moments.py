"""A client over a fake drive, to be killed in the middle of what touches its state directory.

`moments.py SCENE STATE`: does it, and dies at its end, if no failpoint killed it before. The drive is made anew from
the same calls by whoever looks at what was left, so its ids are the same.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from cache import deposits
from cache.deposits import Whole
from cache.model import Kind
from sync.planner import Conflicts
from tests.fakes.drive import FakeDrive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOLD = {"/told": b"as the server has it", "/one": b"one", "/two": b"two"}
MADE = b"made here, and not sent"
CHANGED = b"changed on the server"


def drive() -> FakeDrive:
    """Three small files."""
    made = FakeDrive()
    for path, data in TOLD.items():
        made.create(made.root_id, path[1:], Kind.FILE, mode=0o644, mtime_ns=5, data=data)
    return made


def change(made: FakeDrive) -> None:
    """Somebody else saves a file."""
    item = made.child(made.root_id, "told")
    assert item is not None
    assert item.content_version is not None
    made.overwrite(item.item_id, item.content_version, CHANGED, mode=0o644, mtime_ns=9)


async def gather(machine: Machine) -> None:
    """Two files come together, into a bundle."""
    wanted = {path: deposits.placeholder(machine.store.db.reader, machine.at(path).ino) for path in ("/one", "/two")}
    await machine.store.deposit([Whole(of=of, data=TOLD[path]) for path, of in wanted.items() if of is not None])


async def edit_bundled(machine: Machine) -> None:
    """One of them is edited."""
    await gather(machine)
    await machine.write(machine.at("/one").ino, 0, b"ONE")


async def create(machine: Machine) -> None:
    """A new file."""
    await machine.create("/made", MADE)


async def edit(machine: Machine) -> None:
    """A file that is held is changed for the first time."""
    await machine.read(machine.at("/told").ino)
    await machine.write(machine.at("/told").ino, 0, b"AS")


async def lose(machine: Machine) -> None:
    """An edit that loses against the server's."""
    machine.choose(Conflicts.SERVER_WINS)
    await machine.write(machine.at("/told").ino, 0, b"MY", os.O_RDWR)
    change(machine.drive)
    await machine.pull()
    await machine.push_all(60.0)


async def unlink_while_open(machine: Machine) -> None:
    """A new file that nobody can find any more."""
    fh, _ = await machine.filesystem.create(*machine.place("/made"), 0o644, os.O_RDWR)
    await machine.filesystem.write(fh, 0, MADE)
    await machine.filesystem.unlink(*machine.place("/made"))


async def replace_while_open(machine: Machine) -> None:
    """A newer version comes while somebody has the older one open."""
    await machine.read(machine.at("/told").ino)
    await machine.store.save()
    await machine.filesystem.open(machine.at("/told").ino, os.O_RDONLY)
    change(machine.drive)
    await machine.pull()


async def close(machine: Machine) -> None:
    """An orderly end, with something unsent."""
    await create(machine)
    await machine.store.aclose()


async def close_and_open(machine: Machine) -> None:
    """The same, and the next start."""
    await close(machine)
    machine.open()


async def leave_while_open(machine: Machine) -> None:
    """A lazy unmount: programs still write while the store is closed."""
    fh, _ = await machine.filesystem.create(*machine.place("/made"), 0o644, os.O_RDWR)
    await machine.filesystem.write(fh, 0, MADE)
    await machine.store.aclose()


async def open_damaged(machine: Machine) -> None:
    """A start with a catalog that is none."""
    await close(machine)
    catalog = machine.directory / "state.db"
    with catalog.open("r+b") as file:
        file.write(b"not SQLite at al")
    machine.open()


SCENES: dict[str, Callable[[Machine], Awaitable[None]]] = {
    scene.__name__: scene
    for scene in (
        gather, edit_bundled, create, edit, lose, unlink_while_open, replace_while_open, close, close_and_open,
        leave_while_open, open_damaged,
    )
}  # fmt: skip


async def main(scene: str, state: str) -> None:
    """See the module."""
    machine = Machine("ann", drive(), Path(state))
    await machine.begin()
    async with machine.running():
        await machine.list_all()
        await SCENES[scene](machine)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
