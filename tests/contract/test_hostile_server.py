"""A server that answers wrongly: no wrong byte, no wrong proof, bounded memory, a clear error."""

from __future__ import annotations

import json
import resource
from typing import Any

import pytest
import trio

from cache.model import Anchor, Item, ItemId, Version
from sync.remote import (
    AnchorExpired,
    Busy,
    Conflict,
    Gone,
    NewFile,
    NotSignedIn,
    ProtocolViolation,
    Tombstone,
    Unknown,
    Unreachable,
)
from sync.remotes.anchor import AnchorRemote
from tests.contract.raw_server import answer, client_of, says, says_without_end
from tests.fakes.sources import BytesSource

ID, VERSION = ItemId("i1"), Version("v1")
ITEM: dict[str, Any] = {
    "item_id": "i1",
    "parent_id": "p",
    "name": "f",
    "kind": "file",
    "is_folder": False,
    "size": 10,
    "created_at": "2024-01-01T00:00:00.000000000Z",
    "modified_at": "2024-01-01T00:00:00.123456789Z",
    "content_version": "v1",
    "metadata_version": "m1",
    "digest": None,
    "mode": 420,
    "symlink_target": None,
    "capabilities": ["read", "teleport"],
    "deleted": False,
}


def told(value: object, status: str = "200 OK", *headers: str) -> bytes:
    return answer(status, "Content-Type: application/json", *headers, body=json.dumps(value).encode())


def part(content_range: str | None, *, etag: str = '"v1"', body: bytes = b"345", length: int | None = None) -> bytes:
    headers = [f"ETag: {etag}"] + ([] if content_range is None else [f"Content-Range: {content_range}"])
    return answer("206 Partial Content", *headers, body=body, length=length)


async def read(remote: AnchorRemote, start: int = 3, stop: int = 6) -> tuple[int, int, int, bytes]:
    async with remote.read(ID, VERSION, start, stop) as reader:
        data = b"".join([piece async for piece in reader])
        return reader.start, reader.stop, reader.total, data


async def gather(remote: AnchorRemote, got: list[bytes]) -> None:
    async with remote.read(ID, VERSION, 3, 6) as reader:
        async for piece in reader:
            got.append(piece)  # noqa: PERF401  # what came before the failure counts


async def test_a_right_part_is_taken() -> None:
    async with client_of(says(part("bytes 3-5/10")), token="secret") as (remote, server):
        assert await read(remote) == (3, 6, 10, b"345")
    head = server.requests[0].lower()
    assert b"range: bytes=3-5\r\n" in head
    assert b"accept-encoding: identity\r\n" in head
    assert b"authorization: bearer secret\r\n" in head


WRONG_PARTS = {
    "another version": part("bytes 3-5/10", etag='"v2"'),
    "a weak version": part("bytes 3-5/10", etag='W/"v1"'),
    "no range": part(None),
    "another start": part("bytes 2-4/10"),
    "another start up to the same end": part("bytes 4-5/10", body=b"45"),
    "a shorter range": part("bytes 3-4/10", body=b"34"),
    "a longer range": part("bytes 3-6/10", body=b"3456"),
    "an end beyond the total": part("bytes 3-5/5"),
    "a backward range": part("bytes 5-3/10"),
    "an unknown total": part("bytes 3-5/*"),
    "a negative start": part("bytes -3-5/10"),
    "a huge number": part("bytes 3-5/" + "9" * 30),
    "two ranges": answer(
        "206 Partial Content", 'ETag: "v1"', "Content-Range: bytes 3-5/10", "Content-Range: bytes 3-5/10"
    ),
    "another length": part("bytes 3-5/10", body=b"3456"),
    "a compressed body": answer(
        "206 Partial Content",
        'ETag: "v1"',
        "Content-Range: bytes 3-5/10",
        "Content-Encoding: gzip",
        body=b"345",
    ),
    "a whole answer of another version": answer("200 OK", 'ETag: "v2"', body=b"0123456789"),
    "a whole answer without version": answer("200 OK", body=b"0123456789"),
    "a whole answer without length": answer("200 OK", 'ETag: "v1"', body=b"0123456789", length=-1),
    "a redirect": answer("302 Found", "Location: http://127.0.0.1:1/elsewhere"),
    "a redirect to nonsense": answer("307 Temporary Redirect", "Location: http://[bad"),
    "no content": answer("204 No Content"),
    "not modified": answer("304 Not Modified", 'ETag: "v1"'),
}


