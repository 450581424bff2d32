"""The contract of every Store: what a transaction promises, how sequence numbers come to be."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

from server_stub.keys import Answer, Keyed
from server_stub.sqlite_store import SqliteStore, StateUnusable
from server_stub.values import Item, Kept, Kind, new_id, new_version

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from server_stub.store import Ledger, Store, View

T = TypeVar("T")


def folder(parent_id: str | None, name: str) -> Item:
    return Item(
        item_id=new_id(),
        parent_id=parent_id,
        name=name,
        kind=Kind.FOLDER,
        size=0,
        mode=0o755,
        created_ns=1,
        modified_ns=1,
        metadata_version=new_version(),
    )


def on_store(tmp_path: Path, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    """Run one scenario on a fresh store and close it."""

    async def run() -> T:
        store = await SqliteStore.open(tmp_path / "drive.db")
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(run())


def put(*items: Item) -> Callable[[Ledger], list[int]]:
    def work(ledger: Ledger) -> list[int]:
        with ledger.transaction() as tx:
            return [tx.put(item).seq for item in items]

    return work


def test_sequence_numbers_rise_and_a_rolled_back_one_was_never_given(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = folder(None, "")

        def broken(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.put(folder(root.item_id, "lost"))
                raise RuntimeError("no")

        assert await store.write(put(root, folder(root.item_id, "a"))) == [1, 2]
        with pytest.raises(RuntimeError):
            await store.write(broken)
        assert await store.read(lambda view: view.newest_seq()) == 2
        assert await store.read(lambda view: view.child(root.item_id, "lost")) is None
        assert await store.write(put(folder(root.item_id, "b"))) == [3]

    on_store(tmp_path, scenario)


def test_readers_never_skip_a_change_while_writers_race(tmp_path: Path) -> None:
    """A pager that follows its anchor sees every item exactly in the order of commits."""

    async def scenario(store: Store) -> None:
        root = folder(None, "")
        await store.write(put(root))
        total = 200
        seen: list[int] = []

        async def writer(number: int) -> None:
            for step in range(total // 4):
                await store.write(put(folder(root.item_id, f"{number}-{step}")))

        def page_after(after: int, view: View) -> list[Item]:
            return view.changed_items(after, 7)

        async def pager() -> None:
            after = 1
            while len(seen) < total:
                page = await store.read(partial(page_after, after))
                seen.extend(item.seq for item in page)
                after = page[-1].seq if page else after

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(pager())
            for number in range(4):
                group.create_task(writer(number))
        assert seen == list(range(2, total + 2))

    on_store(tmp_path, scenario)


def test_bury_moves_a_row_to_the_tombstones(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = folder(None, "")
        item = folder(root.item_id, "a")
        await store.write(put(root, item))

        def bury(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.bury(item, deleted_ns=5)

        await store.write(bury)

        def look(view: View) -> None:
            assert view.item(item.item_id) is None
            tombstone = view.tombstone(item.item_id)
            assert tombstone is not None
            assert (tombstone.item.name, tombstone.deleted_ns, tombstone.seq) == ("a", 5, 3)
            assert view.buried_lineage(item.item_id) == [item.item_id, root.item_id]
            assert [each.seq for each in view.changed_tombstones(2, 10)] == [3]

        await store.read(look)

    on_store(tmp_path, scenario)


def test_moves_are_remembered_as_departures(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = folder(None, "")
        one, two = folder(root.item_id, "1"), folder(root.item_id, "2")
        item = folder(one.item_id, "x")
        await store.write(put(root, one, two, item))
        await store.write(put(msgspec.structs.replace(item, parent_id=two.item_id)))
        (left,) = await store.read(lambda view: view.departures_of(item.item_id, 4))
        assert (left.seq, left.kind, left.parent_id) == (5, Kind.FOLDER, one.item_id)
        assert left.lineage == (root.item_id, one.item_id, item.item_id)
        assert left.target_lineage == (root.item_id, two.item_id, item.item_id)
        assert await store.read(lambda view: view.departures_of(item.item_id, 5)) == []
        assert await store.read(lambda view: view.departures(0, 9)) == [left]
        assert await store.read(lambda view: view.departures(0, 9, one.item_id)) == [left]
        assert await store.read(lambda view: view.departures(0, 9, two.item_id)) == []
        lineage = await store.read(lambda view: view.lineage(item.item_id))
        assert [name for _, name in lineage] == ["", "2", "x"]

    on_store(tmp_path, scenario)


def test_retention_forgets_and_lifts_the_floor(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = folder(None, "")
        old, young = folder(root.item_id, "old"), folder(root.item_id, "young")
        await store.write(put(root, old, young))
        keyed = Keyed(token_id="t", key="k", fingerprint="f")

        def age(ledger: Ledger) -> list[str]:
            with ledger.transaction() as tx:
                tx.bury(old, deleted_ns=10)
                tx.bury(young, deleted_ns=100)
                tx.remember(keyed, Answer(status=204), now_ns=10)
                for number, kept_ns in enumerate((10, 60, 70, 80)):
                    kept = Kept(
                        content_version=str(number), item_id="i", size=5, digest=None, modified_ns=0, kept_ns=kept_ns
                    )
                    tx.keep(kept)
                tx.forget_before(50)
                tx.lift_floor(tx.feed_surplus(before_ns=50, max_rows=9))
            return ledger.kept_surplus(before_ns=50, max_bytes=10, limit=9)

        assert await store.write(age) == ["0", "1"]  # one past its time, one beyond the room
        assert await store.read(lambda view: view.floor_seq()) == 4
        assert await store.read(lambda view: view.tombstone(old.item_id)) is None
        assert await store.read(lambda view: view.tombstone(young.item_id)) is not None
        assert await store.read(lambda view: view.answer(keyed)) is None

    on_store(tmp_path, scenario)


def test_a_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        def age(ledger: Ledger) -> None:
            ledger.connection.execute("PRAGMA user_version = 99")  # type: ignore[attr-defined]

        await store.write(age)

    on_store(tmp_path, scenario)
    with pytest.raises(StateUnusable, match="99"):
        on_store(tmp_path, scenario)
