"""A server that answers wrongly: no wrong byte is taken, memory is bounded, secrets are kept."""

from __future__ import annotations

import resource

import pytest

from cache.model import Anchor, ItemId
from sync.remote import (
    NewFile,
    NotSignedIn,
    ProtocolViolation,
    Unreachable,
)
from sync.remotes.anchor import AnchorRemote
from tests.contract.raw_server import ID, ITEM, VERSION, answer, client_of, says, says_without_end, told
from tests.fakes.sources import BytesSource


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
