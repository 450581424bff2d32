"""Wrong answers about uploads in pieces: no request goes astray, nothing is taken for sent, a clear error."""

from __future__ import annotations

import pytest

from cache.model import ItemId, Version
from sync.remote import BadDigest, NewFile, ProtocolViolation, RemoteError, Unknown, Unreachable, UploadGone
from sync.sessions import Announced, UploadId
from tests.contract.raw_server import ITEM, answer, client_of, says, told
from tests.fakes.sources import BytesSource

DATA = b"data"
ANNOUNCED = Announced(size=4, digest=BytesSource(DATA).digest, stream_bytes=4)
UPLOAD = UploadId("u1")


@pytest.mark.parametrize(
    "location",
    ["", "Location: ", "Location: /v1/uploads/", "Location: /v1/uploads/a%2f..%2fb", f"Location: /{'x' * 200}"],
)
async def test_an_upload_without_a_sane_address_was_not_begun(location: str) -> None:
    async with client_of(says(answer("201 Created", *filter(None, [location])))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.begin_upload(ANNOUNCED, key="k")


async def test_the_address_of_an_upload_sends_us_nowhere_else() -> None:
    """Only the last segment counts, whatever host stands before it."""
    told_elsewhere = answer("201 Created", "Location: http://elsewhere.example/steal/abc")
    async with client_of(says(told_elsewhere)) as (remote, server):
        assert await remote.begin_upload(ANNOUNCED, key="k") == "abc"
        with pytest.raises(RemoteError):
            await remote.uploaded(UploadId("abc"))
    assert server.requests[1].startswith(b"HEAD /v1/uploads/abc HTTP/1.1")


@pytest.mark.parametrize("offset", ["", "Upload-Offset: -1", "Upload-Offset: 1e3", f"Upload-Offset: {'9' * 30}"])
async def test_an_offset_that_is_none(offset: str) -> None:
    headers = [offset] if offset else []
    async with client_of(says(answer("200 OK", *headers))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.uploaded(UPLOAD)
    async with client_of(says(answer("204 No Content", *headers))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.append(UPLOAD, BytesSource(DATA), 0)


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_an_upload_that_is_not_there_is_no_lost_item(status: str) -> None:
    async with client_of(says(answer(status))) as (remote, _):
        with pytest.raises(UploadGone):
            await remote.uploaded(UPLOAD)
        with pytest.raises(UploadGone):
            await remote.append(UPLOAD, BytesSource(DATA), 0)
        await remote.abandon(UPLOAD)


async def test_a_cut_append_may_have_arrived() -> None:
    async with client_of(says(b"")) as (remote, _):
        with pytest.raises(Unknown):
            await remote.append(UPLOAD, BytesSource(DATA), 0)


async def test_a_commit_that_tells_other_bytes() -> None:
    target = NewFile(parent_id=ItemId("root"), name="f")
    async with client_of(says(told(ITEM | {"size": 4, "digest": "sha-256:" + "0" * 64}))) as (remote, _):
        with pytest.raises(BadDigest):
            await remote.commit(UPLOAD, ANNOUNCED, target, mtime_ns=0, mode=0o644, key="k")


@pytest.mark.parametrize("body", [b"", b"x" * 31, b"x" * 33, b"x" * 64])
async def test_digests_that_are_too_few_or_too_many_are_not_believed(body: bytes) -> None:
    async with client_of(says(answer("200 OK", body=body))) as (remote, _):
        with pytest.raises(Unreachable):
            await remote.blocks(ItemId("i1"), Version("v1"), 100, 4096)
