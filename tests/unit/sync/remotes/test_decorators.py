"""The decorators over the fake, under virtual time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
from random import Random
from typing import TYPE_CHECKING, ParamSpec

import pytest
import trio
from trio.testing import MockClock

from cache.model import Item, ItemId
from sync.limited import Bucket, Limited
from sync.presence import PATIENCE_S, Presence
from sync.remote import (
    Busy,
    Conflict,
    Denied,
    NewFile,
    Permanent,
    Remote,
    Transient,
    Unknown,
    Unreachable,
)
from sync.retrying import Backoff, Retrying
from sync.sessions import Announced, Stream, UploadId
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.fakes.remote import FakeRemote
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_P = ParamSpec("_P")


def virtual_time(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Runs the test under a clock of its own, which jumps whenever every task waits."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        trio.run(functools.partial(test, *args, **kwargs), clock=MockClock(autojump_threshold=0))

    return run


def retrying(fake: FakeRemote, *, seed: int = 0, keys_are_honoured: bool = True) -> Retrying:
    return Retrying(fake, random=Random(seed), backoff=Backoff(deadline_s=60), keys_are_honoured=keys_are_honoured)


async def new_file(remote: Remote, fake: FakeRemote, data: bytes = b"x", name: str = "f", key: str = "k") -> Item:
    target = NewFile(parent_id=fake.drive.root_id, name=name)
    return await remote.put(target, BytesSource(data), mtime_ns=0, mode=0o644, key=key)


@virtual_time
async def test_transient_failures_are_outlived() -> None:
    fake = FakeRemote(FakeDrive())
    for _ in range(3):
        fake.inject(Fault(operation="root", before=Unreachable()))
    assert (await retrying(fake).root()).item_id == fake.drive.root_id
    assert fake.requests == ["root"] * 4


@virtual_time
async def test_retry_after_is_waited_for() -> None:
    fake = FakeRemote(FakeDrive())
    fake.inject(Fault(before=Busy(retry_after_s=20)))
    began = trio.current_time()
    await retrying(fake).space()
    assert 20 <= trio.current_time() - began <= 20.5


@virtual_time
async def test_giving_up_keeps_within_the_deadline() -> None:
    fake = FakeRemote(FakeDrive())
    fake.online = False
    began = trio.current_time()
    with pytest.raises(Unreachable):
        await retrying(fake).children(fake.drive.root_id)
    assert trio.current_time() - began <= 60
    assert len(fake.requests) > 5


@virtual_time
async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    fake = FakeRemote(FakeDrive())
    fake.inject(Fault(before=Busy(retry_after_s=61)))
    began = trio.current_time()
    with pytest.raises(Busy):
        await retrying(fake).space()
    assert trio.current_time() == began


@virtual_time
async def test_the_same_seed_waits_the_same() -> None:
    async def waited(seed: int) -> float:
        fake = FakeRemote(FakeDrive())
        for _ in range(4):
            fake.inject(Fault(before=Unreachable()))
        began = trio.current_time()
        await retrying(fake, seed=seed).root()
        return trio.current_time() - began

    assert await waited(1) == pytest.approx(await waited(1))
    assert await waited(1) != pytest.approx(await waited(2))


@pytest.mark.parametrize("error", [Permanent(), Denied(), Conflict()])
@virtual_time
async def test_permanent_failures_are_not_tried_again(error: Permanent) -> None:
    fake = FakeRemote(FakeDrive())
    fake.inject(Fault(before=error))
    with pytest.raises(type(error)):
        await retrying(fake).root()
    assert fake.requests == ["root"]


@virtual_time
async def test_a_lost_answer_is_one_effect() -> None:
    fake = FakeRemote(FakeDrive())
    fake.inject(Fault(operation="put", after=Unknown()))
    fake.inject(Fault(operation="put", before=Unreachable()))
    item = await new_file(retrying(fake), fake)
    assert fake.requests == ["put"] * 3
    assert fake.drive.tree() == {"/f": b"x"}
    assert fake.drive.item(item.item_id) == item


@virtual_time
async def test_without_keys_a_lost_answer_stays_unknown() -> None:
    fake = FakeRemote(FakeDrive())
    fake.inject(Fault(operation="put", after=Unknown()))
    with pytest.raises(Unknown):
        await new_file(retrying(fake, keys_are_honoured=False), fake)
    assert fake.requests == ["put"]


@virtual_time
async def test_giving_up_after_a_lost_answer_stays_unknown() -> None:
    fake = FakeRemote(FakeDrive())
    lost = fake.inject(Fault(operation="put", after=Unknown()))

    async def go_offline() -> None:
        await lost.applied.wait()
        fake.online = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_offline)
        with pytest.raises(Unknown):
            await new_file(retrying(fake), fake)
    assert fake.drive.tree() == {"/f": b"x"}


@virtual_time
async def test_a_download_is_opened_again_but_not_gone_on_with() -> None:
    fake = FakeRemote(FakeDrive())
    item = await new_file(fake, fake, b"0123456789")
    assert item.content_version is not None
    fake.inject(Fault(operation="read", before=Unreachable()))
    fake.inject(Fault(operation="read", cut_after_bytes=4))
    got: list[bytes] = []

    async def download() -> None:
        assert item.content_version is not None
        async with retrying(fake).read(item.item_id, item.content_version, 0, 10) as reader:
            async for piece in reader:
                got.append(piece)  # noqa: PERF401  # what came before the failure counts

    with pytest.raises(Unreachable):
        await download()
    assert (b"".join(got), fake.requests.count("read")) == (b"0123", 2)


@pytest.mark.parametrize("error", [Transient(), Unknown()])
@virtual_time
async def test_every_method_is_tried_again(error: Transient | Unknown) -> None:
    fake = FakeRemote(FakeDrive())
    remote = retrying(fake)
    fake.adversary = lambda _: Fault(before=error) if len(fake.requests) % 2 else None
    root = await remote.root()
    folder = await remote.make_folder(root.item_id, "d", mode=0o755, mtime_ns=0, key="1")
    link = await remote.make_symlink(root.item_id, "l", target="t", mtime_ns=0, key="2")
    moved = await remote.move(link.item_id, link.metadata_version, folder.item_id, "m", replace=None, key="3")
    item = await new_file(remote, fake)
    newer = await remote.set_attributes(item.item_id, item.metadata_version, mode=0o600, mtime_ns=1, key="4")
    await remote.remove(newer.item_id, newer.metadata_version, key="5")
    assert (await remote.children(folder.item_id)).items == [moved]
    assert len((await remote.changes(await remote.newest_anchor())).changes) == 0
    assert await remote.get_many([ItemId("?")]) == {ItemId("?"): None}
    assert (await remote.space()).total > 0
    assert len(fake.requests) == 2 * len({*fake.requests})
    await remote.aclose()


@virtual_time
async def test_uploads_and_metadata_have_limits_of_their_own() -> None:
    fake = FakeRemote(FakeDrive())
    remote = Limited(fake, uploads=2, metadata=3)
    gate = trio.Event()
    held = [fake.inject(Fault(operation=name, gate=gate)) for name in ["put"] * 4 + ["root"] * 5]
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(new_file, remote, fake, b"x", f"f{number}", f"k{number}")
        for _ in range(5):
            nursery.start_soon(remote.root)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(fake.requests) == ["put"] * 2 + ["root"] * 3
        gate.set()
    assert sorted(fake.requests) == ["put"] * 4 + ["root"] * 5
    assert all(fault.reached.is_set() for fault in held)


@virtual_time
async def test_an_open_download_holds_its_slot_until_it_is_closed() -> None:
    fake = FakeRemote(FakeDrive())
    item = await new_file(fake, fake)
    assert item.content_version is not None
    remote = Limited(fake, transfers=1)
    async with remote.read(item.item_id, item.content_version, 0, 1):
        with trio.move_on_after(5) as scope:
            async with remote.read(item.item_id, item.content_version, 0, 1):
                pytest.fail("a second slot")
        assert scope.cancelled_caught
        await new_file(remote, fake, name="g", key="g")  # the other way is free
    async with remote.read(item.item_id, item.content_version, 0, 1):
        assert fake.requests.count("read") == 2


@virtual_time
async def test_rates_hold_both_ways_and_do_not_change_bytes() -> None:
    fake = FakeRemote(FakeDrive(), piece_bytes=1000)
    remote = Limited(fake, up_bytes_per_s=100_000, down_bytes_per_s=10_000)
    data = bytes(range(250)) * 4000
    began = trio.current_time()
    item = await new_file(remote, fake, data)
    assert trio.current_time() - began == pytest.approx(10, abs=0.5)
    assert item.content_version is not None
    began = trio.current_time()
    async with remote.read(item.item_id, item.content_version, 0, 100_000) as reader:
        assert (reader.start, reader.stop, reader.total) == (0, 100_000, 1_000_000)
        assert b"".join([piece async for piece in reader]) == data[:100_000]
    assert trio.current_time() - began == pytest.approx(10, abs=0.5)


@virtual_time
async def test_two_takers_share_one_bucket() -> None:
    bucket = Bucket(1000)
    began = trio.current_time()

    async def take() -> None:
        for _ in range(10):
            await bucket.take(100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
    assert trio.current_time() - began == pytest.approx(2, abs=0.3)


@virtual_time
async def test_an_idle_bucket_saves_no_more_than_a_burst() -> None:
    bucket = Bucket(1000, burst_s=0.5)
    await trio.sleep(100)
    began = trio.current_time()
    await bucket.take(500)
    assert trio.current_time() == began
    await bucket.take(500)
    assert trio.current_time() - began == pytest.approx(0.5)


@virtual_time
async def test_a_slow_rate_is_slow_bytes_and_no_long_silence() -> None:
    """A server ends what is silent for a minute; a chunk of a MiB at 8 KiB/s would be two."""
    fake = FakeRemote(FakeDrive())
    remote = Limited(fake, up_bytes_per_s=8192)
    came: list[float] = []

    class Watching:
        async def append(self, _upload_id: UploadId, stream: Stream, start: int) -> int:
            async for chunk in stream.chunks(start):
                came.append(trio.current_time())
                start += len(chunk)
            return start

    remote._remote = Watching()  # type: ignore[assignment]
    source = BytesSource(bytes(1 << 18), piece_bytes=1 << 20)
    assert await remote.append(UploadId("u"), source, 0) == 1 << 18
    assert max(later - earlier for earlier, later in itertools.pairwise(came)) <= 0.5
    assert came[-1] - came[0] == pytest.approx(32, abs=1)


def announced(data: bytes) -> Announced:
    return Announced(size=len(data), digest=BytesSource(data).digest, stream_bytes=len(data))


@virtual_time
async def test_an_upload_that_is_cut_again_and_again_goes_on_where_it_stands() -> None:
    fake = FakeRemote(FakeDrive())
    remote, data, dice = retrying(fake), bytes(range(250)) * 4000, Random(4)
    upload_id = await remote.begin_upload(announced(data), key="b")
    for _ in range(40):
        fake.inject(Fault(operation="append", cut_after_bytes=dice.randrange(len(data) // 41)))
    assert await remote.append(upload_id, BytesSource(data), 0) == len(data)
    assert fake.sent_bytes == len(data), "bytes were sent twice"
    assert fake.requests.count("append") == 41
    target = NewFile(parent_id=fake.drive.root_id, name="f")
    item = await remote.commit(upload_id, announced(data), target, mtime_ns=0, mode=0o644, key="c")
    assert item.digest == BytesSource(data).digest


@virtual_time
async def test_an_upload_whose_answer_was_lost_is_not_sent_again() -> None:
    fake = FakeRemote(FakeDrive())
    remote, data = retrying(fake), b"data"
    upload_id = await remote.begin_upload(announced(data), key="b")
    fake.inject(Fault(operation="append", after=Unknown("lost")))
    assert await remote.append(upload_id, BytesSource(data), 0) == 4
    assert (fake.sent_bytes, fake.requests.count("append")) == (4, 1)


@virtual_time
async def test_an_upload_without_progress_is_given_up() -> None:
    fake = FakeRemote(FakeDrive())
    remote = retrying(fake)
    upload_id = await remote.begin_upload(announced(b"data"), key="b")
    fake.adversary = lambda operation: (
        Fault(operation="append", before=Unreachable()) if operation == "append" else None
    )
    began = trio.current_time()
    with pytest.raises(Unreachable):
        await remote.append(upload_id, BytesSource(b"data"), 0)
    assert trio.current_time() - began <= 60


@virtual_time
async def test_sessions_pass_through_both_decorators() -> None:
    fake = FakeRemote(FakeDrive())
    remote = Limited(retrying(fake))
    for operation in ("begin_upload", "append", "uploaded", "commit", "blocks", "abandon"):
        fake.inject(Fault(operation=operation, before=Unreachable()))
    upload_id = await remote.begin_upload(announced(b"data"), key="b")
    assert await remote.append(upload_id, BytesSource(b"data"), 0) == 4
    target = NewFile(parent_id=fake.drive.root_id, name="f")
    item = await remote.commit(upload_id, announced(b"data"), target, mtime_ns=0, mode=0o644, key="c")
    assert item.content_version is not None
    assert await remote.blocks(item.item_id, item.content_version, 4, 4096) == [hashlib.sha256(b"data").digest()]
    await remote.abandon(upload_id)
    assert fake.drive.sessions == {}


class Absent:
    """A remote that nobody reaches, and who finds out whether it is back."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.fake = FakeRemote(FakeDrive())
        self.fake.online = False
        self.asked = 0
        self._nursery = nursery
        presence = Presence()
        presence.probe = self._probe
        self.remote = Retrying(self.fake, random=Random(0), backoff=Backoff(deadline_s=4), presence=presence)

    def _probe(self) -> None:
        self.asked += 1
        self._nursery.start_soon(self._ask)

    async def _ask(self) -> None:
        with contextlib.suppress(Unreachable):
            await self.remote.changes(self.fake.drive.newest())

    async def wait_s(self) -> float:
        """How long a listing waits in vain."""
        began = trio.current_time()
        with pytest.raises(Unreachable):
            await self.remote.children(self.fake.drive.root_id)
        return trio.current_time() - began


