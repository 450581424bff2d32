"""[S6.6] The outbox holds differences, not calls; nothing is given up. On a real catalog and a drive in memory."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import cache.store
from cache import items
from cache.model import ChangeState, Item, ItemId
from sync.remote import Denied, NameRefused, Unreachable
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from cache.opened import OpenContent

pytestmark = pytest.mark.virtual_time

MUTATIONS = {"put", "make_folder", "make_symlink", "move", "set_attributes", "remove"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """/f "old", /d/: known here."""
    async with at_work(tmp_path, {"/f": b"old", "/d": None}) as desk:
        yield desk


def sent(desk: Desk) -> list[str]:
    """The changes that were asked of the remote."""
    return [each for each in desk.machine.remote.requests if each in MUTATIONS]


async def test_what_was_created_and_deleted_again_is_nothing(desk: Desk) -> None:
    await desk.mkdir("/n")
    await desk.machine.create("/n/file", b"1")
    await desk.do.symlink(*desk.machine.place("/n/link"), "file")
    for path in ("/n/file", "/n/link"):
        await desk.unlink(path)
    await desk.rmdir("/n")
    assert desk.machine.outbox() == []
    await desk.meet()
    assert sent(desk) == []


async def test_many_writes_are_one_upload(desk: Desk) -> None:
    for number in range(20):
        await desk.write("/f", b"%d" % number)
    assert len(desk.machine.outbox()) == 1
    assert (await desk.meet())["/f"] == b"19"
    assert sent(desk) == ["put"]


@pytest.mark.parametrize("size", [0, 2, 6])
async def test_what_is_cut_just_before_it_is_copied_for_an_upload_has_its_size_here_too(desk: Desk, size: int) -> None:
    """The file stays open: what the upload found is all that the catalog will ever be told."""
    node = desk.machine.at("/f")
    fh = (await desk.do.open(node.ino, os.O_RDWR)).fh
    await desk.do.write(fh, 0, b"newer")
    opened = desk.machine.store.opened.get(desk.machine.at("/f").content_id)
    assert opened is not None
    async with trio.open_nursery() as nursery:
        await opened.edit.acquire()
        nursery.start_soon(desk.do.setattr, node.ino, AttributeChange(size=size), fh)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(desk.machine.push_one, 0)
        await trio.testing.wait_all_tasks_blocked()
        opened.edit.release()
    expected = b"newer"[:size].ljust(size, b"\0")
    assert desk.drive.tree()["/f"] == expected
    assert (await desk.do.getattr(node.ino)).size == size
    await desk.do.release(fh)
    assert await desk.machine.read(node.ino) == expected
    assert (await desk.meet())["/f"] == expected
    assert sent(desk) == ["put"]


async def test_a_chain_of_renames_is_one_move(desk: Desk) -> None:
    for source, target in (("/f", "/g"), ("/g", "/d/h"), ("/d/h", "/d/i")):
        await desk.rename(source, target)
    assert len(desk.machine.outbox()) == 1
    assert (await desk.meet())["/d/i"] == b"old"
    assert sent(desk) == ["move"]


async def test_a_rename_there_and_back_is_nothing(desk: Desk) -> None:
    await desk.rename("/f", "/d/g")
    await desk.rename("/d/g", "/f")
    assert desk.machine.outbox() == []
    await desk.meet()
    assert sent(desk) == []


async def test_what_is_renamed_over_another_takes_its_place_in_one_request(desk: Desk) -> None:
    """There is no moment at which the remote has neither of them under that name."""
    desk.there("/d/g", b"new")
    await desk.machine.pull()
    renamed = desk.drive.at("/d/g").item_id
    await desk.rename("/d/g", "/f")
    tree = await desk.meet()
    assert (tree, desk.drive.at("/f").item_id) == ({"/f": b"new", "/d": None}, renamed)
    assert sent(desk) == ["move"]


async def test_a_new_folder_goes_before_what_it_holds(desk: Desk) -> None:
    await desk.mkdir("/n")
    await desk.mkdir("/n/m")
    await desk.machine.create("/n/m/file", b"1")
    await desk.meet()
    assert sent(desk) == ["make_folder", "make_folder", "put"]


async def test_what_is_refused_is_parked_shown_and_retried(desk: Desk) -> None:
    """Parked with its reason and the time of its parking; nothing but a person, or a change, brings it back."""
    desk.machine.remote.inject(Fault(operation="put", before=Denied("not yours")))
    await desk.machine.create("/n", b"mine")
    await desk.machine.store.db.write(lambda c: c.execute("UPDATE journal SET queued_at_s = 1"))
    assert not await desk.machine.push_all(5.0)
    (shown,) = desk.machine.engine.queue()
    assert (shown.path, shown.change.state, shown.change.reason) == ("/n", ChangeState.PARKED, "not yours")
    told = desk.machine.engine.statistics()
    assert (told.queue_pending, told.queue_parked, told.last_error) == (0, 1, "not yours")
    (at_s,) = desk.machine.store.db.reader.execute("SELECT at_s FROM activity WHERE what = 'parked'").fetchone()
    assert abs(at_s - desk.machine.store.clock().now_ns / 1e9) < 60
    assert await desk.machine.engine.retry() == 1
    assert (await desk.meet())["/n"] == b"mine"
    assert desk.machine.engine.statistics().last_error is None


async def test_what_is_refused_for_its_name_is_sent_under_another(desk: Desk) -> None:
    """A rename is a further change: who cures what the reason says need not ask for another try."""
    desk.machine.remote.inject(Fault(operation="put", before=NameRefused("not that name")))
    await desk.machine.create("/n", b"mine")
    assert not await desk.machine.push_all(5.0)
    await desk.rename("/n", "/m")
    assert (await desk.meet())["/m"] == b"mine"


async def test_a_clock_that_is_set_back_delays_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.machine.create("/n", b"mine")
    day_s, now = 86_400, cache.store.time
    earlier = SimpleNamespace(
        time=lambda: now.time() - day_s,
        time_ns=lambda: now.time_ns() - day_s * 10**9,
        monotonic_ns=now.monotonic_ns,
    )
    monkeypatch.setattr(cache.store, "time", earlier)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.engine.uploader.run)
        with trio.fail_after(5):
            while "/n" not in desk.drive.tree():
                await desk.drive.changed.wait()
        nursery.cancel_scope.cancel()


async def test_delays_end_with_the_process_that_set_them(desk: Desk) -> None:
    """They were told by its clock, which means nothing to the next one."""
    await desk.machine.create("/n", b"mine")
    await desk.machine.store.db.write(lambda c: c.execute("UPDATE journal SET not_before_ms = 1 << 60"))
    desk.machine.crash()
    assert [row.not_before_ms for row in desk.machine.outbox()] == [0]


async def test_a_size_that_could_not_be_written_down_is_written_down_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = desk.machine.store
    fh = (await desk.do.open(desk.machine.at("/f").ino, 2)).fh
    await desk.do.write(fh, 0, b"longer than before")
    opened: OpenContent = desk.do.files.handles.file(fh).opened

    async def full(_change: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(store.db, "write_here", full)
        with pytest.raises(OSError, match="no room"):
            await store.settle(opened)
    await store.settle(opened)
    assert desk.machine.at("/f").size == len(b"longer than before")
    await desk.do.release(fh)


async def test_a_doubt_that_was_not_answered_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    item_id = desk.drive.at("/f").item_id
    db, applier = desk.machine.store.db, desk.machine.engine.applier
    await db.write(lambda connection: items.doubt(connection, [item_id]))

    async def nothing(_ids: object) -> dict[ItemId, Item]:
        await trio.lowlevel.checkpoint()
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(desk.machine.remote, "get_many", nothing)
        await applier.refresh([item_id])
    assert items.doubtful(db.reader, 10) == [item_id]


async def test_an_unknown_folder_is_asked_for_until_it_is_told(desk: Desk) -> None:
    applier = desk.machine.engine.applier
    folder = desk.there("/unseen")
    applier._wanted.add(folder.item_id)
    desk.machine.remote.inject(Fault(operation="get_many", before=Unreachable()))
    with pytest.raises(Unreachable):
        await applier.resolve_doubts()
    await applier.resolve_doubts()
    assert desk.machine.at("/unseen").item_id == folder.item_id


async def test_a_listing_that_failed_leaves_no_lock_behind(desk: Desk) -> None:
    desk.there("/d/e")
    await desk.machine.pull()
    desk.machine.remote.inject(Fault(operation="children", before=Unreachable()))
    puller = desk.machine.engine.puller
    with pytest.raises(Unreachable):
        await puller.ensure_listed(desk.machine.at("/d/e").ino)
    assert puller._listings == {}


async def refused_after(desk: Desk, operation: str, act: Awaitable[None]) -> None:
    """What is sent is refused, and `act` happens here while it is on its way."""
    remote, permitted = desk.machine.remote, desk.machine.remote.permitted
    fault = remote.inject(Fault(operation=operation, gate=trio.Event()))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.machine.push_one, 0)
            await fault.reached.wait()
            await act
            remote.permitted = frozenset()
            assert fault.gate is not None
            fault.gate.set()
    remote.permitted = permitted


async def test_what_was_renamed_before_its_refusal_is_tried_under_its_new_name(desk: Desk) -> None:
    await desk.machine.create("/refused", b"1")
    await refused_after(desk, "put", desk.rename("/refused", "/taken"))
    assert await desk.meet() == {"/f": b"old", "/d": None, "/taken": b"1"}


async def test_what_was_deleted_before_its_refusal_waits_for_nobody(desk: Desk) -> None:
    await desk.machine.create("/refused", b"1")
    await refused_after(desk, "put", desk.unlink("/refused"))
    assert await desk.meet() == {"/f": b"old", "/d": None}


async def test_what_was_written_before_its_refusal_is_tried_again(desk: Desk) -> None:
    await desk.write("/f", b"1")
    await refused_after(desk, "put", desk.write("/f", b"2"))
    assert (await desk.meet())["/f"] == b"2"


async def test_what_is_refused_as_it_is_meant_is_parked(desk: Desk) -> None:
    await desk.machine.create("/refused", b"1")
    await refused_after(desk, "put", desk.machine.create("/other", b"2"))
    assert [(row.state, row.sent_name) for row in desk.machine.outbox()] == [("parked", "refused"), ("pending", None)]


async def test_a_folder_whose_removal_met_another_change_is_removed_all_the_same(desk: Desk) -> None:
    """Only one that is not empty stays: after a failure of the link, too."""
    await desk.rmdir("/d")
    desk.machine.remote.inject(Fault(operation="remove", before=Unreachable()))
    await desk.machine.push_one(0)
    folder = desk.drive.at("/d")
    desk.drive.set_attributes(folder.item_id, folder.metadata_version, mode=0o700, mtime_ns=9)
    assert await desk.machine.push_all(60.0)
    assert desk.drive.tree() == {"/f": b"old"}


async def test_what_waits_for_a_parked_folder_says_so(desk: Desk) -> None:
    await desk.mkdir("/n")
    await desk.mkdir("/n/deep")
    await desk.machine.create("/n/deep/file", b"1")
    desk.machine.remote.inject(Fault(operation="make_folder", before=NameRefused("not here")))
    assert not await desk.machine.push_all(5.0)
    told = [(each.path, each.change.reason, each.waits) for each in desk.machine.engine.queue()]
    assert told == [
        ("/n", "not here", None),
        ("/n/deep", None, "its folder comes first: /n is parked"),
        ("/n/deep/file", None, "its folder comes first: /n is parked"),
    ]
    assert await desk.machine.engine.retry() == 1
    assert (await desk.meet())["/n/deep/file"] == b"1"
