"""How many items and tombstones there are is known without counting them, whatever was done."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

from server_stub.values import Kind
from tests.unit.server_stub.rows import made, on_store

if TYPE_CHECKING:
    from pathlib import Path

    from server_stub.sqlite_tx import SqliteTx
    from server_stub.store import Ledger, Store, View
    from server_stub.values import Item

COUNTED = "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM tombstones)"


def some_change(tx: SqliteTx, chance: random.Random, alive: list[Item], gone: list[Item]) -> None:
    what = chance.choice(["add", "put", "put anew", "bury", "revive", "lift"])
    if what in {"add", "put"}:
        item = made(alive[0], f"f{tx.newest_seq()}", Kind.FILE)
        alive.append(tx.put(item) if what == "put" else tx.add(item))
    elif what == "put anew":
        tx.put(msgspec.structs.replace(chance.choice(alive), mode=0o700))
    elif what == "bury" and len(alive) > 1:
        gone.append(alive.pop(chance.randrange(1, len(alive))))
        tx.bury(gone[-1], deleted_ns=1)
    elif what == "revive" and gone:
        alive.append(tx.revive(gone.pop(chance.randrange(len(gone)))))
    elif what == "lift" and chance.random() < 0.2:
        tx.lift_floor(tx.newest_seq())
        gone.clear()


def test_what_is_counted_is_what_is_there(tmp_path: Path) -> None:
    chance = random.Random(1)
    seen: set[tuple[int, int]] = set()

    async def work(store: Store) -> None:
        root = made(None, "")
        alive, gone = [root], []

        def change(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                for _ in range(5):
                    some_change(tx, chance, alive, gone)

        def compare(view: View) -> None:
            counts = view.counts()
            assert counts == view.connection.execute(COUNTED).fetchone()
            seen.add(counts)

        def begin(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.put(root)

        await store.write(begin)
        for _ in range(60):
            await store.write(change)
            await store.read(compare)

    on_store(tmp_path, work)
    assert len({items for items, _ in seen}) > 5
    assert len({tombstones for _, tombstones in seen}) > 5
