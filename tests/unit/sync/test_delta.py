"""Deltas: what comes out of one is the new content, whatever was edited; an edit costs about its own length."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.uploads.delta import BadDelta, apply
from sync.delta import BLOCKS_WISHED, MAGIC, Base, Piece, Recipe, block_bytes_for, comparing

BLOCK = 16
KIB = 1 << 10


def base_of(data: bytes, block_bytes: int = BLOCK) -> Base:
    blocks = [data[at : at + block_bytes] for at in range(0, len(data), block_bytes)]
    return Base(len(data), block_bytes, [hashlib.sha256(block).digest() for block in blocks])


def recipe(base: bytes, new: bytes, block_bytes: int = BLOCK) -> Recipe:
    work = comparing(len(new), base_of(base, block_bytes), lambda a, b: hashlib.sha256(new[a:b]).digest())
    while True:
        try:
            next(work)
        except StopIteration as done:
            return Recipe(done.value)


def stream(told: Recipe, new: bytes, start: int = 0) -> bytes:
    return b"".join(
        new[part.offset : part.offset + part.length] if isinstance(part, Piece) else part for part in told.parts(start)
    )


def applied(delta: bytes, base: bytes, size: int) -> bytes:
    """By the server's own hand, on files."""
    with tempfile.TemporaryDirectory() as folder:
        fds = []
        for name, data in (("delta", delta), ("base", base), ("new", b"")):
            path = Path(folder) / name
            path.write_bytes(data)
            fds.append(os.open(path, os.O_RDWR))
        try:
            apply(fds[0], len(delta), fds[1], fds[2], size)
            return (Path(folder) / "new").read_bytes()
        finally:
            for fd in fds:
                os.close(fd)


PARTS = st.lists(st.sampled_from([bytes([n]) * BLOCK for n in range(4)] + [b"ab", b"x" * 7]), max_size=12).map(b"".join)


@given(PARTS, PARTS)
def test_what_comes_out_is_the_new_content(base: bytes, new: bytes) -> None:
    told = recipe(base, new)
    delta = stream(told, new)
    assert len(delta) == told.size
    assert applied(delta, base, len(new)) == new


@given(PARTS, PARTS, st.data())
def test_a_stream_goes_on_from_any_offset(base: bytes, new: bytes, data: st.DataObject) -> None:
    told = recipe(base, new)
    start = data.draw(st.integers(0, told.size))
    assert stream(told, new, start) == stream(told, new)[start:]


OLD = os.urandom(256 * KIB)


@pytest.mark.parametrize(
    ("new", "most_bytes"),
    [
        (OLD, 0),
        (OLD[:100_000] + os.urandom(4000) + OLD[104_000:], 4000 + 2 * KIB),
        (OLD + b"tail", KIB + 4),
        (OLD[:-5], KIB),
        (OLD[:100_000] + b"inserted" + OLD[100_000:], 2 * KIB),
        (OLD[:100_000] + OLD[100_077:], 2 * KIB),
        (b"first" + OLD, 2 * KIB),
        (OLD[5:], 2 * KIB),
        (OLD[128 * KIB :] + OLD[: 128 * KIB], 0),
        (OLD + OLD, 0),
        (b"", 0),
    ],
    ids=["same", "edit", "append", "cut", "insert", "remove", "prepend", "behead", "swap", "twice", "empty"],
)
def test_an_edit_costs_about_its_own_length(new: bytes, most_bytes: int) -> None:
    told = recipe(OLD, new, KIB)
    assert told.literal_bytes <= most_bytes
    assert applied(stream(told, new), OLD, len(new)) == new


def test_another_content_is_sent_as_it_is() -> None:
    new = os.urandom(50 * KIB)
    told = recipe(OLD, new, KIB)
    assert (told.literal_bytes, told.size) == (len(new), len(new) + len(MAGIC) + 9)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 1 << 30, (1 << 30) + 1, 1 << 43])
def test_blocks_are_few_enough(size: int) -> None:
    block_bytes = block_bytes_for(size)
    assert block_bytes == 64 << 20 or size <= block_bytes * BLOCKS_WISHED
    assert size <= block_bytes * (1 << 17)


BASE = bytes(range(100))


def copy(offset: int, length: int) -> bytes:
    return b"C" + offset.to_bytes(8) + length.to_bytes(8)


def literal(data: bytes, length: int | None = None) -> bytes:
    return b"L" + (len(data) if length is None else length).to_bytes(8) + data


@pytest.mark.parametrize(
    "delta",
    [
        b"",
        b"AFDELTA2" + copy(0, 10),
        MAGIC,
        MAGIC + copy(0, 9),
        MAGIC + copy(0, 11),
        MAGIC + copy(95, 10),
        MAGIC + copy((1 << 64) - 5, 10),
        MAGIC + copy(0, (1 << 64) - 1),
        MAGIC + copy(0, 0) + copy(0, 10),
        MAGIC + copy(0, 10) + copy(0, 1),
        MAGIC + literal(b"123", 10),
        MAGIC + literal(b"", (1 << 64) - 1),
        MAGIC + copy(0, 10)[:-1],
        MAGIC + b"X",
        MAGIC + literal(b"1234567890") + b"L",
    ],
)
def test_a_hostile_delta_is_refused(delta: bytes) -> None:
    with pytest.raises(BadDelta):
        applied(delta, BASE, 10)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_make_that_size_or_are_refused(rest: bytes, size: int) -> None:
    try:
        made = len(applied(MAGIC + rest, BASE, size))
    except BadDelta:
        made = size
    assert made == size


def test_too_many_pieces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server_stub.uploads.delta.PIECES_MAX", 10)
    assert applied(MAGIC + copy(0, 1) * 10, BASE, 10) == bytes(10)
    with pytest.raises(BadDelta):
        applied(MAGIC + copy(0, 1) * 11, BASE, 11)
