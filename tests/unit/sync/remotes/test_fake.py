"""What the fake offers to the tests of others."""

from __future__ import annotations

import pytest
import trio

from cache.model import Capability, Item, Kind
from sync.remote import (
    AnchorExpired,
    Denied,
    NewFile,
    NotSignedIn,
    QuotaFull,
    Tombstone,
    Unknown,
    Unreachable,
    VersionGone,
)
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.fakes.remote import FakeRemote
from tests.fakes.sources import BytesSource


async def put(remote: FakeRemote, name: str, data: bytes, key: str = "") -> Item:
    target = NewFile(parent_id=remote.drive.root_id, name=name)
    return await remote.put(target, BytesSource(data), mtime_ns=0, mode=0o644, key=key or name)


async def test_two_clients_see_one_drive() -> None:
    drive = FakeDrive()
    one, two = FakeRemote(drive), FakeRemote(drive)
    anchor = await two.newest_anchor()
    item = await put(one, "f", b"x")
    assert list((await two.changes(anchor)).changes) == [item]
    assert drive.at("/f") == item


async def test_the_same_calls_make_the_same_drive() -> None:
    async def run() -> FakeDrive:
        drive = FakeDrive()
        for number in range(5):
            await put(FakeRemote(drive), f"f{number}", bytes([number]))
        return drive

    one, two = await run(), await run()
    assert (one.items, one.newest(), one.tree()) == (two.items, two.newest(), two.tree())


async def test_faults_before_after_and_twice() -> None:
    remote = FakeRemote(FakeDrive())
    remote.inject(Fault(operation="put", before=Unreachable()))
    with pytest.raises(Unreachable):
        await put(remote, "f", b"x")
    assert remote.drive.tree() == {}
    remote.inject(Fault(operation="put", after=Unknown()))
    with pytest.raises(Unknown):
        await put(remote, "f", b"x")
    assert remote.drive.tree() == {"/f": b"x"}
    remote.inject(Fault(operation="put", twice=True))
    assert (await put(remote, "g", b"y")).name == "g"
    assert remote.drive.tree() == {"/f": b"x", "/g": b"y"}


async def test_gates_hold_a_request_before_and_after_its_effect() -> None:
    remote = FakeRemote(FakeDrive())
    fault = remote.inject(Fault(gate=trio.Event(), answer_gate=trio.Event()))
    assert fault.gate is not None
    assert fault.answer_gate is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, remote, "f", b"x")
        await fault.reached.wait()
        assert remote.drive.tree() == {}
        fault.gate.set()
        await fault.applied.wait()
        assert remote.drive.tree() == {"/f": b"x"}
        fault.answer_gate.set()


async def test_reads_can_be_cut_or_answered_whole() -> None:
    remote = FakeRemote(FakeDrive(), piece_bytes=3)
    item = await put(remote, "f", b"0123456789")
    assert item.content_version is not None
    remote.inject(Fault(operation="read", whole=True))
    async with remote.read(item.item_id, item.content_version, 4, 6) as reader:
        assert (reader.start, reader.stop, reader.total) == (0, 10, 10)
        assert b"".join([piece async for piece in reader]) == b"0123456789"
    remote.inject(Fault(operation="read", cut_after_bytes=5))
    async with remote.read(item.item_id, item.content_version, 2, 9) as reader:
        assert await anext(aiter(reader)) == b"234"
        assert await anext(aiter(reader)) == b"56"
        with pytest.raises(Unreachable):
            await anext(aiter(reader))


async def test_expired_anchors_take_their_tombstones_along() -> None:
    remote = FakeRemote(FakeDrive(), page=2)
    anchor = await remote.newest_anchor()
    item = await put(remote, "f", b"x")
    await remote.remove(item.item_id, item.metadata_version, key="r")
    assert isinstance((await remote.get_many([item.item_id]))[item.item_id], Tombstone)
    remote.drive.expire_anchors()
    with pytest.raises(AnchorExpired) as caught:
        await remote.changes(anchor)
    assert caught.value.fresh is not None
    assert (await remote.changes(caught.value.fresh)).changes == []
    assert await remote.get_many([item.item_id]) == {item.item_id: None}
    remote.drive.begin_epoch()
    with pytest.raises(AnchorExpired):
        await remote.changes(caught.value.fresh)


async def test_old_versions_can_be_dropped() -> None:
    for drive in (FakeDrive(retain=False), FakeDrive()):
        remote = FakeRemote(drive)
        item = await put(remote, "f", b"x")
        assert item.content_version is not None
        newer = drive.overwrite(item.item_id, item.content_version, b"y", mode=0, mtime_ns=0)
        drive.drop_versions()
        with pytest.raises(VersionGone) as caught:
            await remote.read(item.item_id, item.content_version, 0, 1).__aenter__()
        assert caught.value.current == newer


async def test_capabilities_sign_in_quota_and_being_offline() -> None:
    drive = FakeDrive(total_bytes=10)
    reader = FakeRemote(drive, permitted=frozenset({Capability.READ}))
    assert (await reader.root()).capabilities == {Capability.READ}
    with pytest.raises(Denied):
        await put(reader, "f", b"x", key="denied")
    remote = FakeRemote(drive)
    with pytest.raises(QuotaFull):
        await put(remote, "f", b"x" * 11)
    remote.signed_in = False
    with pytest.raises(NotSignedIn):
        await remote.root()
    remote.online = False
    with pytest.raises(Unreachable):
        await remote.root()


async def test_hints_are_lost_when_the_client_goes_offline() -> None:
    remote = FakeRemote(FakeDrive())
    hints = aiter(remote.hints(await remote.newest_anchor()))
    await anext(hints)
    remote.drive.create(remote.drive.root_id, "d", Kind.FOLDER, mode=0, mtime_ns=0)
    await anext(hints)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_go_offline, remote)
        with pytest.raises(Unreachable):
            await anext(hints)


async def _go_offline(remote: FakeRemote) -> None:
    await trio.testing.wait_all_tasks_blocked()
    remote.online = False