@pytest.mark.parametrize("what", WRONG_PARTS)
async def test_a_wrong_part_is_never_taken(what: str) -> None:
    async with client_of(says(WRONG_PARTS[what])) as (remote, server):
        with pytest.raises(ProtocolViolation):
            await read(remote)
    assert len(server.requests) == 1


async def test_a_whole_answer_to_a_range_says_that_it_is_whole() -> None:
    async with client_of(says(answer("200 OK", 'ETag: "v1"', body=b"0123456789"))) as (remote, _):
        assert await read(remote) == (0, 10, 10, b"0123456789")


async def test_a_cut_part_is_unreachable_after_what_came() -> None:
    async with client_of(says(part("bytes 3-5/10", body=b"34", length=3))) as (remote, _):
        got: list[bytes] = []
        with pytest.raises(Unreachable):
            await gather(remote, got)
        assert b"".join(got) == b"34"


async def test_a_part_that_ends_early_in_good_form_is_unreachable() -> None:
    head = part("bytes 3-5/10", body=b"", length=-1)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    async with client_of(says(head + b"2\r\n34\r\n0\r\n\r\n")) as (remote, _):
        with pytest.raises(Unreachable):
            await read(remote)


async def test_an_endless_part_is_cut_at_its_announced_end() -> None:
    head = part("bytes 3-5/10", body=b"", length=-1)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    async with client_of(says_without_end(head, b"1\r\nx\r\n")) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await read(remote)


async def test_an_endless_answer_is_given_up_in_bounded_memory() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    async with client_of(says_without_end(head, piece)) as (remote, _):
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ProtocolViolation):
            await remote.root()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200 << 10


async def test_an_endless_refusal_is_still_what_its_status_says() -> None:
    head = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with client_of(says_without_end(head, piece)) as (remote, _):
        with pytest.raises(NotSignedIn):
            await remote.root()


WRONG_ITEMS: dict[str, dict[str, Any]] = {
    "a negative size": {"size": -1},
    "a size that no integer of a file system holds": {"size": 1 << 63},
    "a size with a fraction": {"size": 1.5},
    "a size in words": {"size": "10"},
    "an empty id": {"item_id": ""},
    "an id of dots": {"item_id": ".."},
    "an id with a line end": {"item_id": "a\r\nX: y"},
    "an id beyond measure": {"item_id": "x" * 10_000},
    "a version with a quote": {"content_version": 'v"'},
    "a mode beyond bits": {"mode": 0o10000},
    "an unknown kind": {"kind": "socket"},
    "kind and is_folder apart": {"is_folder": True},
    "a file without version": {"content_version": None},
    "a target on a file": {"symlink_target": "/etc/passwd"},
    "a wrong digest": {"digest": "md5:abc"},
    "no such day": {"modified_at": "2024-02-30T00:00:00Z"},
    "a time in words": {"modified_at": "yesterday"},
    "a child without a name": {"name": ""},
    "its own parent": {"parent_id": "i1"},
    "a tombstone": {"deleted": True},
}


