"""Making room: what goes, what stays, and what it costs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cache import contents, evict, fsck, ranges, tree, uses
from cache.errors import NoSpaceLeft, NotPermitted
from sync import evictor as eviction
from tests.engine.machine import Machine, file_of, flat, machine, until
from tests.fakes.drive import FakeDrive

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from cache.model import Ino, Node

MIB = 1 << 20
FILE_BYTES = 4096


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used in this very second may go; a few megabytes are large."""
    monkeypatch.setattr(eviction, "JUST_USED_S", -2)
    monkeypatch.setattr(evict, "LARGE_BYTES", 2 * MIB)


def node_of(here: Machine, ino: Ino) -> Node:
    node = tree.by_ino(here.store.db.reader, ino)
    assert node is not None
    return node


async def here_in_order(here: Machine, names: list[str]) -> list[Ino]:
    """Read these files; the first is the one that was used longest ago."""
    inos = [await here.ino(name) for name in names]
    for age, ino in enumerate(inos):
        await here.read(ino)
        await here.store.save()
        content_id = node_of(here, ino).content_id
        assert content_id is not None
        used_s = 1000 + age
        await here.store.db.write(lambda c, i=content_id, s=used_s: uses.note(c, [i], s))
    return inos


async def closed(here: Machine, ino: Ino) -> None:
    """All of a file is here, and nobody checks it any more."""
    await here.engine.hydrate(ino)
    await until(lambda: not len(here.store.opened))


def held(here: Machine, inos: list[Ino]) -> list[bool]:
    return [node_of(here, ino).content_id is not None for ino in inos]


async def test_the_least_recently_used_go_and_no_more_than_needed(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(6)) as here:
        inos = await here_in_order(here, [f"many/f{number:05}" for number in range(6)])
        here.engine.evictor.limit_bytes = 5 * FILE_BYTES
        assert await here.engine.evictor.make_room()
        assert held(here, inos) == [False, False, True, True, True, True]
        assert fsck.examine(here.store.db.reader, here.store.blobs, deep=True) == []


async def test_what_was_used_while_the_clock_was_ahead_goes_in_its_order(tmp_path: Path) -> None:
    """Tomorrow, yesterday, in a hundred years, in two days."""
    async with machine(tmp_path, flat(4)) as here:
        inos = await here_in_order(here, [f"many/f{number:05}" for number in range(4)])
        for ino, days in zip(inos, (1, -1, 36_500, 2), strict=True):
            content_id, used_s = node_of(here, ino).content_id, here.store.clock().now_s + days * 86_400
            assert content_id is not None
            await here.store.db.write(lambda c, i=content_id, s=used_s: uses.note(c, [i], s))
        for kept, left in (
            (3, [True, False, True, True]),
            (2, [False, False, True, True]),
            (1, [False, False, True, False]),
        ):
            here.engine.evictor.limit_bytes = kept * FILE_BYTES + FILE_BYTES // 2
            assert await here.engine.evictor.make_room()
            assert held(here, inos) == left


async def test_a_full_disk_is_given_room_though_the_clock_was_set_back(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(1)) as here:
        (ino,) = await here_in_order(here, ["many/f00000"])
        content_id, used_s = node_of(here, ino).content_id, here.store.clock().now_s + 86_400
        assert content_id is not None
        await here.store.db.write(lambda connection: uses.note(connection, [content_id], used_s))
        here.engine.evictor.limit_bytes = 0
        await here.engine.evictor.disk_is_full()
        assert held(here, [ino]) == [False]


async def test_a_full_disk_is_given_room_though_the_catalog_cannot_be_folded_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_room() -> None:
        raise NoSpaceLeft("no room for the catalog")

    async with machine(tmp_path, flat(1)) as here:
        (ino,) = await here_in_order(here, ["many/f00000"])
        here.engine.evictor.limit_bytes = 0
        with monkeypatch.context() as full:
            full.setattr(here.store.db, "checkpoint", no_room)
            await here.engine.evictor.disk_is_full()
        assert held(here, [ino]) == [False]


