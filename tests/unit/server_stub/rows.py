"""Rows made by hand, and a store to put them into."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from server_stub.sqlite_store import SqliteStore
from server_stub.values import Evidence, Item, Kind, new_id, new_version

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path

    from server_stub.store import Ledger, Store

T = TypeVar("T")


def made(parent: Item | None, name: str, kind: Kind = Kind.FOLDER) -> Item:
    return Item(
        item_id=new_id(),
        parent_id=None if parent is None else parent.item_id,
        name=name,
        kind=kind,
        size=0,
        mode=0o755,
        created_ns=1,
        modified_ns=1,
        metadata_version=new_version(),
        content_version=None if kind is Kind.FOLDER else new_version(),
        evidence=Evidence(ino=1, mtime_ns=1, ctime_ns=1, size=0),
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


def fill(*items: Iterable[Item]) -> Callable[[Ledger], None]:
    def work(ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            for some in items:
                for item in some:
                    tx.put(item)

    return work
