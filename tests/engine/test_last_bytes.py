"""Bytes that only this machine has, or only seems to have: where making room, closing and a full disk meet."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio

from cache import contents, evict, fsck, tree
from cache.db import inline
from cache.errors import NoSpaceLeft
from cache.model import ROOT_INO
from cache.rescue import kept_files
from cache.store import LocalStore
from tests.engine.machine import Machine, file_of, flat, machine, until
from tests.fakes.drive import FakeDrive

if TYPE_CHECKING:
    from pathlib import Path

    from cache.model import Node

MIB = 1 << 20
FILM = bytes(range(256)) * (8 * MIB // 256)


def node_of(store: LocalStore, name: str) -> Node:
    node = tree.child(store.db.reader, ROOT_INO, name)
    assert node is not None
    return node


async def film(here: Machine) -> Node:
    """All of it is here, and written down, and nobody has it open."""
    ino = await here.ino("film")
    await here.engine.hydrate(ino)
    await until(lambda: not len(here.store.opened))
    await here.store.save()
    return node_of(here.store, "film")


async def written(here: Machine, name: str, data: bytes) -> int:
    """A new file that a program still has open."""
    fh, _ = await here.filesystem.create(ROOT_INO, name, 0o644, os.O_RDWR)
    await here.filesystem.write(fh, 0, data)
    return fh


def drive_of_a_film() -> FakeDrive:
    drive = FakeDrive()
    file_of(drive, drive.root_id, "film", FILM)
    return drive


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evict, "LARGE_BYTES", 2 * MIB)


async def test_bytes_that_come_while_a_hole_is_being_made_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A program reads what is about to go, and is gone again before the hole is made."""
    async with machine(tmp_path, drive_of_a_film(), cache_bytes=1 << 40) as here:
        node = await film(here)
        assert node.content_id is not None
        write, tail = here.store.db.write, []

        async def read_meanwhile(*arguments: object, durable: bool = False) -> object:
            result = await write(*arguments, durable=durable)  # type: ignore[arg-type]
            if durable:
                handle = await here.filesystem.open(node.ino, os.O_RDONLY)
                tail.append(bytes(await here.filesystem.read(handle.fh, 7 * MIB, 4096)))
                await here.filesystem.release(handle.fh)
                opened = here.store.opened.get(node.content_id)
                assert opened is not None
                await until(lambda: opened.users == 1)
            return result

        monkeypatch.setattr(here.store.db, "write", read_meanwhile)
        assert await here.store.shed(node.content_id, 4 * MIB)
        monkeypatch.undo()
        assert tail == [FILM[7 * MIB : 7 * MIB + 4096]]
        handle = await here.filesystem.open(node.ino, os.O_RDONLY)
        assert bytes(await here.filesystem.read(handle.fh, 7 * MIB, 4096)) == tail[0]
        await here.filesystem.release(handle.fh)
        await until(lambda: not len(here.store.opened))
        await here.store.save()
        assert fsck.examine(here.store.db.reader, here.store.blobs, deep=True) == []


async def test_no_hole_is_made_in_bytes_that_were_put_aside(tmp_path: Path) -> None:
    async with machine(tmp_path, drive_of_a_film(), cache_bytes=1 << 40) as here:
        node = await film(here)
        assert node.content_id is not None
        kept = here.store.aside.keep_bytes(here.store.content(node.content_id), "/film", 0)
        await here.store.shed(node.content_id, 4 * MIB)
        assert kept.read_bytes() == FILM
        (tmp_path / "set-aside" / "RESCUED.txt").write_text("a list")
        assert kept_files(tmp_path / "set-aside") == 1
        assert kept_files(tmp_path / "rescued") == 0


async def test_what_became_dirty_since_it_was_chosen_stays(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(1)) as here:
        ino = await here.ino("many/f00000")
        await here.read(ino)
        await here.store.save()
        node = tree.by_ino(here.store.db.reader, ino)
        assert node is not None
        assert node.content_id is not None
        handle = await here.filesystem.open(ino, os.O_RDWR)
        await here.filesystem.write(handle.fh, 0, b"mine")
        await here.filesystem.release(handle.fh)
        await here.engine.evictor.drop({node.content_id: ino})
        await here.store.save()
        assert (await here.read(ino))[:4] == b"mine"


