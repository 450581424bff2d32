"""Large files: they go on where they stood, only what differs travels, nothing is sent twice, and nothing is torn."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache import uploads
from sync.remote import BadDigest, Gone, Refused, RemoteError, Unknown, Unreachable, VersionGone
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

KIB = 1 << 10
LARGE = 256 * KIB  # what counts as large here
SIZE = 1 << 20
OLD, NEW = (random.Random(seed).randbytes(SIZE) for seed in (1, 2))
PIECES = {"begin_upload", "uploaded", "append", "commit", "abandon", "blocks", "put"}


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.transfers.IN_PIECES_BYTES", LARGE)
    monkeypatch.setattr("sync.upload_source.CHUNK_BYTES", 64 * KIB)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """/f OLD, here whole."""
    async with at_work(tmp_path, {"/f": OLD}) as desk:
        desk.machine.remote.requests.clear()
        yield desk


def asked(desk: Desk) -> list[str]:
    return [each for each in desk.machine.remote.requests if each in PIECES]


def rows(desk: Desk) -> int:
    (count,) = desk.machine.store.db.reader.execute("SELECT count(*) FROM upload").fetchone()
    return int(count)


async def settled(desk: Desk) -> dict[str, bytes | str | None]:
    """What both sides agree on; no session and no row of one is left."""
    told = await desk.meet()
    await desk.machine.engine.uploader._leftovers._end_all()
    assert rows(desk) == 0
    assert all(session.item is not None for session in desk.drive.sessions.values())
    return told


async def edit(desk: Desk, offset: int, data: bytes, path: str = "/f") -> None:
    await desk.machine.write(desk.machine.at(path).ino, offset, data)


def edited(offset: int, data: bytes) -> bytes:
    return OLD[:offset] + data + OLD[offset + len(data) :]


async def test_small_files_go_in_one_request_and_large_ones_in_pieces(desk: Desk) -> None:
    await desk.machine.create("/small", NEW[: LARGE - 1])
    await settled(desk)
    assert asked(desk) == ["put"]
    desk.machine.remote.requests.clear()
    await desk.machine.create("/large", NEW[:LARGE])
    await settled(desk)
    assert asked(desk) == ["begin_upload", "uploaded", "append", "commit"]
    assert desk.machine.remote.sent_bytes == LARGE


@pytest.mark.parametrize("seed", range(5))
async def test_an_upload_goes_on_where_it_stood_through_cuts_and_crashes(desk: Desk, seed: int) -> None:
    dice = random.Random(seed)
    await desk.machine.create("/n", NEW)
    for _ in range(4):
        desk.machine.remote.inject(Fault(operation="append", cut_after_bytes=dice.randrange(SIZE // 5)))
        await desk.machine.push_one(0)
        assert desk.machine.outbox()
        if dice.random() < 0.7:
            desk.machine.crash()
            await desk.machine.begin()
    assert (await settled(desk))["/n"] == NEW
    assert desk.machine.remote.sent_bytes == SIZE, "bytes were sent twice"
    assert asked(desk).count("begin_upload") == 1


@pytest.mark.parametrize("operation", ["begin_upload", "append", "commit"])
@pytest.mark.parametrize("crash", [False, True])
async def test_a_lost_answer_costs_no_byte_and_makes_no_second_file(desk: Desk, operation: str, *, crash: bool) -> None:
    await desk.machine.create("/n", NEW)
    desk.machine.remote.inject(Fault(operation=operation, after=Unknown("lost")))
    await desk.machine.push_one(0)
    if crash:
        desk.machine.crash()
        await desk.machine.begin()
    assert await settled(desk) == {"/f": OLD, "/n": NEW}
    assert desk.machine.remote.sent_bytes == SIZE
    assert len(desk.drive.sessions) <= 1


async def test_a_session_that_expired_is_begun_again(desk: Desk) -> None:
    await desk.machine.create("/n", NEW)
    desk.machine.remote.inject(Fault(operation="append", cut_after_bytes=SIZE // 2))
    await desk.machine.push_one(0)
    desk.drive.sessions.clear()
    assert (await settled(desk))["/n"] == NEW
    assert asked(desk).count("begin_upload") == 2


async def test_a_session_that_expires_before_its_commit_is_begun_again(desk: Desk) -> None:
    await desk.machine.create("/n", NEW)
    fault = desk.machine.remote.inject(Fault(operation="commit", gate=trio.Event()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.push_one, 0)
        await fault.reached.wait()
        desk.drive.sessions.clear()
        assert fault.gate is not None
        fault.gate.set()
    assert (await settled(desk))["/n"] == NEW


async def test_only_what_changed_travels(desk: Desk) -> None:
    await edit(desk, 300_000, b"x" * 4096)
    assert (await settled(desk))["/f"] == edited(300_000, b"x" * 4096)
    assert desk.machine.remote.sent_bytes < 48 * KIB
    assert asked(desk) == ["blocks", "begin_upload", "uploaded", "append", "commit"]


async def test_only_what_changed_travels_when_an_editor_saves_by_renaming(desk: Desk) -> None:
    ino = desk.machine.at("/f").ino
    await desk.machine.create("/.f.tmp", edited(500_000, b"saved"))
    await desk.rename("/.f.tmp", "/f")
    assert await settled(desk) == {"/f": edited(500_000, b"saved")}
    assert desk.machine.remote.sent_bytes < 48 * KIB
    assert desk.machine.at("/f").ino != ino, "the name bears what was renamed"
    assert len(desk.drive.items) == 2


async def test_what_is_mostly_new_travels_whole(desk: Desk) -> None:
    await desk.write("/f", NEW)
    assert (await settled(desk))["/f"] == NEW
    assert desk.machine.remote.sent_bytes == SIZE


async def test_a_delta_goes_on_after_a_crash(desk: Desk) -> None:
    await edit(desk, 100_000, NEW[:200_000])
    desk.machine.remote.inject(Fault(operation="append", cut_after_bytes=90_000))
    await desk.machine.push_one(0)
    desk.machine.crash()
    await desk.machine.begin()
    assert (await settled(desk))["/f"] == edited(100_000, NEW[:200_000])
    assert desk.machine.remote.sent_bytes < 250 * KIB
    assert asked(desk).count("begin_upload") == 1


async def test_a_delta_whose_base_is_gone_gives_way_to_the_whole(desk: Desk) -> None:
    await edit(desk, 0, b"mine")
    base = desk.drive.at("/f")
    fault = desk.machine.remote.inject(Fault(operation="commit", gate=trio.Event()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.push_one, 0)
        await fault.reached.wait()
        assert base.content_version is not None
        lost = desk.drive.bodies.pop((base.item_id, base.content_version))
        assert fault.gate is not None
        fault.gate.set()
    assert lost == OLD
    assert (await settled(desk))["/f"] == edited(0, b"mine")


@pytest.mark.parametrize("error", [Refused("no delta"), VersionGone("the base"), Gone("the base's item")], ids=repr)
async def test_a_delta_that_is_refused_while_it_travels_gives_way_to_the_whole(desk: Desk, error: RemoteError) -> None:
    await desk.machine.write(desk.machine.at("/f").ino, 500, b"edit")
    desk.machine.remote.inject(Fault(operation="append", before=error))
    assert (await settled(desk))["/f"] == OLD[:500] + b"edit" + OLD[504:]
    assert asked(desk).count("begin_upload") == 2


async def test_a_delta_that_is_refused_is_not_tried_for_ever(desk: Desk) -> None:
    await edit(desk, 0, b"mine")
    desk.machine.remote.inject(Fault(operation="commit", before=BadDigest()))
    await desk.machine.push_one(0)
    assert (await settled(desk))["/f"] == edited(0, b"mine")
    assert asked(desk).count("blocks") == 1
    assert desk.machine.remote.sent_bytes > SIZE


@pytest.mark.parametrize("delta", [False, True])
async def test_a_conflict_sends_no_byte_again(desk: Desk, *, delta: bool) -> None:
    mine = edited(0, b"mine") if delta else NEW
    await (edit(desk, 0, b"mine") if delta else desk.write("/f", NEW))
    desk.machine.remote.inject(Fault(operation="commit", before=Unreachable()))
    await desk.machine.push_one(0)
    sent = desk.machine.remote.sent_bytes
    desk.edited("/f", b"theirs")
    told = await settled(desk)
    assert told.pop("/f") == b"theirs"
    assert list(told.values()) == [mine]
    assert "conflict" in next(iter(told))
    assert desk.machine.remote.sent_bytes == sent
    assert asked(desk).count("append") == 1


async def held(desk: Desk, nursery: trio.Nursery) -> Fault:
    """A row whose bytes have begun to travel and stand still."""
    fault = desk.machine.remote.inject(Fault(operation="append", piece_gate=trio.Event()))
    nursery.start_soon(desk.machine.push_one, 0)
    await fault.applied.wait()
    return fault


def let_go(fault: Fault) -> None:
    assert fault.piece_gate is not None
    fault.piece_gate.set()


async def test_a_file_that_is_renamed_while_it_travels_lands_under_its_new_name(desk: Desk) -> None:
    await desk.machine.create("/n", NEW)
    async with trio.open_nursery() as nursery:
        fault = await held(desk, nursery)
        await desk.rename("/n", "/m")
        let_go(fault)
    assert await settled(desk) == {"/f": OLD, "/m": NEW}
    assert desk.machine.remote.sent_bytes == SIZE
    assert "move" not in desk.machine.remote.requests


async def test_a_file_that_is_deleted_while_it_travels_is_nothing(desk: Desk) -> None:
    await desk.machine.create("/n", NEW)
    async with trio.open_nursery() as nursery:
        fault = await held(desk, nursery)
        await desk.unlink("/n")
        let_go(fault)
    assert desk.machine.outbox() == []
    assert desk.machine.remote.sent_bytes < SIZE
    assert await settled(desk) == {"/f": OLD}
    assert desk.drive.sessions == {}, "the remote keeps bytes that nobody wants"


async def test_a_file_that_is_written_to_while_it_travels_is_never_torn(desk: Desk) -> None:
    """Read in place: the sending ends, and the state after the write is sent instead."""
    await desk.machine.create("/n", NEW)
    async with trio.open_nursery() as nursery:
        fault = await held(desk, nursery)
        await edit(desk, SIZE - 4, b"late", "/n")
        let_go(fault)
    assert desk.machine.remote.sent_bytes < SIZE
    (row,) = [row for row in desk.machine.outbox() if row.attempts]
    fresh = (await settled(desk))["/n"]
    assert (row.attempts, fresh) == (1, NEW[:-4] + b"late")
    bodies = [body for body in desk.drive.bodies.values() if body not in {OLD, fresh}]
    assert bodies == []


async def test_a_file_that_is_being_written_travels_as_it_was_at_one_moment(desk: Desk) -> None:
    await desk.machine.create("/n", NEW)
    fh = (await desk.do.open(desk.machine.at("/n").ino, os.O_RDWR)).fh
    async with trio.open_nursery() as nursery:
        fault = await held(desk, nursery)
        await desk.do.write(fh, SIZE - 4, b"late")
        let_go(fault)
    assert desk.drive.tree()["/n"] == NEW
    await desk.do.release(fh)
    assert (await settled(desk))["/n"] == NEW[:-4] + b"late"
    assert desk.machine.remote.sent_bytes < SIZE + 48 * KIB, "the rest is a delta over what has just landed"


async def test_a_file_that_was_overtaken_once_is_copied_before_it_is_sent_again(desk: Desk) -> None:
    """Otherwise one that is rewritten more often than it can be sent would never arrive."""
    await desk.machine.create("/n", NEW)
    for late in (b"one", b"two"):
        async with trio.open_nursery() as nursery:
            fault = await held(desk, nursery)
            await edit(desk, 0, late, "/n")
            let_go(fault)
    assert desk.drive.tree()["/n"] == b"one" + NEW[3:]
    assert (await settled(desk))["/n"] == b"two" + NEW[3:]


async def test_a_full_disk_does_not_keep_a_file_from_being_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for a copy: it is read in place."""
    await desk.machine.create("/n", NEW)
    desk.machine.remote.inject(Fault(operation="append", before=Unreachable()))
    await desk.machine.push_one(0)
    monkeypatch.setattr(desk.machine.store.blobs, "free_bytes", lambda: SIZE)
    monkeypatch.setattr(desk.machine.store.blobs, "snapshot", lambda _: pytest.fail("copied"))
    assert (await settled(desk))["/n"] == NEW


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110  # nothing tells an event for what is looked at here
            await trio.sleep(0.01)


