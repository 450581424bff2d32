"""Pinned trees: brought, followed, kept; excluded and unpinned ones; and what pins survive."""

from __future__ import annotations

import errno
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from cache import contents, tree
from cache.errors import NotPermitted
from cache.model import Ino, Kind
from cache.pinfile import PinState
from sync import evictor as eviction
from sync import keeper as keeping
from tests.engine.machine import Machine, file_of, folder_of, machine, until
from tests.fakes.drive import FakeDrive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import ItemId

SIZE = 4096


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "PAUSE_S", 0.02)
    monkeypatch.setattr(keeping, "GATHER_S", 0.0)
    monkeypatch.setattr(eviction, "JUST_USED_S", -2)


class Docs:
    """/docs/{a,b,sub/{c,d}} and /other/e, 4 KiB each."""

    def __init__(self) -> None:
        self.drive = FakeDrive()
        self.docs = folder_of(self.drive, self.drive.root_id, "docs")
        self.sub = folder_of(self.drive, self.docs, "sub")
        other = folder_of(self.drive, self.drive.root_id, "other")
        places = {"a": self.docs, "b": self.docs, "c": self.sub, "d": self.sub, "e": other}
        self.files: dict[str, ItemId] = {
            name: file_of(self.drive, folder, name, name.encode() * SIZE) for name, folder in places.items()
        }


@asynccontextmanager
async def keeping_machine(directory: Path, docs: Docs, *, cache_bytes: int = 1 << 40) -> AsyncIterator[Machine]:
    async with machine(directory, docs.drive, cache_bytes=cache_bytes) as here:
        import trio  # noqa: PLC0415

        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.engine.keeper.run)
            yield here
            nursery.cancel_scope.cancel()


def is_here(here: Machine, item_id: ItemId) -> bool:
    node = tree.by_item(here.store.db.reader, item_id)
    return node is not None and here.store.resident_bytes(node) == node.size > 0


def those_here(here: Machine, docs: Docs) -> str:
    return "".join(name for name, item_id in docs.files.items() if is_here(here, item_id))


def lose_catalog(directory: Path) -> None:
    """As when it was damaged beyond repair."""
    for path in directory.glob("state.db*"):
        path.unlink()


def quiet(here: Machine) -> bool:
    return not here.engine.keeper.kept.missing_files and not len(here.store.opened)