async def test_unsent_bytes_are_neither_chosen_nor_let_go_of(tmp_path: Path) -> None:
    async with machine(tmp_path, flat(1)) as here:
        await here.engine.steering.pause(paused=True)
        (ino,) = await here_in_order(here, ["many/f00000"])
        fh = (await here.filesystem.open(ino, os.O_WRONLY)).fh
        await here.filesystem.write(fh, 0, b"mine")
        await here.filesystem.release(fh)
        content_id = node_of(here, ino).content_id
        assert content_id is not None
        assert uses.oldest(here.store.db.reader, (-1, -1), 10**10, 100) == []
        assert await here.store.db.write(lambda connection: contents.detach_clean(connection, [content_id])) == []
        assert node_of(here, ino).content_id == content_id


async def test_open_dirty_and_just_used_bytes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with machine(tmp_path, flat(3)) as here:
        inos = await here_in_order(here, [f"many/f{number:05}" for number in range(3)])
        opened = await here.filesystem.open(inos[0], os.O_RDONLY)
        written = await here.filesystem.open(inos[1], os.O_WRONLY)
        await here.filesystem.write(written.fh, 0, b"mine")
        await here.filesystem.release(written.fh)
        here.engine.evictor.limit_bytes = 0
        assert not await here.engine.evictor.make_room()
        assert held(here, inos) == [True, True, False]
        with pytest.raises(NotPermitted, match="open"):
            await here.engine.evict(inos[0])
        with pytest.raises(NotPermitted, match="not on the server"):
            await here.engine.evict(inos[1])
        await here.filesystem.release(opened.fh)
        monkeypatch.setattr(eviction, "JUST_USED_S", 5)
        here.engine.evictor.look_again()
        await here.engine.evictor.make_room()
        assert held(here, inos)[0]


