"""The policy always-full: what is known is brought, while there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache import tree
from cache.model import Ino
from sync.choices import Policy
from tests.engine.machine import Machine, body, file_of, flat, forest, machine, until

if TYPE_CHECKING:
    from pathlib import Path

ROOM_BYTES = 10 * 4096


def _held_bytes(made: Machine) -> int:
    """Of all files, what the catalog was not told of yet too."""
    rows = made.store.db.reader.execute("SELECT ino FROM node WHERE kind = 'file'").fetchall()
    nodes = [tree.by_ino(made.store.db.reader, Ino(ino)) for (ino,) in rows]
    return sum(made.store.resident_bytes(node) for node in nodes if node is not None)


async def test_everything_is_brought_without_being_opened(tmp_path: Path) -> None:
    drive = forest(6, 5)
    async with machine(tmp_path, drive, policy=Policy.ALWAYS_FULL) as made, trio.open_nursery() as nursery:
        nursery.start_soon(made.engine.keeper.run)
        await until(lambda: _held_bytes(made) == 30 * 4096)
        asked = made.asked("read") + made.asked("read_many")
        assert await made.walk() == drive.tree()
        assert made.asked("read") + made.asked("read_many") == asked, "all of it was here"
        nursery.cancel_scope.cancel()


async def test_what_comes_later_is_brought_too(tmp_path: Path) -> None:
    drive = flat(3)
    async with machine(tmp_path, drive, policy=Policy.ALWAYS_FULL) as made, trio.open_nursery() as nursery:
        nursery.start_soon(made.engine.keeper.run)
        await until(lambda: _held_bytes(made) == 3 * 4096)
        file_of(drive, drive.root_id, "new", body(9))
        await made.engine.puller.pull()
        await until(lambda: _held_bytes(made) == 4 * 4096)
        nursery.cancel_scope.cancel()


async def test_nothing_is_brought_beyond_the_room_and_nothing_goes_for_it(tmp_path: Path) -> None:
    async with machine(
        tmp_path, flat(40), cache_bytes=ROOM_BYTES, policy=Policy.ALWAYS_FULL
    ) as made, trio.open_nursery() as nursery:  # fmt: skip
        nursery.start_soon(made.engine.keeper.run)
        await trio.sleep(0.3)  # it would be over the limit by then
        assert _held_bytes(made) <= ROOM_BYTES
        nursery.cancel_scope.cancel()
