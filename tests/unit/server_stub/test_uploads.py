"""Uploads without a server: their header fields, their turns, their bytes."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.problems import Problem
from server_stub.settings import Settings
from server_stub.uploads.bay import Bay, BytesLost
from server_stub.uploads.headers import Wish, parse_concat, parse_length, parse_metadata, read_wish
from server_stub.uploads.plan import check_room
from server_stub.uploads.turns import Interrupted, Turns
from server_stub.uploads.values import Target, check_target
from server_stub.vault import Vault
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator


def encoded(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1)


@given(st.dictionaries(KEYS, st.binary(max_size=40), max_size=5))
def test_metadata_is_read_as_it_was_written(pairs: dict[str, bytes]) -> None:
    field = ",".join(f"{key} {base64.b64encode(value).decode()}".rstrip() for key, value in pairs.items())
    assert parse_metadata(field) == pairs


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF)))
def test_any_metadata_is_read_or_refused(field: str) -> None:
    status, wish = 200, None
    try:
        wish = read_wish(field, "root")
    except Problem as problem:
        status = problem.status
    assert isinstance(wish, Wish) or status in {400, 413, 422, 428}


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ({}, None),
        ({"filetype": "text/plain"}, None),
        ({"filename": "a"}, Target(parent_id="root", name="a")),
        ({"filename": "a", "name": "b"}, Target(parent_id="root", name="b")),
        ({"filename": "a", "parent_id": "p"}, Target(parent_id="p", name="a")),
        ({"item_id": "i", "content_version": "v", "filename": "a"}, Target(item_id="i", content_version="v")),
    ],
)
def test_where_an_upload_goes(values: dict[str, str], target: Target | None) -> None:
    assert read_wish(encoded(**values), "root").target == target


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (Target(), 422),
        (Target(item_id="i"), 428),
        (Target(parent_id="p"), 422),
        (Target(name="n"), 422),
        (Target(item_id="i", content_version="v", name="n"), 422),
        (Target(parent_id="p", name="n", content_version="v"), 422),
    ],
)
def test_a_target_says_one_thing_whole(target: Target, status: int) -> None:
    with pytest.raises(Problem) as refused:
        check_target(target)
    assert refused.value.status == status


def test_lengths_and_parts() -> None:
    assert parse_length({"upload-length": "0"}, required=True) == 0
    assert parse_length({"upload-defer-length": "1"}, required=True) is None
    assert parse_concat("partial") is None
    assert parse_concat("final;/a  https://host:1/b/c") == ("/a", "/b/c")
    assert parse_concat("final;http://[::1") == ("/",)
    for field in ("final", "final;", "final; ", "finally;/a", "final;" + " /a" * 1001):
        with pytest.raises(Problem, match="invalid_request"):
            parse_concat(field)


async def _endless() -> AsyncGenerator[bytes, None]:
    yield b"first"
    await asyncio.Event().wait()


def test_a_newcomer_ends_who_waits_and_is_served_after_it() -> None:
    async def scenario() -> list[str]:
        turns, told = Turns(), []
        receiving = asyncio.Event()

        async def stalled() -> None:
            async with turns.take("u") as turn:
                try:
                    async for chunk in turn.chunks(_endless(), 60.0):
                        told.append(chunk.decode())
                        receiving.set()
                except Interrupted:
                    await asyncio.sleep(0)  # making durable what arrived takes its time
                    told.append("kept")

        async def newcomer(name: str) -> None:
            async with turns.take("u"):
                told.append(name)

        first = asyncio.create_task(stalled())
        await receiving.wait()
        async with turns.take("another"):  # nobody's business
            await newcomer("second")
        await first
        await asyncio.gather(newcomer("third"), newcomer("fourth"))
        return told

    assert asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S)) == ["first", "kept", "second", "third", "fourth"]


def test_nothing_for_too_long_ends_a_request() -> None:
    async def scenario() -> bytes:
        async with Turns().take("u") as turn:
            chunks = turn.chunks(_endless(), 0.01)
            first = await anext(chunks)
            with pytest.raises(Interrupted):
                await anext(chunks)
            return first

    assert asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S)) == b"first"


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    vault = Vault(tmp_path / "vault")
    yield Bay(vault)
    vault.close()


def append(bay: Bay, offset: int, data: bytes) -> int:
    appending = bay.append("u", offset, None)
    appending.write(data)
    appending.sync()
    appending.close()
    return appending.size


def test_zeros_take_no_room_and_are_there(bay: Bay, tmp_path: Path) -> None:
    bay.create("u")
    data = b"head" + bytes(1 << 20) + b"tail" + bytes(1 << 16)
    offset = 0
    for piece in (data[:4], data[4 : 1 << 19], data[1 << 19 : 4 + (1 << 20)], data[4 + (1 << 20) : -(1 << 16)]):
        offset = append(bay, offset, piece)
    assert append(bay, offset, data[-(1 << 16) :]) == len(data)
    staged = bay.seal("u", size=len(data), modified_ns=5_000_000_000, digest=None)
    assert (staged.size, staged.digest) == (len(data), hashlib.sha256(data).hexdigest())
    (path,) = (each for each in tmp_path.rglob("u") if each.is_file())
    assert path.read_bytes() == data
    assert path.stat().st_blocks * 512 < 1 << 17


def test_bytes_beyond_the_offset_are_scratch(bay: Bay) -> None:
    bay.create("u")
    assert append(bay, 0, b"abcXYZ") == 6
    assert append(bay, 3, b"def") == 6
    staged = bay.seal("u", size=6, modified_ns=5_000_000_000, digest=None)
    assert (staged.size, staged.digest) == (6, hashlib.sha256(b"abcdef").hexdigest())
    assert bay.seal("u", size=2, modified_ns=1, digest=None).digest == hashlib.sha256(b"ab").hexdigest()


def test_a_file_shorter_than_its_offset_is_refused(bay: Bay) -> None:
    bay.create("u")
    append(bay, 0, b"abc")
    with pytest.raises(BytesLost):
        append(bay, 4, b"e")
    with pytest.raises(BytesLost):
        bay.seal("u", size=4, modified_ns=1, digest=None)
    bay.drop("u")
    bay.drop("u")
    with pytest.raises(BytesLost):
        append(bay, 0, b"")
    with pytest.raises(BytesLost):
        bay.seal("u", size=0, modified_ns=1, digest=None)


def test_a_sync_that_failed_is_never_believed_again(bay: Bay, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "the disk")

    bay.create("u")
    appending = bay.append("u", 0, None)
    appending.write(b"abc")
    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fail)
        with pytest.raises(OSError, match="the disk"):
            appending.sync()
    with pytest.raises(OSError, match="earlier"):
        appending.sync()
    appending.close()
    assert append(bay, 0, b"abc") == 3  # sent again, it may be


def test_a_token_has_room_up_to_its_limit() -> None:
    settings = Settings(root=Path(), state=Path(), uploads_max_bytes=10)
    check_room(settings, 10)
    with pytest.raises(Problem, match="quota_exceeded"):
        check_room(settings, 11)


def test_a_join_holds_its_parts_in_order(bay: Bay) -> None:
    bay.create("u")
    append(bay, 0, b"abc")
    digest = bay.join("whole", ("u", "u"))
    staged = bay.seal("whole", size=6, modified_ns=1, digest=digest)
    assert staged.digest == hashlib.sha256(b"abcabc").hexdigest()
