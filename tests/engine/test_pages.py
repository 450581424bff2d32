"""Bytes that came ahead of a walk are put into the kernel's page cache: never over newer ones."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache.model import Ino, News, NodeChanged
from tests.engine.machine import Machine, body, flat, machine, until
from tests.harness.waiting import DEADLINE_S
from vfs.pages import PageStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FILES = 40


class Kernel:
    """What was put where; each call waits for `gate`."""

    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}
        self.calls = 0
        self.gate = threading.Event()

    def notify_store(self, inode: int, offset: int, data: bytes) -> None:
        """In a worker thread."""
        assert offset == 0
        self.calls += 1
        assert self.gate.wait(DEADLINE_S)
        self.held[inode] = data


class Walk:
    """A walk through a folder of FILES files whose inodes the kernel knows."""

    def __init__(self, made: Machine, kernel: Kernel, inos: list[Ino]) -> None:
        self.made, self.kernel, self.inos = made, kernel, inos
        self.store = PageStore(made.filesystem.files.pages, lambda _: True, kernel)
        made.engine.prefetcher.pages = self.store

    async def begin(self) -> None:
        """Read two files: the next ones are fetched."""
        for ino in self.inos[:2]:
            await self.made.read(ino)

    def news(self) -> list[News]:
        """What the kernel's face was told since the last time."""
        told: list[News] = []
        with suppress(trio.WouldBlock):
            while True:
                told.append(self.made.news.receive_nowait())
        return told


@pytest.fixture
async def walk(tmp_path: Path) -> AsyncIterator[Walk]:
    """Nothing is read yet."""
    kernel = Kernel()
    async with machine(tmp_path, flat(FILES)) as made:
        folder = await made.ino("many")
        inos = [entry.attributes.ino for entry in await made.entries(folder)]
        try:
            yield Walk(made, kernel, inos)
        finally:
            kernel.gate.set()


async def test_what_a_walk_comes_to_is_in_the_kernels_pages_and_kept_there(walk: Walk) -> None:
    walk.kernel.gate.set()
    await walk.begin()
    await until(lambda: len(walk.kernel.held) > 3)
    for number, ino in enumerate(walk.inos):
        opened = await walk.made.filesystem.open(ino, os.O_RDONLY)
        await walk.made.filesystem.release(opened.fh)
        assert opened.keep_cache, f"f{number:05} is let go of, though nothing old is there"
    assert walk.kernel.held
    assert all(walk.kernel.held[ino] == body(number) for number, ino in enumerate(walk.inos) if ino in walk.kernel.held)


async def test_nobody_opens_or_cuts_a_file_whose_bytes_are_on_their_way(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.prefetch.PATIENCE_S", 0.0)
    await walk.begin()
    await until(lambda: walk.kernel.calls == 1)
    target = walk.inos[5]
    done: list[str] = []

    async def write() -> None:
        opened = await walk.made.filesystem.open(target, os.O_WRONLY | os.O_TRUNC)
        await walk.made.filesystem.write(opened.fh, 0, b"newer")
        await walk.made.filesystem.release(opened.fh)
        done.append("written")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert not done
        assert target not in walk.kernel.held
        walk.kernel.gate.set()
    assert done == ["written"]
    assert walk.kernel.held[target] == body(5)  # before: the kernel cut its pages itself, and took the write behind it


async def test_what_became_old_on_its_way_is_dropped_again(walk: Walk) -> None:
    await walk.begin()
    await until(lambda: walk.kernel.calls == 1)
    item = next(each for each in walk.made.drive.items.values() if each.name == "f00005")
    walk.made.drive.overwrite(item.item_id, item.content_version or "", b"another", mtime_ns=2, mode=0o644)
    await walk.made.engine.puller.pull()
    walk.news()
    walk.kernel.gate.set()
    await until(lambda: walk.inos[5] in walk.kernel.held)
    opened = await walk.made.filesystem.open(walk.inos[5], os.O_RDONLY)
    await walk.made.filesystem.release(opened.fh)
    assert not opened.keep_cache
    assert await walk.made.read(walk.inos[5]) == b"another"
    assert NodeChanged(walk.inos[5], content=True) in walk.news()


async def test_a_file_that_is_open_is_left_alone(walk: Walk) -> None:
    walk.kernel.gate.set()
    opened = await walk.made.filesystem.open(walk.inos[6], os.O_RDONLY)
    await walk.made.filesystem.read(opened.fh, 0, 10)
    await walk.begin()
    await until(lambda: walk.inos[7] in walk.kernel.held)
    assert walk.inos[6] not in walk.kernel.held
    await walk.made.filesystem.release(opened.fh)


async def test_nothing_is_put_anywhere_once_the_mount_ends(walk: Walk) -> None:
    walk.kernel.gate.set()
    walk.store.close()
    await walk.begin()
    assert await walk.made.read(walk.inos[2]) == body(2)
    assert walk.kernel.calls == 0
