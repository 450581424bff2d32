"""What somebody opens and takes the name of while the janitor is about to forget what nobody has: it stays for him."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cache import tree
from cache.model import ROOT_INO
from tests.engine.machine import Machine, file_of, machine
from tests.fakes.drive import FakeDrive

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cache.model import Ino

DATA = b"bytes of a file"


def just_before_the_transaction(
    here: Machine, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]
) -> None:
    """The janitor has looked what is nobody's, and its transaction waits for its turn."""
    write = here.store.db.write

    async def late(change: Any, *, durable: bool = False) -> Any:  # noqa: ANN401  # as what it stands for
        monkeypatch.setattr(here.store.db, "write", write)
        await happens()
        return await write(change, durable=durable)

    monkeypatch.setattr(here.store.db, "write", late)


async def written(here: Machine, name: str) -> Ino:
    """A new file, closed: the janitor will look at it."""
    fh, made = await here.filesystem.create(ROOT_INO, name, 0o644, os.O_RDWR)
    await here.filesystem.write(fh, 0, DATA)
    await here.filesystem.release(fh)
    return made.ino


@pytest.mark.parametrize("how", ["unlinked", "renamed over"])
async def test_a_file_that_loses_its_name_just_then_is_still_there_for_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with machine(tmp_path, FakeDrive()) as here:
        files = here.filesystem
        await written(here, "two")
        await here.store.save()
        ino = await written(here, "one")
        handles: list[int] = []

        async def happens() -> None:
            handles.append((await files.open(ino, os.O_RDWR)).fh)
            if how == "unlinked":
                await files.unlink(ROOT_INO, "one")
            else:
                await files.rename(ROOT_INO, "two", ROOT_INO, "one", 0)

        just_before_the_transaction(here, monkeypatch, happens)
        await here.store.save()
        await here.store.durability.sync_all()
        if not handles:
            await happens()  # there was nothing to do, so there was no transaction
        await here.store.save()
        assert (await files.getattr(ino)).nlink == 0
        await files.write(handles[0], 0, b"BYTES")
        assert await files.read(handles[0], 0, 99) == b"BYTES" + DATA[5:]


async def test_bytes_that_are_replaced_just_then_are_still_there_for_who_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = FakeDrive()
    file_of(drive, drive.root_id, "one", DATA)
    async with machine(tmp_path, drive) as here:
        files, ino = here.filesystem, await here.ino("one")
        assert await here.read(ino) == DATA
        handles: list[int] = []

        async def happens() -> None:
            """As news of another version does."""
            handles.append((await files.open(ino, os.O_RDONLY)).fh)
            here.store.db.write_now(lambda connection: tree.set_content(connection, ino, None, 5))

        just_before_the_transaction(here, monkeypatch, happens)
        await here.store.save()
        assert handles
        (opened,) = here.store.opened
        assert here.store.content(opened.content_id).size == len(DATA)
        await files.release(handles[0])