@pytest.mark.parametrize("what", WRONG_ITEMS)
async def test_a_wrong_item_is_a_violation(what: str) -> None:
    page = {
        "changes": [{"type": "changed", "item": ITEM | WRONG_ITEMS[what]}],
        "anchor": "a",
        "has_more": False,
    }
    async with client_of(says(told(page))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.changes(Anchor("before"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"item_id":"\\ud800"}',
        b"<html>",
        json.dumps(ITEM).encode().replace(b'"f"', b'"\\udcff"'),
        json.dumps(ITEM).encode().replace(b'"f"', b'"\xed\xa0\x80"'),
        json.dumps(ITEM).encode().replace(b'"size": 10', b'"size": true'),
    ],
)
async def test_what_is_no_item_is_a_violation(body: bytes) -> None:
    async with client_of(says(answer("200 OK", body=body))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.root()


@pytest.mark.parametrize("name", ["a/b", "../../etc", "a\0b", ".", "..", "x" * 5000, "\n", "e\u0301"])
async def test_names_that_no_folder_holds_are_passed_on_unchanged(name: str) -> None:
    page = {"items": [ITEM | {"name": name}], "anchor": "a", "cursor": None}
    async with client_of(says(told(page))) as (remote, _):
        assert [item.name for item in (await remote.children(ItemId("p"))).items] == [name]


async def test_a_time_beyond_64_bits_does_not_spoil_the_page() -> None:
    page = {"items": [ITEM | {"modified_at": "9999-12-31T23:59:59Z"}], "anchor": "a", "cursor": None}
    async with client_of(says(told(page))) as (remote, _):
        assert (await remote.children(ItemId("p"))).items[0].mtime_ns == (1 << 63) - 1


WRONG_LISTINGS = {
    "a child of another folder": {"items": [ITEM | {"parent_id": "q"}], "anchor": "a", "cursor": None},
    "pages without an end": {"items": [], "anchor": "a", "cursor": "more"},
}


@pytest.mark.parametrize("what", WRONG_LISTINGS)
async def test_a_wrong_listing_is_a_violation(what: str) -> None:
    async with client_of(says(told(WRONG_LISTINGS[what]))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.children(ItemId("p"))


@pytest.mark.parametrize(
    "results",
    [
        [],
        [{"item_id": "other", "status": 404}],
        [{"item_id": "i1", "status": 200, "item": ITEM | {"item_id": "i2"}}],
        [{"item_id": "i1", "status": 410, "item": {"item_id": "i2", "parent_id": None, "deleted": True}}],
        [{"item_id": "i1", "status": 410, "item": {"item_id": "i1", "parent_id": None, "deleted": False}}],
        [{"item_id": "i1", "status": 410}],
        [{"item_id": "i1", "status": 200}],
        [{"item_id": "i1", "status": 500}],
    ],
)
async def test_a_wrong_batch_is_a_violation(results: list[object]) -> None:
    async with client_of(says(told({"results": results}))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.get_many([ID])


async def test_a_feed_that_has_more_but_does_not_move_is_a_violation() -> None:
    async with client_of(says(told({"changes": [], "anchor": "a", "has_more": True}))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.changes(Anchor("a"))


TOMBSTONE = {"item_id": "i1", "parent_id": "p", "deleted": True, "deleted_at": "x", "reason": "deleted"}


@pytest.mark.parametrize(
    ("status", "problem", "proof"),
    [
        ("410 Gone", {"code": "deleted", "item": TOMBSTONE}, True),
        ("410 Gone", {"code": "deleted", "item": TOMBSTONE | {"item_id": "i2"}}, False),
        ("410 Gone", {"code": "deleted", "item": TOMBSTONE | {"deleted": False}}, False),
        ("410 Gone", {"code": "deleted"}, False),
        ("410 Gone", {"item": TOMBSTONE}, False),
        ("404 Not Found", {"code": "deleted", "item": TOMBSTONE}, False),
        ("404 Not Found", "no problem at all", False),
    ],
)
async def test_only_the_items_own_tombstone_proves_a_deletion(status: str, problem: object, proof: bool) -> None:
    async with client_of(says(told(problem, status))) as (remote, _):
        with pytest.raises(Gone) as caught:
            await remote.children(ID)
        assert caught.value.tombstone is proof


async def test_a_conflict_with_a_malformed_current_tells_none() -> None:
    problem = {"code": "precondition_failed", "current": ITEM | {"size": -1}}
    async with client_of(says(told(problem, "412 Precondition Failed"))) as (remote, _):
        with pytest.raises(Conflict) as caught:
            await remote.remove(ID, Version("m"), key="k")
        assert caught.value.current is None


async def test_an_expired_anchor_with_a_malformed_fresh_one_tells_none() -> None:
    problem = {"code": "anchor_expired", "anchor": "a b\n"}
    async with client_of(says(told(problem, "410 Gone"))) as (remote, _):
        with pytest.raises(AnchorExpired) as caught:
            await remote.changes(Anchor("a"))
        assert caught.value.fresh is None


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("99999999999", 3600.0), ("-1", None), ("soon", None)])
async def test_retry_after_is_honoured_within_reason(header: str, expected: float | None) -> None:
    async with client_of(says(told({}, "503 Service Unavailable", f"Retry-After: {header}"))) as (remote, _):
        with pytest.raises(Busy) as caught:
            await remote.root()
        assert caught.value.retry_after_s == expected


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", answer("200 OK", body=b"{", length=9), b"nonsense\r\n\r\n"],
)
async def test_a_lost_answer_is_unknown_to_a_mutation_and_unreachable_to_a_read(said: bytes) -> None:
    async with client_of(says(said)) as (remote, _):
        with pytest.raises(Unreachable):
            await remote.root()
        with pytest.raises(Unknown):
            await remote.make_folder(ItemId("p"), "n", mode=0, mtime_ns=0, key="k")
        with pytest.raises(Unknown):
            await remote.put(NewFile(parent_id=ItemId("p"), name="n"), BytesSource(b"x"), mtime_ns=0, mode=0, key="k")


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "504 Gateway Timeout"])
async def test_a_5xx_is_unknown_to_a_mutation_and_unreachable_to_a_read(status: str) -> None:
    async with client_of(says(answer(status))) as (remote, _):
        with pytest.raises(Unreachable):
            await remote.newest_anchor()
        with pytest.raises(Unknown):
            await remote.remove(ID, Version("m"), key="k")