@virtual_time
async def test_who_looks_once_a_wait_was_in_vain_does_not_wait() -> None:
    async with trio.open_nursery() as nursery:
        absent = Absent(nursery)
        assert 1 < await absent.wait_s() <= 4
        assert absent.asked == 0
        before = absent.fake.requests.count("children")
        assert [await absent.wait_s() for _ in range(3)] == [0.0] * 3
        assert absent.asked == 3
        assert absent.fake.requests.count("children") == before


@virtual_time
async def test_who_looks_when_it_is_back_is_answered() -> None:
    async with trio.open_nursery() as nursery:
        absent = Absent(nursery)
        await absent.wait_s()
        absent.fake.online = True
        assert not (await absent.remote.children(absent.fake.drive.root_id)).items
        assert absent.asked == 1
        await absent.remote.children(absent.fake.drive.root_id)
        assert absent.asked == 1


@virtual_time
async def test_of_a_line_that_swallows_all_nobody_waits_for_long() -> None:
    async with trio.open_nursery() as nursery:
        absent = Absent(nursery)
        await absent.wait_s()
        absent.fake.online = True
        absent.fake.inject(Fault(operation="changes", gate=trio.Event()))
        assert await absent.wait_s() == PATIENCE_S
        nursery.cancel_scope.cancel()


