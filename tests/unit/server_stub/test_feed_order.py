"""Anchors are monotonic: nothing commits behind a reader's back, in whatever order transactions begin and end."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from server_stub.feed import Page, Scope, read_page
from server_stub.migrations import migrate
from server_stub.push import Notifier
from server_stub.sqlite_store import SqliteStore
from server_stub.sqlite_tx import SqliteLedger
from server_stub.sqlite_view import SqliteView
from server_stub.values import Item, Kind, Principal, new_id, new_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server_stub.store import Ledger, View

WRITERS = 4
BATCH = 100  # changes per transaction


def item(parent_id: str | None, kind: Kind = Kind.FILE) -> Item:
    return Item(
        item_id=new_id(),
        parent_id=parent_id,
        name="" if parent_id is None else new_version(),
        kind=kind,
        size=0,
        mode=0,
        created_ns=0,
        modified_ns=0,
        metadata_version=new_version(),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drive.db"


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("PRAGMA journal_mode=WAL")
    return connection


def seqs(view: SqliteView, after: int) -> list[int]:
    return [each.seq for each in view.changed_items(after, 100)]


def test_a_transaction_cannot_begin_before_another_has_ended(path: Path) -> None:
    """The second writer gets its number after the first is visible: none appears below one that was read."""
    one, two, reading = connect(path), connect(path), connect(path)
    migrate(one, path)
    first, second, reader = SqliteLedger(one, print), SqliteLedger(two, print), SqliteView(reading)
    root = item(None, Kind.FOLDER)
    with first.transaction() as tx:
        tx.put(root)
    with first.transaction() as tx:
        tx.put(item(root.item_id))
        assert (reader.newest_seq(), seqs(reader, 1)) == (1, []), "seen before its commit"
        with pytest.raises(sqlite3.OperationalError, match="locked"), second.transaction():
            pytest.fail("two transactions that both give out numbers")
        tx.put(item(root.item_id))
    assert (reader.newest_seq(), seqs(reader, 1)) == (3, [2, 3])
    with second.transaction() as tx:
        assert tx.put(item(root.item_id)).seq == 4
    assert seqs(reader, 3) == [4]
    for connection in (one, two, reading):
        connection.close()


def test_an_abandoned_number_is_given_again_and_was_never_told(path: Path) -> None:
    one, reading = connect(path), connect(path)
    migrate(one, path)
    ledger, reader = SqliteLedger(one, print), SqliteView(reading)
    root = item(None, Kind.FOLDER)
    with ledger.transaction() as tx:
        tx.put(root)
    lost, kept = item(root.item_id), item(root.item_id)

    def abandon() -> None:
        with ledger.transaction() as tx:
            assert tx.put(lost).seq == 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        abandon()
    assert (reader.newest_seq(), seqs(reader, 0)) == (1, [1])
    with ledger.transaction() as tx:
        assert tx.put(kept).seq == 2
    assert [each.item_id for each in reader.changed_items(1, 9)] == [kept.item_id]
    one.close()
    reading.close()


class Follower:
    """Pages through the feed while others write; holds what it was told."""

    def __init__(self, notifier: Notifier, principal: Principal, limit: int, scope: Scope | None) -> None:
        self.notifier = notifier
        self.principal, self.limit, self.scope = principal, limit, scope
        self.seq = 0
        self.pages = 0  # read while others wrote
        self.held: dict[str, str] = {}

    def read(self, view: View) -> Page:
        return read_page(view, self.principal, self.seq, self.limit, self.scope, examine=1_000)

    async def follow(self, store: SqliteStore, done: asyncio.Event) -> None:
        while True:
            is_last = done.is_set()  # asked before the page: what is committed by now is in it
            page = await store.read(self.read)
            assert page.seq >= self.seq, "an anchor went back"
            self.seq, self.pages = page.seq, self.pages + (not is_last)
            for change in page.changes:
                if change["type"] == "deleted":
                    self.held.pop(change["item_id"], None)
                else:
                    self.held[change["item"]["item_id"]] = change["item"]["metadata_version"]
            if not page.has_more:
                if is_last:
                    return
                await self.notifier.wait(self.seq, 0.05)


def write_some(folder: Item, mine: list[Item], rng: random.Random, ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        for _ in range(BATCH):
            choice = rng.random()
            if choice < 0.5 or not mine:
                mine.append(tx.put(item(folder.item_id)))
            elif choice < 0.8:
                index = rng.randrange(len(mine))
                mine[index] = tx.put(msgspec.structs.replace(mine[index], metadata_version=new_version()))
            else:
                tx.bury(mine.pop(rng.randrange(len(mine))), deleted_ns=1)


def test_followers_skip_nothing_while_writers_commit(path: Path, often: Callable[[int, int], int]) -> None:
    """Four writers' transactions of 100 changes: 200, with `--long` 1,000; three followers page through all the
    while."""
    changes = often(20_000, 100_000)

    async def scenario() -> tuple[list[Follower], dict[str, str], int]:
        loop, notifier = asyncio.get_running_loop(), Notifier()
        store = await SqliteStore.open(path, lambda seq: loop.call_soon_threadsafe(notifier.announce, seq) and None)
        root = item(None, Kind.FOLDER)
        folder = item(root.item_id, Kind.FOLDER)
        principal = Principal(token_id="t", name="t", root_id=root.item_id, whole_drive=True)

        def begin(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.put(root)
                tx.put(folder)

        await store.write(begin)
        scopes = (None, Scope(folder_id=folder.item_id, deep=False), Scope(folder_id=root.item_id, deep=True))
        followers = [
            Follower(notifier, principal, limit, scope) for limit, scope in zip((37, 101, 500), scopes, strict=True)
        ]
        done = asyncio.Event()

        async def writer(number: int) -> None:
            rng, mine = random.Random(number), list[Item]()
            for _ in range(changes // BATCH // WRITERS):
                await store.write(partial(write_some, folder, mine, rng))

        async with asyncio.timeout(often(120, 600)), asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.follow(store, done))
            await asyncio.gather(*(writer(number) for number in range(WRITERS)))
            done.set()
        items = await store.read(lambda view: view.changed_items(0, -1))
        newest = await store.read(lambda view: view.newest_seq())
        await store.aclose()
        return followers, {each.item_id: each.metadata_version for each in items}, newest

    followers, truth, newest = asyncio.run(scenario())
    assert newest == changes + 2
    for follower in followers:
        held = (
            follower.held if follower.scope is None or follower.scope.deep else follower.held | _root(truth, follower)
        )
        assert held == truth
        assert follower.seq == newest
        assert follower.pages > changes // 1_000, "it was to read while others wrote"


def _root(truth: dict[str, str], follower: Follower) -> dict[str, str]:
    root_id = follower.principal.root_id
    return {root_id: truth[root_id]}
