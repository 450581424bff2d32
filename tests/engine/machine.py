"""A client without a kernel over a fake remote: real catalog and blobs, and programs that walk through it."""

from __future__ import annotations

import math
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from cache.db import inline
from cache.model import ROOT_INO, Ino, ItemId, Kind
from cache.store import LocalStore
from sync.choices import Policy
from sync.engine import Engine
from tests.fakes.drive import FakeDrive
from tests.fakes.remote import FakeRemote
from vfs.filesystem import Filesystem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from vfs.attributes import DirectoryEntry

DEADLINE_S = 60.0


class Machine:
    """Store, engine and file system; only what brings bytes and listings runs."""

    def __init__(self, directory: Path, drive: FakeDrive, remote: FakeRemote, cache_bytes: int, policy: Policy) -> None:
        self.drive, self.remote = drive, remote
        self.store = LocalStore(directory, runner=inline)
        send, self.news = trio.open_memory_channel(math.inf)
        self.engine = Engine(self.store, remote, send, cache_bytes, 30.0, policy=policy, seed=1)
        self.filesystem = Filesystem(self.store, self.engine, uid=os.getuid(), gid=os.getgid())

    async def entries(self, folder: Ino) -> list[DirectoryEntry]:
        """As opendir, readdir to the end, closedir."""
        fh = (await self.filesystem.opendir(folder)).fh
        found = list(await self.filesystem.readdir(fh, 2))
        await self.filesystem.releasedir(fh)
        return found

    async def read(self, ino: Ino) -> bytes:
        """As open, read to the end, close."""
        opened = await self.filesystem.open(ino, os.O_RDONLY)
        try:
            return bytes(await self.filesystem.read(opened.fh, 0, 1 << 20))
        finally:
            await self.filesystem.release(opened.fh)

    async def ino(self, path: str) -> Ino:
        """As a path's lookup."""
        ino = ROOT_INO
        for name in path.split("/"):
            ino = (await self.filesystem.lookup(ino, name)).ino
        return ino

    async def walk(self, folder: Ino = ROOT_INO, path: str = "", *, read: bool = True) -> dict[str, bytes | None]:
        """As tar (or find): everything below a folder, in the order of readdir."""
        found: dict[str, bytes | None] = {}
        for entry in await self.entries(folder):
            name = f"{path}/{entry.name}"
            if entry.attributes.kind is Kind.FOLDER:
                found[name] = None
                found |= await self.walk(entry.attributes.ino, name, read=read)
            else:
                found[name] = await self.read(entry.attributes.ino) if read else b""
        return found

    def asked(self, operation: str) -> int:
        """How often the remote was asked that."""
        return self.remote.requests.count(operation)


@asynccontextmanager
async def machine(
    directory: Path,
    drive: FakeDrive,
    remote: FakeRemote | None = None,
    *,
    cache_bytes: int = 1 << 30,
    policy: Policy = Policy.PROGRESSIVE,
) -> AsyncIterator[Machine]:
    """A machine at work; a deadline over all of it."""
    with trio.fail_after(DEADLINE_S):
        made = Machine(directory, drive, remote or FakeRemote(drive), cache_bytes, policy)
        await made.engine.puller.begin(await made.remote.root())
        async with trio.open_nursery() as nursery:
            for part in (made.engine.hydrator, made.engine.prefetcher, made.engine.descender):
                await nursery.start(part.run)
            nursery.start_soon(made.engine.growth.run)
            yield made
            nursery.cancel_scope.cancel()
        await made.store.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; `machine` has the deadline."""
    while not condition():  # noqa: ASYNC110  # nothing tells an event for what is looked at here
        await trio.sleep(0.001)


def folder_of(drive: FakeDrive, parent: ItemId, name: str) -> ItemId:
    """A new folder."""
    return drive.create(parent, name, Kind.FOLDER, mode=0o755, mtime_ns=1).item_id


def file_of(drive: FakeDrive, parent: ItemId, name: str, data: bytes) -> ItemId:
    """A new file."""
    return drive.create(parent, name, Kind.FILE, mode=0o644, mtime_ns=1, data=data).item_id


def body(number: int) -> bytes:
    """Content that is unlike any other's."""
    return f"{number:08}".encode() * 512


def flat(count: int, **settings: bool) -> FakeDrive:
    """One folder of so many files of 4 KiB."""
    drive = FakeDrive(**settings)
    folder = folder_of(drive, drive.root_id, "many")
    for number in range(count):
        file_of(drive, folder, f"f{number:05}", body(number))
    return drive


def forest(folders: int, files: int) -> FakeDrive:
    """Folders of files, two deep."""
    drive = FakeDrive()
    top = folder_of(drive, drive.root_id, "top")
    for outer in range(folders):
        parent = folder_of(drive, top, f"d{outer:03}")
        inner = folder_of(drive, parent, "inner")
        for number in range(files):
            file_of(drive, parent if number % 2 else inner, f"f{number:03}", body(outer * files + number))
    return drive