@virtual_time
async def test_an_answer_to_a_change_ends_that_even_if_it_is_a_refusal() -> None:
    async with trio.open_nursery() as nursery:
        absent = Absent(nursery)
        await absent.wait_s()
        absent.fake.online = True
        absent.fake.inject(Fault(operation="put", before=Denied()))
        with pytest.raises(Denied):
            await new_file(absent.remote, absent.fake)
        await absent.remote.children(absent.fake.drive.root_id)
        assert absent.asked == 0


@virtual_time
async def test_one_that_is_to_be_greeted_is_asked_nothing_before_and_greeted_once() -> None:
    fake, presence, refusals, met = FakeRemote(FakeDrive()), Presence(), [Unreachable("another")] * 2, list[int]()

    async def greeting() -> None:
        await trio.lowlevel.checkpoint()
        if refusals:
            raise refusals.pop()
        met.append(len(fake.requests))

    presence.greeting = greeting
    remote = Retrying(fake, random=Random(0), backoff=Backoff(deadline_s=0), presence=presence)
    for _ in range(2):
        with pytest.raises(Unreachable, match="another"):
            await remote.children(fake.drive.root_id)
    for _ in range(2):
        await remote.children(fake.drive.root_id)
    assert (met, fake.requests) == ([0], ["children"] * 2)