async def test_a_close_that_could_not_be_written_down_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The disk is full when a file is closed: it has its size from then on, and in the catalog when there is room."""
    async with machine(tmp_path, FakeDrive()) as here:
        fh = await written(here, "f", b"a" * 5000)

        def full(*_arguments: object, **_named: object) -> object:
            raise NoSpaceLeft

        monkeypatch.setattr(here.store.db, "write_now", full)
        with pytest.raises(NoSpaceLeft):
            await here.filesystem.release(fh)
        ino = node_of(here.store, "f").ino
        assert (await here.filesystem.getattr(ino)).size == 5000
        monkeypatch.undo()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.store.run_janitor)
            here.store.tidy([])
            await until(lambda: not len(here.store.opened))
            nursery.cancel_scope.cancel()
        assert node_of(here.store, "f").size == 5000


async def test_an_end_with_open_files_loses_nothing(tmp_path: Path) -> None:
    async with machine(tmp_path, FakeDrive()) as here:
        await written(here, "f", b"a" * 5000)
    store = LocalStore(tmp_path, runner=inline)
    assert not (tmp_path / "rescued").exists()
    assert node_of(store, "f").size == 5000
    await store.aclose()


async def test_what_was_open_at_the_end_and_is_nobodys_goes(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(1)) as here:
        ino = await here.ino("many/f00000")
        await here.filesystem.open(ino, os.O_RDONLY)
        await here.engine.hydrate(ino)
        parent = tree.by_ino(here.store.db.reader, ino)
        assert parent is not None
        assert parent.parent is not None
        await here.filesystem.unlink(parent.parent, "f00000")
    store = LocalStore(tmp_path, runner=inline)
    await store.save()
    assert contents.usage(store.db.reader).contents == 0
    assert list(store.blobs.ids()) == []
    assert tree.by_ino(store.db.reader, ino) is None
    await store.aclose()


async def test_what_a_full_disk_took_of_a_write_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with machine(tmp_path, FakeDrive()) as here:
        fh = await written(here, "f", b"a" * 1000)
        pwrite = os.pwrite

        def half(fd: int, data: bytes, offset: int) -> int:
            if offset >= 3000:
                raise OSError(errno.ENOSPC, "no room")
            return pwrite(fd, data[:2000], offset)

        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="no room"):
            await here.filesystem.write(fh, 1000, b"b" * 4000)
        monkeypatch.undo()
        await here.filesystem.release(fh)
        assert node_of(here.store, "f").size == 3000
        assert fsck.examine(here.store.db.reader, here.store.blobs, deep=True) == []


async def test_how_files_were_read_is_forgotten_with_them(tmp_path: Path) -> None:
    """Also when something else still has the content open while the last handle is closed."""
    async with machine(tmp_path, flat(1)) as here:
        ino = await here.ino("many/f00000")
        handle = await here.filesystem.open(ino, os.O_RDONLY)
        opened = here.filesystem.files.handles.file(handle.fh).opened
        await here.filesystem.read(handle.fh, 0, 4096)
        opened.users += 1
        await here.filesystem.release(handle.fh)
        here.store.opened.release(opened)
        await until(lambda: not len(here.store.opened))
        del opened
        assert not here.engine.hydrator._patterns


async def test_what_is_put_aside_is_for_its_owner_only(tmp_path: Path) -> None:
    async with machine(tmp_path, drive_of_a_film()) as here:  # in a folder that was there before
        node = await film(here)
        assert node.content_id is not None
        kept = here.store.aside.keep_bytes(here.store.content(node.content_id), "/a/b/film", 0)
        inside = [each for each in (kept, *kept.parents) if tmp_path in each.parents]
        assert [each.name for each in inside if each.stat().st_mode & 0o077] == []
