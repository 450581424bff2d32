"""The cache of a drive that is not mounted: looked at, and cleared."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cache import fsck
from cache.clearing import clear
from cache.inspection import inspect
from cache.pinfile import PinState
from tests.engine.machine import file_of, flat, machine, until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SIZE = 4096


async def test_what_is_pinned_stays_and_the_rest_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drive = flat(5)
    file_of(drive, drive.root_id, "pinned", b"p" * SIZE)
    async with machine(tmp_path, drive) as here:
        await here.walk()
        pinned = await here.ino("pinned")
        await here.engine.pin(pinned, PinState.PINNED)
        await until(lambda: not len(here.store.opened))
        await here.store.save()
        blob = here.store.blobs.path(here.store.opened._blobs and here.filesystem._node(pinned).content_id)  # type: ignore[arg-type]
    caplog.set_level(logging.WARNING)

    found = inspect(tmp_path, verify=True)
    assert (found.whole_files, found.held_bytes, found.pins, found.damaged) == (6, 6 * SIZE, 1, [])
    assert found.verified_files == 6

    blob.chmod(0o600)
    blob.write_bytes(b"p" * 100 + b"q" + b"p" * (SIZE - 101))
    assert inspect(tmp_path, verify=True).damaged == ["/pinned"]
    assert [each.law for each in fsck.check(tmp_path, deep=True)] == ["digest"]

    cleared = await clear(tmp_path)
    assert (cleared.files, cleared.freed_bytes) == (5, 5 * SIZE)
    assert [(each["path"], each["why"]) for each in cleared.left] == [("/pinned", "pinned")]
    assert fsck.check(tmp_path) == []
    async with machine(tmp_path, drive) as here:
        assert await here.walk(read=False)
        assert (await here.read(await here.ino("many/f00001")))[:8] == b"00000001"
    assert not caplog.records
