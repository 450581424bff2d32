"""Reads of bytes that do not come, or not all: how long each kind waits, what is asked for again, and what not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from cache.model import Kind
from sync import hydrator
from sync.choices import Policy
from sync.remote import Unreachable
from tests.engine.machine import machine, until
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from vfs import files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.virtual_time
MIB = 1 << 20
DATA = bytes(range(256)) * (4 * MIB // 256)


async def test_read_ahead_is_given_up_early_and_a_page_that_is_waited_for_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "AHEAD_PATIENCE_S", 0.05)
    drive = FakeDrive()
    drive.create(drive.root_id, "file", Kind.FILE, mode=0o644, mtime_ns=1, data=DATA)
    async with machine(tmp_path, drive) as made, trio.open_nursery() as nursery:
        fault = made.remote.inject(Fault(operation="read", gate=trio.Event()))
        fh = (await made.filesystem.open(await made.ino("file"), os.O_RDONLY)).fh
        with pytest.raises(Unreachable):
            await made.filesystem.read(fh, 0, MIB)
        got: list[bytes] = []

        async def wait(count: int) -> None:
            got.append(bytes(await made.filesystem.read(fh, 0, count)))

        nursery.start_soon(wait, 4096)
        nursery.start_soon(wait, MIB)  # asked for again: somebody waits for it
        await trio.sleep(0.2)
        assert got == []
        assert fault.gate is not None
        fault.gate.set()
        await until(lambda: len(got) == 2)
        assert sorted(got, key=len) == [DATA[:4096], DATA[:MIB]]
        assert made.asked("read") == 1, "one stream served all of them"
        await made.filesystem.release(fh)


async def test_after_a_restart_only_what_is_missing_is_fetched(tmp_path: Path) -> None:
    drive = FakeDrive()
    drive.create(drive.root_id, "file", Kind.FILE, mode=0o644, mtime_ns=1, data=DATA)
    async with machine(tmp_path, drive, policy=Policy.PARTIAL) as made:
        fh = (await made.filesystem.open(await made.ino("file"), os.O_RDONLY)).fh
        assert await made.filesystem.read(fh, MIB, 4096) == DATA[MIB : MIB + 4096]
        await until(lambda: made.engine.hydrator.statistics.active == 0)
        await made.filesystem.release(fh)
        before = made.engine.statistics().bytes_down
    async with machine(tmp_path, drive, policy=Policy.PARTIAL) as made:
        await made.engine.hydrate(await made.ino("file"))
        assert made.engine.statistics().bytes_down == len(DATA) - before
        assert await made.read(await made.ino("file")) == DATA[:MIB]


async def test_bytes_that_nobody_wants_any_more_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hydrator, "KEEP_GOING_BYTES", MIB)
    drive = FakeDrive()
    drive.create(drive.root_id, "file", Kind.FILE, mode=0o644, mtime_ns=1, data=DATA)
    async with machine(tmp_path, drive) as made:
        fault = made.remote.inject(Fault(operation="read", gate=trio.Event()))
        fh = (await made.filesystem.open(await made.ino("file"), os.O_RDONLY)).fh
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.filesystem.read, fh, 0, 4096)
            await fault.reached.wait()
            nursery.cancel_scope.cancel()
        assert made.engine.hydrator.statistics.active == 1
        await made.filesystem.release(fh)
        await until(lambda: made.engine.hydrator.statistics.active == 0)
        assert fault.gate is not None
        fault.gate.set()
        assert made.engine.statistics().bytes_down == 0
