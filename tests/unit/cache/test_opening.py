"""What opening a state directory costs, and what is found behind it after an end that was not orderly."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import cache.db
import cache.sweep
from cache import contents, fsck
from cache.db import inline
from cache.errors import CacheInUse
from cache.model import ContentId
from cache.rescue import kept_files
from cache.store import LocalStore
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from cache.blobs import Blobs

STEPS = 1000  # of SQLite's machine between two looks
_INTO_NODE = """INSERT INTO node (ino, parent, name, kind, size, mode, mtime_ns, ctime_ns, item_id, content_id,
    symlink_target, listed, writable)"""


def fill(directory: Path, count: int) -> Blobs:
    """A catalog of so many files in one folder, each with its content, left by a process that was killed."""
    store = LocalStore(directory, runner=inline)
    leave(store)
    with closing(sqlite3.connect(directory / "state.db")) as connection, connection:
        connection.execute(f"{_INTO_NODE} VALUES (1, NULL, '', 'folder', 0, 493, 0, 0, 'root', NULL, NULL, 1, 1)")
        numbers = range(2, count + 2)
        connection.executemany(
            "INSERT INTO content VALUES (?, ?, 'v', 4096, x'', 4096, 0, 1, 5, 0, NULL, NULL)",
            [(each, each) for each in numbers],
        )
        connection.executemany(
            f"{_INTO_NODE} VALUES (?, 1, ?, 'file', 4096, 420, 0, 0, ?, ?, NULL, 0, 1)",
            [(each, f"f{each}", f"item{each}", each) for each in numbers],
        )
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
    return store.blobs


def leave(store: LocalStore) -> None:
    """As a killed process does."""
    store.db.close()
    os.close(store._lock)


def steps_to_open(directory: Path, monkeypatch: pytest.MonkeyPatch, *, orderly: bool) -> int:
    """How much SQLite does until the store can be used."""
    looks = 0
    connect = cache.db._connect

    def look() -> int:
        nonlocal looks
        looks += 1
        return 0

    def watched(path: Path, factory: type[sqlite3.Connection]) -> sqlite3.Connection:
        connection = connect(path, factory)
        connection.set_progress_handler(look, STEPS)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(cache.db, "_connect", watched)
        store = LocalStore(directory, runner=inline)
        contents.usage(store.db.reader)
        found = looks
    if orderly:
        trio.run(store.aclose)
    else:
        leave(store)
    return found


def test_opening_costs_the_same_however_much_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound in steps and not in time: of the 50,000 files only the first piece of the search is looked at."""
    costs = {}
    for count in (10_000, 50_000):
        directory = tmp_path / str(count)
        fill(directory, count)
        costs[count] = steps_to_open(directory, monkeypatch, orderly=False)
    assert costs[50_000] <= costs[10_000] * 1.2 + 2


def test_after_an_orderly_end_nothing_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 3000)
    with monkeypatch.context() as patch:
        patch.setattr(cache.sweep, "PIECE", 10_000)
        first = steps_to_open(tmp_path, monkeypatch, orderly=True)
    again = steps_to_open(tmp_path, monkeypatch, orderly=True)
    assert again < 5
    assert first > 5 * again + 10


async def test_the_search_goes_on_behind_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 40)
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        connection.execute("UPDATE node SET content_id = NULL WHERE ino > 30")
    monkeypatch.setattr(cache.sweep, "PIECE", 7)
    store = LocalStore(tmp_path, runner=inline)
    stray = ContentId(20)
    for content_id in range(2, 42):
        store.blobs.create(ContentId(content_id), 4096)
    await store.db.write(lambda connection: contents.delete(connection, stray))
    assert contents.usage(store.db.reader).contents == 39
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run_janitor)
        with trio.fail_after(DEADLINE_S):
            while store.search.due:  # nobody but a test waits for that
                store._work.set()
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    await store.save()
    assert not store.blobs.path(stray).exists()
    assert contents.usage(store.db.reader).contents == 28
    assert sum(1 for _ in store.blobs.ids()) == 28
    await store.aclose()
    assert not {each.law for each in fsck.check(tmp_path)} & {"blob-has-row", "clean-has-node", "usage"}


@pytest.mark.parametrize("edited", [False, True])
async def test_nobody_waits_while_what_was_left_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, edited: bool
) -> None:
    """Bytes without a witness are rescued; those that a program changed while they were hashed are that program's."""
    hashing, go_on = trio.Event(), trio.Event()

    async def digest_of(fd: int) -> tuple[int, str]:
        hashing.set()
        await go_on.wait()
        return os.fstat(fd).st_size, "sha-256:of what was there"

    fill(tmp_path, 10)
    monkeypatch.setattr(cache.sweep, "PIECE", 3)
    monkeypatch.setattr(cache.sweep, "digest_of", digest_of)
    store, left = LocalStore(tmp_path, runner=inline), ContentId(5)
    store.blobs.create(left, 4096, unsent=True)  # its row says clean
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(search_all, store)
            await hashing.wait()
            await store.db.write(lambda connection: contents.set_dirty(connection, left) if edited else None)
            go_on.set()
    assert store.blobs.path(left).exists() == edited
    assert (contents.get(store.db.reader, left) is not None) == edited
    assert kept_files(tmp_path / "rescued") == int(not edited)
    assert ("were moved to" in caplog.text) != edited
    caplog.clear()
    await store.aclose()


@pytest.mark.parametrize("piece", [3, 100])
async def test_what_cannot_be_read_is_the_next_openings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """Behind the start and at it: nothing else is held up, and an orderly end does not make it what was sent."""
    unreadable, left = ContentId(5), ContentId(6)

    def digest_of_file(path: Path) -> str:
        if path == blobs.path(unreadable):
            raise OSError(errno.EIO, "a bad sector")
        return "sha-256:of what was there"

    async def digest_of(fd: int) -> tuple[int, str]:
        return os.fstat(fd).st_size, digest_of_file(Path(os.readlink(f"/proc/self/fd/{fd}")))  # noqa: PTH115  # no disk is waited for

    blobs = fill(tmp_path, 10)
    for content_id in (unreadable, left):
        blobs.create(content_id, 4096, unsent=True)  # their rows say clean
    with monkeypatch.context() as patch:
        patch.setattr(cache.sweep, "PIECE", piece)
        patch.setattr(cache.sweep, "digest_of", digest_of)
        patch.setattr(cache.sweep, "digest_of_file", digest_of_file)
        store = LocalStore(tmp_path, runner=inline)
        await search_all(store)
        await store.aclose()
    assert (blobs.path(unreadable).exists(), blobs.path(left).exists()) == (True, False)
    store = LocalStore(tmp_path, runner=inline)
    await search_all(store)
    await store.aclose()
    assert not blobs.path(unreadable).exists()
    assert kept_files(tmp_path / "rescued") == 2


async def search_all(store: LocalStore) -> None:
    """As the janitor does, without its pauses."""
    while store.search.due:
        store.tidy(await store.search.go_on())


def test_blobs_of_creations_that_never_were_go_at_once(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    store = LocalStore(tmp_path, runner=inline)
    for content_id in (5, 6):  # the next numbers: a transaction that was rolled back
        store.blobs.create(ContentId(content_id), 10)
    leave(store)
    store = LocalStore(tmp_path, runner=inline)
    assert list(store.blobs.ids()) == []
    trio.run(store.aclose)


def test_one_directory_serves_one_process(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, runner=inline)
    with pytest.raises(CacheInUse) as refused:
        LocalStore(tmp_path, runner=inline)
    assert refused.value.facts["path"] == str(tmp_path)
    trio.run(store.aclose)