async def test_the_cost_is_that_of_what_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 files one is evicted: one page of rows is read, and what had to stay is not looked at again."""
    looked: list[int] = []
    ask = uses.oldest

    def counted(*arguments: object) -> list[uses.Clean]:
        rows = ask(*arguments)  # type: ignore[arg-type]
        looked.append(len(rows))
        return rows

    monkeypatch.setattr(uses, "oldest", counted)
    async with machine(tmp_path, flat(300)) as here:
        await here.walk()
        await here.store.save()
        here.engine.evictor.limit_bytes = 1 << 40
        await here.engine.evictor.make_room()
        assert looked == []
        oldest = uses.oldest(here.store.db.reader, (-1, -1), 10**10, 100)
        pinned = {each.ino for each in oldest}
        looked.clear()
        here.engine.evictor._is_kept = lambda ino: ino in pinned
        for limit_files in (299, 280):
            here.engine.evictor.limit_bytes = limit_files * FILE_BYTES
            assert await here.engine.evictor.make_room()
        assert len(looked) == 3  # 100 that stay and 16 that go; then 20 more
        await here.store.save()
        usage = contents.usage(here.store.db.reader)
        assert usage.held_bytes == int(280 * eviction.SLACK) * FILE_BYTES
        assert all(held(here, list(pinned)))


def _plan(connection: sqlite3.Connection, statement: str) -> str:
    return " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))


async def test_the_questions_are_answered_by_an_index(tmp_path: Path) -> None:
    async with machine(tmp_path, FakeDrive()) as here:
        asked: list[str] = []
        here.store.db.reader.set_trace_callback(asked.append)
        contents.usage(here.store.db.reader)
        uses.oldest(here.store.db.reader, (-1, -1), 10**10, 64)
        here.store.db.reader.set_trace_callback(None)
        usage, oldest = (_plan(here.store.db.reader, statement) for statement in asked)
        assert "content" not in usage  # one row of its own, not a sum
        assert "INDEX content_lru" in oldest
        assert "TEMP B-TREE" not in oldest


async def test_of_a_large_file_the_end_is_punched_out(tmp_path: Path) -> None:
    drive = FakeDrive()
    body = bytes(range(256)) * (8 * MIB // 256)
    file_of(drive, drive.root_id, "film", body)
    async with machine(tmp_path, drive, cache_bytes=1 << 40) as here:
        ino = await here.ino("film")
        await closed(here, ino)
        here.engine.evictor.limit_bytes = 6 * MIB
        assert await here.engine.evictor.make_room()
        node = node_of(here, ino)
        assert node.content_id is not None
        content = here.store.content(node.content_id)
        assert content.resident == ((0, 5 * MIB),)
        assert here.store.blobs.disk_bytes(node.content_id) == 5 * MIB
        assert contents.usage(here.store.db.reader).held_bytes == 5 * MIB
        asked = here.asked("read")
        opened = await here.filesystem.open(ino, os.O_RDONLY)
        assert bytes(await here.filesystem.read(opened.fh, MIB, MIB)) == body[MIB : 2 * MIB]
        await here.filesystem.release(opened.fh)
        here.engine.evictor.limit_bytes = 1 << 40
        await closed(here, ino)
        assert here.asked("read") > asked
        assert here.store.blobs.path(node.content_id).read_bytes() == body
        await here.store.save()
        assert fsck.examine(here.store.db.reader, here.store.blobs, deep=True) == []


async def test_who_opens_it_meanwhile_keeps_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = FakeDrive()
    file_of(drive, drive.root_id, "film", b"x" * (8 * MIB))
    async with machine(tmp_path, drive, cache_bytes=1 << 40) as here:
        ino = await here.ino("film")
        await closed(here, ino)
        await here.store.save()
        node = node_of(here, ino)
        write, opened = here.store.db.write, []

        async def slow_write(*arguments: object, durable: bool = False) -> object:
            result = await write(*arguments, durable=durable)  # type: ignore[arg-type]
            if durable:
                opened.append(await here.store.open_content(node))
            return result

        monkeypatch.setattr(here.store.db, "write", slow_write)
        assert node.content_id is not None
        assert await here.store.shed(node.content_id, 4 * MIB)
        monkeypatch.undo()
        assert opened[0].resident == ((0, 8 * MIB),)
        assert here.store.blobs.disk_bytes(node.content_id) == 8 * MIB
        here.store.opened.release(opened[0])
        await here.store.save()
        content = contents.get(here.store.db.reader, node.content_id)
        assert content is not None
        assert ranges.total(content.resident) == 8 * MIB


async def test_room_is_left_to_others_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with machine(tmp_path, flat(4), cache_bytes=1 << 40) as here:
        inos = await here_in_order(here, [f"many/f{number:05}" for number in range(4)])
        free_bytes = 10 * MIB
        monkeypatch.setattr(here.store.blobs, "free_bytes", lambda: free_bytes)
        here.engine.evictor.floor_bytes = free_bytes
        assert await here.engine.evictor.make_room()
        assert held(here, inos) == [True] * 4
        here.engine.evictor.floor_bytes = free_bytes + 1
        assert not await here.engine.evictor.make_room()  # whatever goes: this disk tells nothing freed
        assert held(here, inos) == [False] * 4


async def test_one_whose_blob_is_gone_does_not_keep_the_others_from_going(tmp_path: Path) -> None:
    drive = FakeDrive()
    for name in ("lost", "other"):
        file_of(drive, drive.root_id, name, b"x" * (4 * MIB))
    async with machine(tmp_path, drive) as here:
        inos = [await here.ino(name) for name in ("lost", "other")]
        for ino in inos:
            await closed(here, ino)
        await here.store.save()
        content_id = node_of(here, inos[0]).content_id
        assert content_id is not None
        here.store.blobs.delete(content_id)
        here.engine.evictor.limit_bytes = 7 * MIB
        assert await here.engine.evictor.make_room()
        assert held(here, inos) == [False, True]


async def test_a_blob_of_another_length_goes_with_its_row(tmp_path: Path) -> None:
    drive = FakeDrive()
    file_of(drive, drive.root_id, "cut", b"x" * FILE_BYTES)
    async with machine(tmp_path, drive) as here:
        ino = await here.ino("cut")
        await closed(here, ino)
        before = node_of(here, ino).content_id
        assert before is not None
        os.truncate(here.store.blobs.path(before), 10)
        assert await here.read(ino) == b"x" * FILE_BYTES
        assert not here.store.blobs.path(before).exists()
