"""Fuzzing of the decoders: whatever arrives is a value or a ProtocolViolation, nothing else."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.model import Item, ItemId
from sync.remote import ProtocolViolation, RemoteError
from sync.remotes.anchor.events import LINE_MAX_BYTES, EventCounter
from sync.remotes.anchor.problems import Refusal, error_of, problem_of
from sync.remotes.anchor.wire import WireChanges, WireChildren, WireItem, WireResults, decode, item_of
from sync.remotes.answers import retry_after_of

FIELDS = {
    "item_id": "i",
    "parent_id": "p",
    "name": "n",
    "kind": "file",
    "is_folder": False,
    "size": 1,
    "created_at": "2024-01-01T00:00:00Z",
    "modified_at": "2024-01-01T00:00:00Z",
    "content_version": "c",
    "metadata_version": "m",
    "digest": None,
    "mode": 0,
    "symlink_target": None,
    "capabilities": [],
}
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([WireItem, WireChanges, WireChildren, WireResults]), st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_violation(kind: type[Any], body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode(kind, body)  # 200 random bytes are no such object


@given(st.sampled_from(sorted(FIELDS)), junk)
def test_any_field_is_a_value_or_a_violation(field: str, value: object) -> None:
    body = json.dumps(FIELDS | {field: value}, ensure_ascii=True).encode()
    try:
        item = item_of(decode(WireItem, body))
    except ProtocolViolation:
        return
    assert isinstance(item, Item)
    assert 0 <= item.size < 1 << 63
    assert item.name.encode()
    assert item.item_id.isascii()
    assert item.item_id.isprintable()


@pytest.mark.parametrize("field", ["item_id", "parent_id", "content_version", "metadata_version"])
@pytest.mark.parametrize("value", ["", "a b", 'a"b', "a\nb", "a\x7fb", "\u00e9", "\u2028", "a" * 513])
def test_what_travels_in_paths_and_headers_is_a_token(field: str, value: str) -> None:
    with pytest.raises(ProtocolViolation) as violation:
        item_of(decode(WireItem, json.dumps(FIELDS | {field: value}).encode()))
    assert str(violation.value).isprintable()
    assert str(violation.value).isascii()


def told(xattrs: object) -> Item:
    """An item with these extended attributes."""
    return item_of(decode(WireItem, json.dumps(FIELDS | {"xattrs": xattrs}).encode()))


def test_a_server_that_keeps_no_extended_attributes_tells_none() -> None:
    assert item_of(decode(WireItem, json.dumps(FIELDS).encode())).xattrs is None
    assert told({}).xattrs == ()


@given(junk | st.dictionaries(st.text() | st.text().map("user.".__add__), st.text(alphabet="A=", max_size=9)))
def test_any_extended_attributes_are_some_or_a_violation(xattrs: object) -> None:
    try:
        found = told(xattrs).xattrs
    except ProtocolViolation:
        return
    assert found is None or all(name.startswith("user.") for name, _ in found)


def test_what_no_file_here_can_have_is_left_out() -> None:
    fitting = {"user.b": "Yg==", "user.a": ""}
    long = "user." + "n" * 251
    other = {"trusted.a": "", "user.": "", "a": "", long: "", "user.a\0": "", "user.anchorfs.state": ""}
    assert told(fitting | other | {"user.big": "AAAA" * 21846}).xattrs == (("user.a", b""), ("user.b", b"b"))
    with pytest.raises(ProtocolViolation):
        told({"user.\ud800": ""})


@given(st.sampled_from(sorted(FIELDS)))
def test_every_field_is_needed(field: str) -> None:
    body = json.dumps({key: value for key, value in FIELDS.items() if key != field}).encode()
    with pytest.raises(ProtocolViolation):
        decode(WireItem, body)


@given(
    st.integers(300, 700),
    st.dictionaries(st.sampled_from(["code", "current", "item", "anchor", "detail"]), junk),
)
def test_any_refusal_is_an_error_of_the_tree(status: int, facts: dict[str, object]) -> None:
    refusal = Refusal(
        status=status,
        problem=problem_of(json.dumps(facts).encode()),
        retry_after_s=None,
        mutates=True,
        asked=ItemId("i"),
    )
    error = error_of(refusal)
    assert isinstance(error, RemoteError)
    assert str(error).isprintable()
    assert len(str(error)) < 500


@given(st.text())
def test_any_retry_after_is_seconds_within_reason_or_none(text: str) -> None:
    seconds = retry_after_of(text)
    assert seconds is None or 0 <= seconds <= 3600


EVENTS = b": c\r\n\r\nid: a\r\ndata: 1\r\n\r\ndata\n\nevent: x\n\n\r\rdata: 2\rid: b\r\rdata: cut"


@given(st.lists(st.integers(0, len(EVENTS))))
def test_events_are_counted_alike_however_they_are_cut(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(EVENTS)]
    counter = EventCounter()
    count = sum(counter.feed(EVENTS[start:stop]) for start, stop in itertools.pairwise(bounds))
    assert count == 3


def test_a_line_without_end_is_a_violation() -> None:
    counter = EventCounter()
    assert counter.feed(b"x" * LINE_MAX_BYTES) == 0
    with pytest.raises(ProtocolViolation):
        counter.feed(b"x")
