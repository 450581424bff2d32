"""What an attempt without a known answer may have made stays ours, whatever is answered to the attempts after it."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from cache.model import ChangeState
from sync.remote import (
    BadDigest,
    Conflict,
    Denied,
    NewFile,
    Permanent,
    QuotaFull,
    Refused,
    RemoteError,
    Unknown,
    Unreachable,
)
from sync.retrying import Backoff, Retrying
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.fakes.remote import FakeRemote
from tests.fakes.sources import BytesSource
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.opened import OpenContent

pytestmark = pytest.mark.virtual_time

LATER_REFUSALS = [BadDigest("written to while it was sent"), QuotaFull("full")]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An empty drive, and a machine at work on it."""
    async with at_work(tmp_path) as desk:
        yield desk


async def arrived_twice(desk: Desk, later: RemoteError) -> None:
    """/n: created, arrived, the answer lost; sent once more, and refused."""
    await desk.machine.create("/n", b"first")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    desk.machine.remote.inject(Fault(operation="put", before=later))
    await desk.write("/n", b"second")
    await desk.machine.push_one(0)
    assert desk.drive.tree() == {"/n": b"first"}


@pytest.mark.parametrize("later", LATER_REFUSALS, ids=lambda error: type(error).__name__)
async def test_what_was_deleted_does_not_come_back(desk: Desk, later: RemoteError) -> None:
    await arrived_twice(desk, later)
    await desk.unlink("/n")
    assert await desk.meet() == {}


async def test_what_was_replaced_takes_no_other_name(desk: Desk) -> None:
    await arrived_twice(desk, BadDigest("written to while it was sent"))
    await desk.machine.create("/n.part", b"third")
    await desk.rename("/n.part", "/n")
    assert await desk.meet() == {"/n": b"third"}


async def test_a_folder_is_not_kept_for_having_been_tried_without_a_server(desk: Desk) -> None:
    """What is refused once may only be early; hours without a server are no refusal."""
    await desk.mkdir("/d")
    assert await desk.meet() == {"/d": None}
    await desk.rmdir("/d")
    for _ in range(2):
        desk.machine.remote.inject(Fault(operation="remove", before=Unreachable()))
        await desk.machine.push_one(0)
    desk.machine.remote.inject(
        Fault(operation="remove", before=Conflict(code="not_empty", current=desk.drive.at("/d")))
    )
    assert await desk.meet() == {}


async def test_what_arrived_before_the_right_to_make_it_was_lost_is_our_own(desk: Desk) -> None:
    """It is found where it was sent, and nobody has to decide about a copy of it."""
    await arrived_twice(desk, Denied("not any more"))
    assert [row.state for row in desk.machine.outbox()] == [ChangeState.PENDING]
    await desk.rename("/n", "/moved")
    await desk.mkdir("/n")
    assert await desk.meet() == {"/n": None, "/moved": b"second"}


async def test_a_move_whose_answer_was_lost_is_known_in_a_folder_that_is_removed_since(desk: Desk) -> None:
    await desk.machine.create("/f", b"1")
    await desk.mkdir("/d")
    assert await desk.meet() == {"/d": None, "/f": b"1"}
    await desk.rename("/f", "/d/f")
    desk.machine.remote.inject(Fault(operation="move", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.rename("/d/f", "/f")
    await desk.rmdir("/d")
    assert await desk.meet() == {"/f": b"1"}


async def test_a_move_that_arrived_before_the_right_to_it_was_lost_is_moved_back(desk: Desk) -> None:
    await desk.machine.create("/f", b"1")
    assert await desk.meet() == {"/f": b"1"}
    await desk.rename("/f", "/g")
    for fault in (Fault(operation="move", after=Unknown()), Fault(operation="move", before=Denied("not any more"))):
        desk.machine.remote.inject(fault)
        await desk.machine.push_one(0)
    await desk.rename("/g", "/f")
    assert await desk.meet() == {"/f": b"1"}


async def test_a_creation_whose_answer_was_lost_is_known_in_a_folder_that_is_removed_since(desk: Desk) -> None:
    await desk.mkdir("/d")
    assert await desk.meet() == {"/d": None}
    await desk.machine.create("/d/f", b"1")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.write("/d/f", b"2")
    await desk.rename("/d/f", "/f")
    await desk.rmdir("/d")
    await desk.rename("/f", "/d")
    assert await desk.meet() == {"/d": b"2"}


@pytest.mark.parametrize("lost", [True, False])
async def test_a_refusal_tells_whether_an_earlier_attempt_may_have_arrived(lost: bool) -> None:
    drive = FakeDrive()
    remote = FakeRemote(drive)
    if lost:
        remote.inject(Fault(operation="put", after=Unknown()))
    remote.inject(Fault(operation="put", before=BadDigest()))
    target = NewFile(parent_id=drive.at("").item_id, name="n")
    with pytest.raises(Permanent) as refused:
        await Retrying(remote, random=random.Random(1), backoff=Backoff(first_s=0.01)).put(
            target, BytesSource(b"1"), mtime_ns=1, mode=0o644, key="k"
        )
    assert refused.value.in_doubt is lost


@pytest.mark.parametrize("folder", [False, True])
async def test_what_was_told_before_its_removal_is_not_shown_after_it(desk: Desk, folder: bool) -> None:
    """The feed tells what a lost creation made; it is ours, and goes with our removal."""
    await (desk.mkdir("/n") if folder else desk.machine.create("/n", b"first"))
    desk.machine.remote.inject(Fault(after=Unknown()))
    await desk.machine.push_one(0)
    await desk.machine.pull()
    await (desk.rmdir("/n") if folder else desk.unlink("/n"))
    assert desk.machine.tree() == {}
    assert await desk.meet() == {}


async def test_a_write_between_the_snapshot_and_its_sending_is_another_request(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.machine.create("/n", b"first")
    fh = (await desk.do.open(desk.machine.at("/n").ino, os.O_RDWR)).fh  # so that a copy is sent
    settle = desk.machine.store.settle

    async def late(opened: OpenContent, **rest: bool) -> None:
        monkeypatch.setattr(desk.machine.store, "settle", settle)
        await desk.do.write(fh, 0, b"other")
        await settle(opened, **rest)

    monkeypatch.setattr(desk.machine.store, "settle", late)
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.do.release(fh)
    assert await desk.machine.push_all(5.0)
    assert await desk.meet() == {"/n": b"other"}
    assert desk.machine.remote.requests.count("put") == 3  # the lost one, one that met it, and what was written since


async def test_a_key_that_stood_for_another_request_is_not_the_end_of_a_change(desk: Desk) -> None:
    await desk.machine.create("/n", b"first")
    desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
    await desk.machine.push_one(0)
    await desk.write("/n", b"other")
    desk.machine.remote.inject(Fault(operation="put", before=Refused(code="idempotency_key_reused")))
    await desk.machine.push_one(0)
    assert await desk.meet() == {"/n": b"other"}


async def test_what_others_wrote_into_our_creation_before_we_heard_of_it_outlives_its_removal(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.machine.create("/a", b"ours")
        desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
        await desk.machine.push_one(0)
        await desk.machine.pull()  # the echo, which may be ours or not
        await desk.unlink("/a")
        desk.edited("/a", b"theirs")
        assert await desk.meet() == {"/a": b"theirs"}