async def test_large_files_leave_room_for_small_ones(desk: Desk) -> None:
    gate = trio.Event()
    for number in range(8):
        await desk.machine.create(f"/large{number}", NEW[:LARGE] + bytes([number]))
        desk.machine.remote.inject(Fault(operation="append", gate=gate))
    for number in range(3):
        await desk.machine.create(f"/small{number}", b"%d" % number)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.engine.uploader.run)
        await until(lambda: asked(desk).count("append") == 2)
        await until(lambda: sum(path.startswith("/small") for path in desk.drive.tree()) == 3)
        statistics = desk.machine.engine.statistics()
        assert (statistics.uploads_active, statistics.upload_bytes_sent) == (2, 0)
        assert statistics.upload_bytes_total == 2 * (LARGE + 1)
        assert asked(desk).count("begin_upload") == 2, "a third large file has begun"
        gate.set()
        await until(lambda: not desk.machine.outbox())
        nursery.cancel_scope.cancel()
    assert len(await settled(desk)) == 12


async def test_what_nobody_wants_any_more_is_ended_soon(desk: Desk) -> None:
    fault = desk.machine.remote.inject(Fault(operation="append", piece_gate=trio.Event()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.engine.uploader.run)
        await trio.testing.wait_all_tasks_blocked()
        await desk.machine.create("/n", NEW)
        desk.machine.engine.changed()
        await fault.applied.wait()
        await desk.unlink("/n")
        let_go(fault)
        await until(lambda: desk.drive.sessions == {})
        nursery.cancel_scope.cancel()
    assert asked(desk).count("abandon") == 1
    assert await settled(desk) == {"/f": OLD}


async def test_saves_within_the_delay_are_one_upload(desk: Desk) -> None:
    desk.machine.store.write_back_delay_s = 0.5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.engine.uploader.run)
        for number in range(12):
            await desk.write("/f", b"save %d" % number)
            desk.machine.engine.changed()
            await trio.sleep(0.02)
        assert asked(desk) == []
        await until(lambda: not desk.machine.outbox())
        nursery.cancel_scope.cancel()
    assert asked(desk) == ["put"]
    assert desk.drive.tree()["/f"] == b"save 11"


async def test_the_row_is_there_before_the_remote_is_asked(desk: Desk) -> None:
    await desk.machine.create("/n", NEW)
    content_id = desk.machine.at("/n").content_id
    assert content_id is not None
    fault = desk.machine.remote.inject(Fault(operation="begin_upload", gate=trio.Event()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.push_one, 0)
        await fault.reached.wait()
        row = uploads.of_content(desk.machine.store.db.reader, content_id)
        assert row is not None
        assert (row.remote_id, row.stream_bytes) == (None, SIZE)
        assert fault.gate is not None
        fault.gate.set()
    assert (await settled(desk))["/n"] == NEW
