"""A server that answers batches and walks wrongly: no wrong byte is taken, memory is bounded."""

from __future__ import annotations

import json
import resource
import struct
from typing import TYPE_CHECKING, Any

import pytest

from cache.model import ItemId, Version
from sync.batches import Wanted
from sync.remote import Gone, ProtocolViolation, RemoteError, Unreachable, VersionGone
from tests.contract.raw_server import ITEM, answer, client_of, says, says_without_end

if TYPE_CHECKING:
    from sync.remotes.anchor import AnchorRemote

HEAD: dict[str, Any] = {
    "item_id": "i1", "status": 200, "content_version": "v1", "start": 0, "stop": 3, "total": 3, "digest": None,
}  # fmt: skip
ASKED = [Wanted(item_id=ItemId("i1"), version=Version("v1"), size=3)]
END = {"end": True}


def frame(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack(">I", len(text)) + text + data


def frames(*parts: bytes, length: int | None = None) -> bytes:
    return answer("200 OK", body=b"".join(parts), length=length)


async def read(remote: AnchorRemote, got: list[bytes | RemoteError]) -> None:
    async with remote.read_many(ASKED) as parts:
        async for part in parts:
            got.append(part)  # noqa: PERF401  # what came before the failure counts


WRONG = {
    "another item": frames(frame(HEAD | {"item_id": "i2"}, b"abc"), frame(END)),
    "another version": frames(frame(HEAD | {"content_version": "v2"}, b"abc"), frame(END)),
    "a longer content": frames(frame(HEAD | {"stop": 4, "total": 4}, b"abcd"), frame(END)),
    "a part of it": frames(frame(HEAD | {"stop": 2}, b"ab"), frame(END)),
    "another start": frames(frame(HEAD | {"start": 1}, b"bc"), frame(END)),
    "a negative size": frames(frame(HEAD | {"start": -3}, b"abc"), frame(END)),
    "a redirect in a frame": frames(frame(HEAD | {"status": 302}), frame(END)),
    "a frame too many": frames(frame(HEAD, b"abc"), frame(HEAD, b"abc"), frame(END)),
    "bytes behind the end": frames(frame(HEAD, b"abc"), frame(END), b"x"),
    "an end before its time": frames(frame(END)),
    "a header that is no JSON": frames(struct.pack(">I", 3) + b"{no"),
    "a huge header": frames(struct.pack(">I", 1 << 31) + b" " * 1000),
    "a compressed body": answer("200 OK", "Content-Encoding: gzip", body=frame(HEAD, b"abc") + frame(END)),
    "a redirect": answer("302 Found", "Location: http://127.0.0.1:1/elsewhere"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_frame_is_never_taken(what: str) -> None:
    got: list[bytes | RemoteError] = []
    async with client_of(says(WRONG[what])) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await read(remote, got)
    assert got in ([], [b"abc"])


async def test_a_right_frame_is_taken() -> None:
    got: list[bytes | RemoteError] = []
    async with client_of(says(frames(frame(HEAD, b"abc"), frame(END))), token="secret") as (remote, server):
        await read(remote, got)
    assert got == [b"abc"]
    assert server.requests[0].startswith(b"POST /v1/content:batch ")


@pytest.mark.parametrize("keep", [2, 100, -1])
async def test_a_cut_batch_is_unreachable(keep: int) -> None:
    whole = frame(HEAD, b"abc") + frame(END)
    got: list[bytes | RemoteError] = []
    async with client_of(says(frames(whole[:keep]))) as (remote, _):
        with pytest.raises(Unreachable):
            await read(remote, got)


async def test_a_refusal_is_what_its_code_says() -> None:
    refusals = [
        ({"status": 410, "code": "version_gone"}, VersionGone),
        ({"status": 404, "code": "not_found"}, Gone),
        ({"status": 503, "code": "unavailable"}, RemoteError),
    ]
    for told, kind in refusals:
        got: list[bytes | RemoteError] = []
        async with client_of(says(frames(frame({"item_id": "i1"} | told), frame(END)))) as (remote, _):
            await read(remote, got)
        assert isinstance(got[0], kind)


async def test_an_endless_batch_is_given_up_in_bounded_memory() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + frame(HEAD, b"abc") + b" " * (0x100000 - len(frame(HEAD, b"abc"))) + b"\r\n"
    async with client_of(says_without_end(head, piece)) as (remote, _):
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ProtocolViolation):
            await read(remote, [])
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100 << 10


def lines(*rows: object) -> bytes:
    return answer("200 OK", body=b"".join(json.dumps(row).encode() + b"\n" for row in rows))


LAST = {"anchor": "a1", "cursor": None}
WRONG_LINES = {
    "more than was asked for": lines({"item": ITEM}, {"item": ITEM}, {"item": ITEM}, LAST),
    "its own descendant": lines({"item": ITEM | {"item_id": "top"}}, LAST),
    "a root": lines({"item": ITEM | {"parent_id": None}}, LAST),
    "a line after the last": lines(LAST, {"item": ITEM}),
    "a malformed line": answer("200 OK", body=b"{no\n"),
    "a line that tells nothing": lines({}, LAST),
    "an impossible item": lines({"item": ITEM | {"size": -1}}, LAST),
}


@pytest.mark.parametrize("what", WRONG_LINES)
async def test_a_wrong_walk_is_never_taken(what: str) -> None:
    async with client_of(says(WRONG_LINES[what])) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.descendants(ItemId("top"), 2)


async def test_a_cut_walk_is_unreachable() -> None:
    async with client_of(says(lines({"item": ITEM}))) as (remote, _):
        with pytest.raises(Unreachable):
            await remote.descendants(ItemId("top"), 2)
