"""[S6.1] Pause: nothing leaves, nothing comes that nobody reads; the decision outlives the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import sync.upload_source
from sync.choices import Policy
from sync.remote import Unknown
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

LARGE = bytes(range(256)) * (16 << 10)  # 4 MiB: fetched in ranges


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """/f "old", /large: known here, no byte of them."""
    async with at_work(tmp_path, {"/f": b"old", "/large": LARGE}, read=False) as desk:
        yield desk


async def test_nothing_leaves_until_it_goes_on(desk: Desk) -> None:
    steering = desk.machine.engine.steering
    await steering.pause(paused=True)
    await desk.machine.create("/n", b"mine")
    assert not await desk.machine.push_all(5.0)
    assert "put" not in desk.machine.remote.requests
    assert not await desk.machine.engine.settle(5.0)
    await steering.pause(paused=False)
    assert (await desk.meet())["/n"] == b"mine"


async def test_it_outlives_the_process(desk: Desk) -> None:
    await desk.machine.engine.steering.pause(paused=True)
    await desk.machine.create("/n", b"mine")
    desk.machine.crash()
    assert desk.machine.engine.statistics().paused
    assert not await desk.machine.push_all(5.0)
    assert "/n" not in desk.drive.tree()


async def test_it_outlives_the_catalog(desk: Desk) -> None:
    """What a person decided is not forgotten with what the server tells anew."""
    await desk.machine.engine.steering.pause(paused=True)
    desk.machine._let_go()
    (desk.machine.directory / "state.db").write_bytes(b"damaged" * 1000)
    desk.machine.open()
    await desk.machine.begin()
    assert desk.machine.engine.statistics().paused
    await desk.machine.create("/n", b"mine")
    assert not await desk.machine.push_all(5.0)
    await desk.machine.engine.steering.pause(paused=False)
    desk.machine.crash()
    assert not desk.machine.engine.statistics().paused
    assert await desk.machine.push_all(5.0)
    assert desk.drive.tree()["/n"] == b"mine"


@pytest.mark.parametrize("data", [b"mine", LARGE], ids=["small", "large"])
async def test_nothing_begins_that_was_being_read_for_it(
    desk: Desk, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film is hashed for seconds before its first byte travels."""
    digest_of, reading, read = sync.upload_source.digest_of, trio.Event(), trio.Event()

    async def slowly(fd: int) -> tuple[int, str]:
        reading.set()
        await read.wait()
        return await digest_of(fd)

    monkeypatch.setattr("sync.upload_source.digest_of", slowly)
    await desk.machine.create("/n", data)
    desk.machine.remote.requests.clear()
    steering = desk.machine.engine.steering
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.machine.push_one, 0)
            await reading.wait()
            await steering.pause(paused=True)
            read.set()
    assert desk.machine.remote.requests == []
    await steering.pause(paused=False)
    assert (await desk.meet())["/n"] == data


async def test_an_upload_under_way_ends_and_goes_on_later(desk: Desk) -> None:
    gate = trio.Event()
    fault = desk.machine.remote.inject(Fault(operation="put", gate=gate))
    await desk.machine.create("/n", b"mine")
    steering = desk.machine.engine.steering
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.machine.push_one, 0)
            await fault.reached.wait()
            await steering.pause(paused=True)
    assert "/n" not in desk.drive.tree()
    (row,) = desk.machine.outbox()
    assert (row.state, row.reason) == ("pending", str(Unknown("interrupted by a pause")))
    await steering.pause(paused=False)
    assert (await desk.meet())["/n"] == b"mine"


async def test_reads_still_fetch_what_they_need_and_nothing_more(desk: Desk) -> None:
    engine = desk.machine.engine
    assert engine.hydrator.policy is Policy.PROGRESSIVE
    await engine.steering.pause(paused=True)
    ino = desk.machine.at("/large").ino
    fh = (await desk.do.open(ino, 0)).fh
    assert bytes(await desk.do.read(fh, 1 << 20, 100)) == LARGE[1 << 20 : (1 << 20) + 100]
    opened = desk.do.files.handles.file(fh).opened
    with trio.fail_after(5):
        while opened.downloads:  # noqa: ASYNC110 - the hydrator tells no event for that
            await trio.sleep(0.01)
    assert not opened.whole
    assert not engine.prefetcher.enabled
    await desk.do.release(fh)
    await engine.steering.pause(paused=False)
    assert await desk.machine.read(ino) == LARGE[: 1 << 20]


async def test_no_upload_is_ended_at_the_remote_meanwhile(desk: Desk) -> None:
    await desk.machine.create("/n", LARGE)
    desk.machine.remote.inject(Fault(operation="append", cut_after_bytes=1 << 20))
    await desk.machine.push_one(0)
    await desk.machine.engine.steering.pause(paused=True)
    await desk.unlink("/n")
    assert await desk.machine.push_all(5.0)
    assert "abandon" not in desk.machine.remote.requests
    await desk.machine.engine.steering.pause(paused=False)
    with trio.fail_after(10):
        while "abandon" not in desk.machine.remote.requests:
            await desk.machine.push_all(0.2)
