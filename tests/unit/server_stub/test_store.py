"""The contract of every Store: what a transaction promises, how sequence numbers come to be."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import pytest

from server_stub.keys import Answer, Keyed
from server_stub.migrations import StateUnusable
from server_stub.sqlite_store import Connection, SqliteStore, _prepare
from server_stub.uploads.values import Target, Upload, UploadState, new_upload_id
from server_stub.values import Item, Kept, Kind, new_id, new_version
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine

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


class OnStore(Protocol):
    """Run one scenario on a fresh store and close it."""

    def __call__(self, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T: ...


@pytest.fixture(params=["a file", "memory"])
def on_store(request: pytest.FixtureRequest, tmp_path: Path) -> OnStore:
    """Every implementation of the seam."""
    path = None if request.param == "memory" else tmp_path / "drive.db"
    return partial(run_on, path)  # type: ignore[return-value]


def run_on(path: Path | None, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    """None: a store whose one connection reads and writes in memory."""

    async def run() -> T:
        store = await in_memory() if path is None else await SqliteStore.open(path)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(run())


async def in_memory() -> SqliteStore:
    connection = await Connection.to(Path(":memory:"), read_only=False)
    await connection.call(partial(_prepare, path=Path(":memory:")))
    return SqliteStore(connection, [connection], lambda _seq: None)


def put(*items: Item) -> Callable[[Ledger], list[int]]:
    def work(ledger: Ledger) -> list[int]:
        with ledger.transaction() as tx:
            return [tx.put(item).seq for item in items]

    return work


def test_sequence_numbers_rise_and_a_rolled_back_one_was_never_given(on_store: OnStore) -> None:
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

    on_store(scenario)


def test_readers_never_skip_a_change_while_writers_race(on_store: OnStore) -> None:
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

        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(pager())
            for number in range(4):
                group.create_task(writer(number))
        assert seen == list(range(2, total + 2))

    on_store(scenario)


def test_bury_moves_a_row_to_the_tombstones(on_store: OnStore) -> None:
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

    on_store(scenario)


def test_moves_are_remembered_as_departures(on_store: OnStore) -> None:
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

    on_store(scenario)


def test_retention_forgets_and_lifts_the_floor(on_store: OnStore) -> None:
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

    on_store(scenario)


def upload(owner: str = "t", **fields: object) -> Upload:
    return msgspec.structs.replace(Upload(upload_id=new_upload_id(), token_id=owner), **fields)


def test_uploads_are_told_whole_and_counted_while_they_are_held(on_store: OnStore) -> None:
    async def scenario(store: Store) -> None:
        target = Target(parent_id="p", name="n")
        known = upload(length=10, offset=4, expires_ns=30, target=target, concat="partial")
        unknown = upload(offset=7, expires_ns=20)
        done = upload(length=100, offset=100, state=UploadState.COMMITTED, expires_ns=10, item_id="i")
        other = upload("another", length=1_000, expires_ns=40)

        def fill(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                for each in (known, unknown, done, other):
                    tx.put_upload(each)

        await store.write(fill)
        assert await store.read(lambda view: view.upload(known.upload_id)) == known
        assert await store.read(lambda view: view.upload("none")) is None
        assert await store.read(lambda view: view.upload_room("t")) == (2, 17)
        held = {known.upload_id, unknown.upload_id, other.upload_id}
        assert await store.read(lambda view: view.upload_ids()) == held
        assert await store.read(lambda view: view.uploads_past(30, 9)) == [done, unknown, known]
        assert await store.read(lambda view: view.uploads_past(30, 1)) == [done]

        def end(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.put_upload(msgspec.structs.replace(known, state=UploadState.GONE))
                tx.forget_uploads([done.upload_id, "none"])

        await store.write(end)
        assert await store.read(lambda view: view.upload_room("t")) == (1, 7)
        assert await store.read(lambda view: view.upload(done.upload_id)) is None

    on_store(scenario)


def test_an_upload_rolls_back_with_its_transaction(on_store: OnStore) -> None:
    async def scenario(store: Store) -> None:
        lost = upload()

        def broken(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.put_upload(lost)
                raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            await store.write(broken)
        assert await store.read(lambda view: view.upload(lost.upload_id)) is None

    on_store(scenario)


def test_a_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        def age(ledger: Ledger) -> None:
            ledger.connection.execute("PRAGMA user_version = 99")  # type: ignore[attr-defined]

        await store.write(age)

    run_on(tmp_path / "drive.db", scenario)
    with pytest.raises(StateUnusable, match="99"):
        run_on(tmp_path / "drive.db", scenario)


def test_the_log_gives_back_what_a_large_transaction_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server_stub.sqlite_store._LOG_KEPT_BYTES", 1 << 20)
    log = tmp_path / "drive.db-wal"

    async def work(store: Store) -> None:
        assert isinstance(store, SqliteStore)
        await store._writer.call(_large)
        assert log.stat().st_size > 4 << 20
        for _ in range(2):  # the first begins the log anew
            await store._writer.call(
                lambda connection: connection.execute("UPDATE meta SET value = '1' WHERE key = 'seq'")
            )
        assert log.stat().st_size <= 1 << 20

    run_on(tmp_path / "drive.db", work)


def _large(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO meta VALUES ('large', hex(zeroblob(2500000)))")
    connection.execute("COMMIT")
