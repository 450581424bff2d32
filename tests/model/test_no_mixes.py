"""Content that is replaced while it is fetched: a handle reads the version that it opened, or an error, never both."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import trio

from cache.model import Kind
from sync.remote import VersionGone
from tests.model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache.model import ItemId
    from tests.model.machine import Machine

PIECE_BYTES = 500
READERS = 3


class Replacing:
    """One file whose every version is one letter, repeated; somebody replaces it while several read."""

    def __init__(self, machine: Machine, item_id: ItemId, chance: random.Random) -> None:
        self._machine, self._item_id, self._chance = machine, item_id, chance
        self.mixes: list[str] = []
        self.gone = self.whole = 0

    async def once(self) -> None:
        """Open, read from several places, be overtaken, and open again."""
        machine, chance = self._machine, self._chance
        await machine.pull()
        ino = machine.at("/file").ino
        if chance.random() < 0.5:
            await machine.engine.evict(ino)
        letter = self._letter()
        handle = (await machine.filesystem.open(ino, os.O_RDONLY)).fh
        async with trio.open_nursery() as nursery:
            for _ in range(READERS):
                nursery.start_soon(self._read, handle, letter)
            nursery.start_soon(self._replace)
        await machine.filesystem.release(handle)

    async def _read(self, handle: int, letter: int) -> None:
        start = self._chance.randrange(20 * PIECE_BYTES)
        for _ in range(self._chance.randrange(12)):
            await trio.lowlevel.checkpoint()
        try:
            found = bytes(await self._machine.filesystem.read(handle, start, 8 * PIECE_BYTES))
        except VersionGone:
            self.gone += 1
            return
        self.whole += 1
        if found.strip(bytes([letter])):
            self.mixes.append(f"{letter}: {set(found)} at {start}")

    async def _replace(self) -> None:
        for _ in range(self._chance.randrange(40)):
            await trio.lowlevel.checkpoint()
        drive = self._machine.drive
        drive.retain = self._chance.random() < 0.5  # whether the server keeps the version that is read
        item = drive.item(self._item_id)
        assert item.content_version is not None
        data = bytes([self._chance.randrange(1, 256)]) * self._chance.randrange(15 * PIECE_BYTES, 25 * PIECE_BYTES)
        drive.overwrite(item.item_id, item.content_version, data, mode=0o644, mtime_ns=8)
        if not drive.retain:
            drive.drop_versions()
        if self._chance.random() < 0.7:
            await self._machine.pull()

    def _letter(self) -> int:
        return self._machine.body(self._machine.at("/file"))[0]


def test_no_reader_sees_bytes_of_two_versions(often: Callable[[int, int], int]) -> None:
    with World(machines=1) as world:
        machine = world.machines[0]
        machine.remote.piece_bytes = PIECE_BYTES
        root = world.drive.root_id
        made = world.drive.create(root, "file", Kind.FILE, mode=0o644, mtime_ns=7, data=b"a" * 20 * PIECE_BYTES)
        world.step(0, machine.list_all)
        replacing = Replacing(machine, made.item_id, random.Random(5))
        for _ in range(often(100, 10_000)):
            world.step(0, replacing.once)
            world.step(0, machine.store.save)
    assert replacing.mixes == []
    assert replacing.whole > replacing.gone > 0