async def test_a_pinned_folder_comes_with_all_below_and_nothing_else(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        await here.engine.keeper.put(await here.ino("docs"), PinState.PINNED)
        await until(lambda: those_here(here, docs) == "abcd")
        assert await here.filesystem.getxattr(await here.ino("docs"), b"user.anchorfs.pin") == b"pinned"
        assert await here.filesystem.getxattr(await here.ino("docs/a"), b"user.anchorfs.pin") == b"inherit"
        assert await here.filesystem.getxattr(await here.ino("docs/sub/c"), b"user.anchorfs.pinned") == b"yes"
        assert await here.filesystem.getxattr(await here.ino("other/e"), b"user.anchorfs.pinned") == b"no"
        assert here.asked("read") == 0  # together, not one by one


async def test_what_is_excluded_below_is_not_brought(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        await here.filesystem.setxattr(await here.ino("docs/sub"), b"user.anchorfs.pin", b"excluded")
        await here.filesystem.setxattr(await here.ino("docs/sub/d"), b"user.anchorfs.pin", b"pinned")
        await here.filesystem.setxattr(await here.ino("docs"), b"user.anchorfs.pin", b"pinned")
        await until(lambda: those_here(here, docs) == "abd")
        await here.filesystem.removexattr(await here.ino("docs/sub"), b"user.anchorfs.pin")
        await until(lambda: those_here(here, docs) == "abcd")


async def test_new_files_and_new_versions_follow(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        await here.engine.keeper.put(await here.ino("docs"), PinState.PINNED)
        await until(lambda: those_here(here, docs) == "abcd" and quiet(here))
        fresh = folder_of(docs.drive, docs.sub, "fresh")
        docs.files["f"] = file_of(docs.drive, fresh, "f", b"f" * SIZE)
        version = docs.drive.items[docs.files["a"]].content_version
        assert version is not None
        docs.drive.overwrite(docs.files["a"], version, b"A" * SIZE, mode=0o644, mtime_ns=2)
        await here.engine.puller.pull()
        await until(lambda: those_here(here, docs) == "abcdf" and quiet(here))
        assert await here.read(await here.ino("docs/a")) == b"A" * SIZE


async def test_a_file_that_comes_into_a_pinned_folder_is_pinned(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        await here.engine.keeper.put(await here.ino("docs"), PinState.PINNED)
        await until(lambda: those_here(here, docs) == "abcd")
        await here.ino("other/e")
        await here.filesystem.rename(await here.ino("other"), "e", await here.ino("docs"), "e", 0)
        await until(lambda: those_here(here, docs) == "abcde")


async def test_pinned_bytes_are_never_evicted(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        await here.engine.keeper.put(await here.ino("docs"), PinState.PINNED)
        await here.read(await here.ino("other/e"))
        await until(lambda: those_here(here, docs) == "abcde" and quiet(here))
        here.engine.evictor.limit_bytes = 0
        assert not await here.engine.evictor.make_room()
        assert those_here(here, docs) == "abcd"
        with pytest.raises(NotPermitted, match="pinned"):
            await here.engine.evict(await here.ino("docs/a"))


async def test_more_pinned_than_fits_is_said(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs, cache_bytes=int(2.2 * SIZE)) as here:
        for name, so_far in (("a", "a"), ("b", "ab")):  # one by one: together with the third they would be refused
            await here.engine.keeper.put(await here.ino(f"docs/{name}"), PinState.PINNED)
            await until(lambda so_far=so_far: those_here(here, docs) == so_far and quiet(here))  # type: ignore[misc]
        await here.engine.keeper.put(await here.ino("docs/sub/c"), PinState.PINNED)
        await until(lambda: here.engine.statistics().pins.too_many_bytes == SIZE)
        assert those_here(here, docs) == "ab"
        here.engine.evictor.limit_bytes = 1 << 30
        await until(lambda: those_here(here, docs) == "abc")
        await until(lambda: here.engine.statistics().pins.too_many_bytes == 0)


async def test_unpinned_bytes_go_when_nobody_uses_them(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        opened = await here.filesystem.open(await here.ino("docs/a"), os.O_RDONLY)
        await here.filesystem.read(opened.fh, 0, SIZE)
        await here.read(await here.ino("docs/b"))
        await here.engine.keeper.put(await here.ino("docs"), PinState.UNPINNED)
        await until(lambda: those_here(here, docs) == "a")
        await here.filesystem.release(opened.fh)
        await until(lambda: those_here(here, docs) == "")
        await here.read(await here.ino("docs/b"))
        await until(lambda: those_here(here, docs) == "")


async def test_a_pin_survives_a_remount_a_resync_and_a_rebuilt_catalog(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        await here.engine.keeper.put(await here.ino("docs/sub"), PinState.PINNED)
        await until(lambda: those_here(here, docs) == "cd" and quiet(here))
    version = docs.drive.items[docs.sub].metadata_version
    docs.drive.move(docs.sub, version, docs.drive.root_id, "elsewhere", None)
    docs.drive.expire_anchors()
    async with keeping_machine(tmp_path, docs) as here:
        await here.engine.puller.pull()
        assert here.store.pins.keeps(await here.ino("elsewhere/c"))
    lose_catalog(tmp_path)
    async with keeping_machine(tmp_path, docs) as here:
        await until(lambda: those_here(here, docs) == "cd")  # nobody looked into any folder
        assert here.store.pins.keeps(await here.ino("elsewhere/c"))


async def test_a_pin_on_what_was_never_sent_follows_it(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        fh, made = await here.filesystem.create(await here.ino("docs"), "mine", 0o644, os.O_WRONLY)
        await here.filesystem.write(fh, 0, b"m" * SIZE)
        await here.filesystem.release(fh)
        await here.engine.keeper.put(made.ino, PinState.PINNED)
        (rule,) = here.store.pins.rules
        assert rule.item_id is None
        await push(here, made.ino)
        await until(lambda: here.store.pins.rules[0].item_id is not None)
    lose_catalog(tmp_path)
    async with keeping_machine(tmp_path, docs) as here:
        assert here.store.pins.keeps(await here.ino("docs/mine"))


async def push(here: Machine, ino: Ino) -> None:
    """Have the uploader send it."""
    import trio  # noqa: PLC0415

    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.engine.uploader.run)
        await here.store.db.write(lambda c: c.execute("UPDATE journal SET not_before_ms = 0"))
        here.engine.uploader.wake()
        await until(lambda: (node := tree.by_ino(here.store.db.reader, ino)) is not None and node.item_id is not None)
        nursery.cancel_scope.cancel()


async def test_an_editors_save_keeps_the_pin(tmp_path: Path) -> None:
    docs = Docs()
    async with keeping_machine(tmp_path, docs) as here:
        folder = await here.ino("docs")
        await here.engine.keeper.put(await here.ino("docs/a"), PinState.PINNED)
        fh, _ = await here.filesystem.create(folder, "a.tmp", 0o644, os.O_WRONLY)
        await here.filesystem.write(fh, 0, b"new")
        await here.filesystem.release(fh)
        await here.filesystem.rename(folder, "a.tmp", folder, "a", 0)
        assert await here.filesystem.getxattr(await here.ino("docs/a"), b"user.anchorfs.pin") == b"pinned"


async def test_a_word_that_is_no_pin_is_refused(tmp_path: Path) -> None:
    docs = Docs()
    async with machine(tmp_path, docs.drive) as here:
        from cache.errors import NameInvalid, NotSupported  # noqa: PLC0415

        ino = await here.ino("docs")
        with pytest.raises(NameInvalid):
            await here.filesystem.setxattr(ino, b"user.anchorfs.pin", b"perhaps")
        with pytest.raises(NotSupported):
            await here.filesystem.setxattr(ino, b"user.anchorfs.state", b"local")
        assert here.store.pins.rules == ()
        assert contents.usage(here.store.db.reader).contents == 0
        assert Kind.FOLDER is tree.by_ino(here.store.db.reader, ino).kind  # type: ignore[union-attr]


@pytest.mark.parametrize(("part", "step"), [("store", "deposit"), ("evictor", "make_room")])
async def test_a_disk_that_fails_once_keeps_nothing_away_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, step: str
) -> None:
    docs, failed = Docs(), 0
    async with keeping_machine(tmp_path, docs) as here:
        owner = here.store if part == "store" else here.engine.evictor
        working = getattr(owner, step)

        async def failing(*arguments: object) -> object:
            nonlocal failed
            failed += 1
            if failed == 1:
                raise OSError(errno.EIO, "a bad sector")
            return await working(*arguments)

        monkeypatch.setattr(owner, step, failing)
        await here.engine.pin(await here.ino("docs"), PinState.PINNED)
        await until(lambda: those_here(here, docs) == "abcd")
        assert failed
