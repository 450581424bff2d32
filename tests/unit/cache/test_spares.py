"""Files made ahead, on a real folder."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from cache import spares as module
from cache.blobs import Blobs
from cache.model import ContentId
from cache.spares import WANTED, Spares
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = ContentId(1)


@asynccontextmanager
async def running(spares: Spares) -> AsyncIterator[None]:
    """While they are made."""
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spares.run)
            while not spares.ready:  # noqa: ASYNC110  # it tells no event
                await trio.sleep(0.001)
            yield
            nursery.cancel_scope.cancel()


def _open_files(folder: Path) -> int:
    """How many files below it are open here, nameless ones too."""
    held = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which the others are listed
            held += each.readlink().is_relative_to(folder)
    return held


async def test_a_blob_made_of_one_is_as_any_other(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.create(ONE, 0, unsent=True)
    plain = blobs.path(ONE).stat()
    blobs.delete(ONE)
    async with running(blobs.spares):
        before, ready = time.time_ns(), blobs.spares.ready
        blobs.create(ONE, 0, unsent=True)
        assert blobs.spares.ready == ready - 1
        made = blobs.path(ONE).stat()
    assert (made.st_mode, made.st_size, made.st_nlink, made.st_uid) == (plain.st_mode, 0, 1, plain.st_uid)
    assert blobs.is_marked(ONE)
    assert (
        made.st_mtime_ns >= before - 20_000_000
    )  # made this moment, by the kernel's clock, which ticks every 4 to 10 ms
    assert list(blobs.ids()) == [ONE]


async def test_an_id_is_used_once_here_too(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.create(ONE, 0, unsent=True)
    blobs.path(ONE).write_bytes(b"abc")
    async with running(blobs.spares):
        with pytest.raises(FileExistsError):
            blobs.create(ONE, 0, unsent=True)
    assert blobs.path(ONE).read_bytes() == b"abc"


async def test_more_are_wanted_than_there_are(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    async with running(blobs.spares):
        for number in range(2 * WANTED):
            blobs.create(ContentId(number), 0, unsent=True)
    assert sorted(blobs.ids()) == list(range(2 * WANTED))


async def test_nothing_is_left_of_them(tmp_path: Path) -> None:
    blobs, before = Blobs(tmp_path / "blobs"), _open_files(tmp_path)
    async with running(blobs.spares):
        assert _open_files(tmp_path) > before
    assert _open_files(tmp_path) == before
    assert blobs.spares.ready == 0
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_where_there_are_no_nameless_files_a_blob_is_made_when_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "O_TMPFILE", os.O_CREAT | os.O_DIRECTORY)  # EINVAL, as of a kernel that has none
    blobs = Blobs(tmp_path / "blobs")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(blobs.spares.run)
        await trio.sleep(0.05)
        assert blobs.spares.ready == 0
        nursery.cancel_scope.cancel()
    blobs.create(ONE, 0, unsent=True)
    assert blobs.is_marked(ONE)


async def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.path(ONE).parent.rmdir()
    async with running(blobs.spares):
        blobs.create(ONE, 0, unsent=True)
    assert blobs.is_marked(ONE)


async def test_without_proc_there_are_none_and_files_are_made_when_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, really = Blobs(tmp_path / "blobs"), os.open

    def without_proc(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(2, "no /proc here", path)
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", without_proc)
    with trio.fail_after(DEADLINE_S):
        await blobs.spares.run()
    assert blobs.spares.ready == 0
    blobs.create(ONE, 0, unsent=True)
    assert blobs.path(ONE).stat().st_size == 0