async def test_nobody_listening_is_unreachable_to_a_mutation_too() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        remote = AnchorRemote(f"http://127.0.0.1:{unused.getsockname()[1]}", None)
        with pytest.raises(Unreachable):
            await remote.remove(ID, Version("m"), key="k")
        await remote.aclose()


async def test_an_answer_about_another_item_is_a_violation() -> None:
    async with client_of(says(told(ITEM | {"item_id": "i2"}))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.set_attributes(ID, Version("m"), mode=0, mtime_ns=0, key="k")
        with pytest.raises(ProtocolViolation):
            await remote.move(ID, Version("m"), ItemId("p"), "n", replace=None, key="k")


async def test_what_a_put_sends() -> None:
    async with client_of(says(told(ITEM | {"size": 3}, "201 Created"))) as (remote, server):
        target = NewFile(parent_id=ItemId("p/q"), name="a%2F ü")
        await remote.put(target, BytesSource(b"abc"), mtime_ns=-1, mode=0o104644, key='k"1')
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "put /v1/items/p%2fq/children/a%252f%20%c3%bc/content http/1.1"
    for line in (
        "if-none-match: *",
        "content-length: 3",
        "anchor-modified-at: 1969-12-31t23:59:59.999999999z",
        "anchor-mode: 4644",
        'idempotency-key: "k\\"1"',
    ):
        assert line in lines
    assert "repr-digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:".lower() in lines
    assert body in {b"", b"abc"}


async def test_a_hostile_cookie_is_never_sent_back() -> None:
    async with client_of(says(told(ITEM | {"parent_id": None, "name": ""}, "200 OK", "Set-Cookie: a=b"))) as (
        remote,
        server,
    ):
        await remote.root()
        await remote.root()
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_hints_count_events_and_end_with_the_stream() -> None:
    stream = answer("200 OK", "Content-Type: text/event-stream; charset=utf-8", length=-1)
    body = b": hello\n\nid: a\r\ndata: 1\r\n\r\nevent: anchor\ndata: {}\n\ndata: cut"
    async with client_of(says(stream + body)) as (remote, _):
        assert len([hint async for hint in remote.hints(Anchor("a"))]) == 3


async def test_hints_that_are_no_event_stream_are_a_violation() -> None:
    async with client_of(says(told({}))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await anext(aiter(remote.hints(Anchor("a"))))


async def test_an_event_line_without_end_is_a_violation() -> None:
    head = answer("200 OK", "Content-Type: text/event-stream", length=-1)
    async with client_of(says_without_end(head, b"x" * 65536)) as (remote, _):
        with pytest.raises(ProtocolViolation):
            async for _ in remote.hints(Anchor("a")):
                pass


async def test_changes_are_values() -> None:
    page = {
        "changes": [
            {"type": "changed", "item": ITEM},
            {"type": "deleted", "item_id": "i2", "parent_id": "p", "deleted_at": "x", "reason": "moved_out"},
        ],
        "anchor": "b",
        "has_more": True,
    }
    async with client_of(says(told(page))) as (remote, _):
        told_page = await remote.changes(Anchor("a"))
    item, tombstone = told_page.changes
    assert isinstance(item, Item)
    assert (item.mtime_ns, item.capabilities) == (1_704_067_200_123_456_789, frozenset({"read"}))
    assert tombstone == Tombstone(item_id=ItemId("i2"), parent_id=ItemId("p"), reason="moved_out")


async def test_the_token_is_in_no_text() -> None:
    async with client_of(says(told({"code": "x"}, "401 Unauthorized")), token="s3cret-t0ken") as (remote, _):
        with pytest.raises(NotSignedIn) as caught:
            await remote.root()
        assert "s3cret" not in f"{remote!r}{caught.value!r}{caught.value}{vars(remote)!r}"


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "//x", "http://u:p@x", "http://x/?a=b", "http://x/#a", "file:///etc"]
)
def test_what_is_no_drives_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        AnchorRemote(url, None)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "ü"])
def test_a_token_that_no_header_carries_is_refused_without_telling_it(token: str) -> None:
    with pytest.raises(ValueError, match="token holds characters"):
        AnchorRemote("http://x", token)
