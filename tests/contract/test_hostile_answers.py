"""A server that answers wrongly: no wrong item, no wrong proof, a clear error."""

from __future__ import annotations

import json
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
    ProtocolViolation,
    Tombstone,
    Unknown,
    Unreachable,
)
from sync.remotes.anchor import AnchorRemote
from tests.contract.raw_server import ID, ITEM, answer, client_of, says, told
from tests.fakes.sources import BytesSource

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
    problem = {"code": "anchor_expired", "anchor": "a b\n", "lost": "true"}
    async with client_of(says(told(problem, "410 Gone"))) as (remote, _):
        with pytest.raises(AnchorExpired) as caught:
            await remote.changes(Anchor("a"))
        assert (caught.value.fresh, caught.value.lost) == (None, False)


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
