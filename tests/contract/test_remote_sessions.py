"""One suite for every Remote: uploads in pieces, deltas, and commits elsewhere."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from cache.model import Item, Version
from sync.capabilities import Feature
from sync.closing import closing
from sync.remote import (
    BadDigest,
    Conflict,
    Gone,
    NewFile,
    Overwrite,
    Refused,
    RemoteError,
    Unknown,
    UploadGone,
    VersionGone,
)
from sync.retrying import Retrying
from sync.sessions import Announced, Over, UploadId
from tests.contract.homes import MTIME_NS, content, facts
from tests.contract.offers import lacks, needs
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from sync.remote import Remote
    from tests.contract.homes import Home

KIB = 1 << 10


OLD = random.Random(3).randbytes(200 * KIB)
NEW = OLD[: 64 * KIB] + b"edited" + OLD[64 * KIB + 6 :]
EDIT = (
    b"AFDELTA1C" + bytes(8) + (64 * KIB).to_bytes(8) + b"L" + (6).to_bytes(8) + b"edited"
    b"C" + (64 * KIB + 6).to_bytes(8) + (len(OLD) - 64 * KIB - 6).to_bytes(8)
)


def whole(data: bytes) -> Announced:
    return Announced(size=len(data), digest=BytesSource(data).digest, stream_bytes=len(data))


def over(item: Item, delta: bytes, new: bytes) -> Announced:
    assert item.content_version is not None
    base = Over(item_id=item.item_id, version=item.content_version)
    return Announced(size=len(new), digest=BytesSource(new).digest, stream_bytes=len(delta), over=base)


def new_file(home: Home, name: str) -> NewFile:
    return NewFile(parent_id=home.folder, name=name)


def overwrite(item: Item) -> Overwrite:
    assert item.content_version is not None
    return Overwrite(item_id=item.item_id, base=item.content_version)


class Broken(Exception):
    """What a source may raise."""


class BreakingSource(BytesSource):
    """Ends with an error in its middle."""

    async def chunks(self, start: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
        async with closing(super().chunks(start)) as chunks:
            async for chunk in chunks:
                yield chunk
                if start < len(self.data) // 2:
                    raise Broken


async def sent(home: Home, data: bytes, announced: Announced) -> UploadId:
    upload_id = await home.remote.begin_upload(announced, key=home.key())
    assert await home.remote.append(upload_id, BytesSource(data), 0) == len(data)
    return upload_id


async def commit(  # noqa: PLR0917
    home: Home, upload_id: UploadId, announced: Announced, target: NewFile | Overwrite, key: str = "",
    remote: Remote | None = None,
) -> Item:  # fmt: skip
    return await (remote or home.remote).commit(
        upload_id, announced, target, mtime_ns=MTIME_NS, mode=0o640, key=key or home.key()
    )


@needs(Feature.SESSIONS)
@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_bytes_then_a_name(home: Home, size: int) -> None:
    data = random.Random(size).randbytes(size)
    upload_id = await sent(home, data, whole(data))
    assert (await home.remote.children(home.folder)).items == []
    item = await commit(home, upload_id, whole(data), new_file(home, "f"))
    assert (item.name, item.size, item.mode, item.mtime_ns) == ("f", size, 0o640, MTIME_NS)
    assert item.digest == BytesSource(data).digest
    assert await content(home.remote, item) == data
    assert [facts(each) for each in (await home.remote.children(home.folder)).items] == [facts(item)]


@needs(Feature.SESSIONS)
async def test_a_session_is_begun_once_per_key(home: Home) -> None:
    key = home.key()
    first = await home.remote.begin_upload(whole(NEW), key=key)
    await home.remote.append(first, BytesSource(NEW), 0)
    assert await home.remote.begin_upload(whole(NEW), key=key) == first
    assert await home.remote.uploaded(first) == len(NEW)
    assert await home.remote.begin_upload(whole(NEW), key=home.key()) != first


@needs(Feature.SESSIONS)
async def test_what_arrived_before_a_break_is_kept_and_the_rest_is_sent(home: Home) -> None:
    data = random.Random(9).randbytes(2_000_000)
    upload_id = await home.remote.begin_upload(whole(data), key=home.key())
    with pytest.raises((Broken, RemoteError)):
        await home.remote.append(upload_id, BreakingSource(data), 0)
    stands = await home.remote.uploaded(upload_id)
    assert 0 <= stands < len(data)
    if not isinstance(home.remote, Retrying):  # which asks where it stands, and sends the rest
        with pytest.raises(Unknown):
            await home.remote.append(upload_id, BytesSource(data), stands + 1)
        assert await home.remote.uploaded(upload_id) == stands
    assert await home.remote.append(upload_id, BytesSource(data), stands) == len(data)
    item = await commit(home, upload_id, whole(data), new_file(home, "f"))
    assert await content(home.remote, item) == data


@needs(Feature.SESSIONS)
async def test_a_conflict_keeps_the_bytes_for_another_name(home: Home) -> None:
    item = await home.put("f", b"old")
    newer = await home.overwrite(item, b"theirs")
    upload_id = await sent(home, b"mine", whole(b"mine"))
    with pytest.raises(Conflict) as stale:
        await commit(home, upload_id, whole(b"mine"), overwrite(item))
    assert stale.value.current == newer
    with pytest.raises(Conflict) as taken:
        await commit(home, upload_id, whole(b"mine"), new_file(home, "f"))
    assert taken.value.current == newer
    copy = await commit(home, upload_id, whole(b"mine"), new_file(home, "f (conflict)"))
    assert (await content(home.remote, copy), await content(home.remote, newer)) == (b"mine", b"theirs")


@needs(Feature.SESSIONS)
async def test_a_commit_takes_effect_once(home: Home) -> None:
    upload_id, key = await sent(home, b"data", whole(b"data")), home.key()
    item = await commit(home, upload_id, whole(b"data"), new_file(home, "f"), key)
    assert await commit(home, upload_id, whole(b"data"), new_file(home, "f"), key) == item
    with pytest.raises(Conflict) as again:
        await commit(home, upload_id, whole(b"data"), new_file(home, "g"))
    assert (again.value.code, again.value.current) == ("upload_committed", item)
    assert await home.remote.uploaded(upload_id) == 4
    assert len((await home.remote.children(home.folder)).items) == 1


@needs(Feature.SESSIONS)
async def test_bytes_that_are_not_the_announced_ones_become_no_item(home: Home) -> None:
    upload_id = await sent(home, b"abc", Announced(size=3, digest=BytesSource(b"xyz").digest, stream_bytes=3))
    with pytest.raises(BadDigest):
        await commit(home, upload_id, whole(b"xyz"), new_file(home, "f"))
    half = await home.remote.begin_upload(whole(b"abcdef"), key=home.key())
    with pytest.raises(Conflict) as incomplete:
        await commit(home, half, whole(b"abcdef"), new_file(home, "f"))
    assert incomplete.value.code == "upload_incomplete"
    assert (await home.remote.children(home.folder)).items == []


@needs(Feature.SESSIONS)
async def test_an_abandoned_session_is_gone(home: Home) -> None:
    upload_id = await sent(home, b"abc", whole(b"abc"))
    await home.remote.abandon(upload_id)
    await home.remote.abandon(upload_id)
    for request in (
        home.remote.uploaded(upload_id),
        home.remote.append(upload_id, BytesSource(b"abcd"), 3),
        commit(home, upload_id, whole(b"abc"), new_file(home, "f")),
    ):
        with pytest.raises(UploadGone):
            await request
    with pytest.raises(UploadGone):
        await home.remote.uploaded(UploadId("nobody"))


@needs(Feature.DELTAS)
async def test_blocks_tell_what_need_not_be_sent(home: Home) -> None:
    item = await home.put("f", OLD + b"end")
    assert item.content_version is not None
    newer = await home.overwrite(item, b"x")
    told = await home.remote.blocks(item.item_id, item.content_version, item.size, 64 * KIB)
    data = OLD + b"end"
    assert told == [hashlib.sha256(data[at : at + 64 * KIB]).digest() for at in range(0, len(data), 64 * KIB)]
    with pytest.raises(VersionGone) as gone:
        await home.remote.blocks(item.item_id, Version("nonsense"), item.size, 64 * KIB)
    assert gone.value.current == newer


@needs(Feature.DELTAS)
async def test_a_delta_becomes_the_new_content(home: Home) -> None:
    item = await home.put("f", OLD)
    announced = over(item, EDIT, NEW)
    upload_id = await sent(home, EDIT, announced)
    newer = await commit(home, upload_id, announced, overwrite(item))
    assert (newer.item_id, newer.size, newer.digest) == (item.item_id, len(NEW), announced.digest)
    assert await content(home.other, newer) == NEW
    assert await content(home.remote, item) == OLD


@needs(Feature.DELTAS)
async def test_a_delta_survives_a_conflict(home: Home) -> None:
    """Its base is what was edited, wherever the result goes."""
    item = await home.put("f", OLD)
    announced = over(item, EDIT, NEW)
    upload_id = await sent(home, EDIT, announced)
    newer = await home.overwrite(item, b"theirs")
    with pytest.raises(Conflict):
        await commit(home, upload_id, announced, overwrite(item))
    copy = await commit(home, upload_id, announced, new_file(home, "mine"))
    assert (await content(home.remote, copy), await content(home.remote, newer)) == (NEW, b"theirs")


@needs(Feature.DELTAS)
async def test_a_delta_that_does_not_fit_changes_nothing(home: Home) -> None:
    item = await home.put("f", OLD)
    other = await home.put("other", NEW)
    for announced, delta in (
        (over(other, EDIT, OLD), EDIT),
        (over(item, b"no delta", NEW), b"no delta"),
    ):
        upload_id = await sent(home, delta, announced)
        with pytest.raises((BadDigest, Refused)):
            await commit(home, upload_id, announced, overwrite(item))
    nowhere = Over(item_id=item.item_id, version=Version("nonsense"))
    announced = Announced(size=3, digest=BytesSource(b"abc").digest, stream_bytes=3, over=nowhere)
    with pytest.raises((VersionGone, Gone)):
        await home.remote.begin_upload(announced, key=home.key())
    assert await content(home.remote, item) == OLD
    assert {each.name for each in (await home.remote.children(home.folder)).items} == {"f", "other"}


@lacks(Feature.SESSIONS)
async def test_a_session_is_refused_where_there_are_none(home: Home) -> None:
    with pytest.raises(Refused):
        await home.remote.begin_upload(whole(NEW), key=home.key())


@lacks(Feature.DELTAS)
async def test_a_delta_is_refused_where_there_are_none(home: Home) -> None:
    item = await home.put("f", OLD)
    assert item.content_version is not None
    with pytest.raises(Refused):
        await home.remote.blocks(item.item_id, item.content_version, item.size, 64 * KIB)
    with pytest.raises(Refused):
        await home.remote.begin_upload(over(item, EDIT, NEW), key=home.key())
