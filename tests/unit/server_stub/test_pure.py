"""The pure parts: anchors, times, names, digests, keys, ranges, conditions."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub import anchors, byteranges, conditions, digests, instants, keys, names, values
from server_stub.problems import Problem

EPOCH = b"\x01" * anchors.EPOCH_BYTES


@given(st.binary(min_size=8, max_size=8), st.integers(0, (1 << 63) - 1))
def test_anchor_round_trip(epoch: bytes, seq: int) -> None:
    assert anchors.decode_anchor(anchors.encode_anchor(epoch, seq)) == (epoch, seq)


@given(st.text())
def test_any_text_is_an_anchor_or_refused_without_a_crash(text: str) -> None:
    decoded = anchors.decode_anchor(text)
    assert decoded is None or len(decoded[0]) == anchors.EPOCH_BYTES
    assert anchors.decode_cursor(text) is None or isinstance(anchors.decode_cursor(text), anchors.Cursor)


@given(st.text())
def test_cursor_round_trip(after: str) -> None:
    cursor = anchors.Cursor(anchors.encode_anchor(EPOCH, 7), after)
    if all(not "\ud800" <= character <= "\udfff" for character in after) and len(after) < 100:
        assert anchors.decode_cursor(anchors.encode_cursor(cursor)) == cursor


@given(st.integers(-9_223_372_035 * 10**9, 9_223_372_035 * 10**9))
def test_instants_keep_every_nanosecond(ns: int) -> None:
    assert instants.parse_instant(instants.format_instant(ns)) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("1969-12-31T23:59:59.999999999z", -1),
        ("2000-02-29t00:00:00-00:00", 951_782_400 * 10**9),
    ],
)
def test_instants_of_other_writers(text: str, ns: int) -> None:
    assert instants.parse_instant(text) == ns


@pytest.mark.parametrize(
    "text", ["", "now", "2001-02-30T00:00:00Z", "2001-02-03 04:05:06Z", "0001-01-01T00:00:00+01:00"]
)
def test_instants_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|year|day|month"):
        instants.parse_instant(text)


@given(st.integers(-(10**21), 10**21))
def test_instants_clamp_what_the_format_cannot_say(ns: int) -> None:
    assert len(instants.format_instant(ns)) == len("1970-01-01T00:00:00.000000000Z")


@given(st.text())
def test_names_pass_only_when_a_folder_can_hold_them(name: str) -> None:
    if names.holdable(name):
        assert name not in {"", ".", ".."}
        assert not set(name) & {"/", "\0"}
        assert 1 <= len(name.encode()) <= names.NAME_MAX_BYTES


@given(st.text(min_size=1, max_size=255).filter(names.holdable), st.integers(2, 999))
def test_numbered_names_fit_and_differ(name: str, number: int) -> None:
    assert names.holdable(names.numbered(name, number))
    assert names.numbered(name, number) != name


@given(st.binary(max_size=64))
def test_digest_field_round_trip(data: bytes) -> None:
    hexed = hashlib.sha256(data).hexdigest()
    assert digests.parse_digests(digests.repr_digest(hexed)) == hexed
    assert digests.parse_digests(f"sha-512=:AAAA:, {digests.repr_digest(hexed)}") == hexed


@pytest.mark.parametrize("field", ["sha-256=abc", "sha-256=:AAAA:", "", "sha-256=:AAAA", "=::"])
def test_digest_fields_refused(field: str) -> None:
    with pytest.raises(Problem):
        digests.parse_digests(field)


def test_unknown_digests_are_no_digest() -> None:
    assert digests.parse_digests("md5=:AAAA:") is None


@pytest.mark.parametrize(("field", "key"), [('"k"', "k"), (None, None), (r'"a\"b\\"', 'a"b\\')])
def test_keys_parse(field: str | None, key: str | None) -> None:
    assert keys.parse_key(field) == key


@pytest.mark.parametrize("field", ["k", '""', '"a', '"é"', '"a"b"', '"' + "x" * 256 + '"'])
def test_keys_refused(field: str) -> None:
    with pytest.raises(Problem):
        keys.parse_key(field)


PART = st.one_of(st.none(), st.text(alphabet=st.characters(codec="utf-8")))


@given(st.lists(PART, min_size=2, max_size=2), st.lists(PART, min_size=2, max_size=2))
def test_fingerprints_differ_when_the_requests_do(one: list[str | None], other: list[str | None]) -> None:
    def mark(parts: list[str | None]) -> str:
        return keys.fingerprint("PUT", "/x", parts, "0")

    assert (mark(one) == mark(other)) == (one == other)


@given(st.text(alphabet="bytes=-,0123456789 x"), st.integers(0, 1000))
def test_ranges_stay_inside_and_do_not_amplify(field: str, size: int) -> None:
    try:
        ranges = byteranges.parse_ranges(field, size)
    except byteranges.Unsatisfiable:
        return
    for start, stop in ranges or []:
        assert 0 <= start < stop <= size
    assert ranges is None or sum(stop - start for start, stop in ranges) <= size


@given(st.integers(1, 1000), st.data())
def test_every_single_range_is_what_was_asked(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size * 2))
    assert byteranges.parse_ranges(f"bytes={first}-{last}", size) == [(first, min(last + 1, size))]
    assert byteranges.parse_ranges(f"bytes={first}-", size) == [(first, size)]
    suffix = data.draw(st.integers(1, size * 2))
    assert byteranges.parse_ranges(f"bytes=-{suffix}", size) == [(max(size - suffix, 0), size)]


@pytest.mark.parametrize("field", ["bytes=1000-", "bytes=-0"])
def test_unsatisfiable(field: str) -> None:
    with pytest.raises(byteranges.Unsatisfiable):
        byteranges.parse_ranges(field, 1000)


def test_entity_tags() -> None:
    assert conditions.tags_of('"a", W/"b" , "c,d"') == [(False, "a"), (True, "b"), (False, "c,d")]
    assert conditions.strong_match('W/"a"', "a") is False
    assert conditions.weak_match('W/"a"', "a") is True
    assert conditions.strong_match("*", "a") is True
    assert conditions.strong_match("a", "a") is False


@given(st.text())
def test_any_text_is_a_list_of_tags(field: str) -> None:
    tags = conditions.tags_of(field)
    assert tags is None or all(isinstance(tag, str) for _, tag in tags)


def test_ids_are_uuid7_and_sorted_by_time() -> None:
    earlier, later = values.new_id(1_000_000_000_000_000_000), values.new_id(1_000_000_001_000_000_000)
    assert earlier < later
    assert (earlier[14], earlier[19] in "89ab") == ("7", True)
    assert len({values.new_id() for _ in range(1000)}) == 1000
