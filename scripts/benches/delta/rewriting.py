"""Has the server's index tell that files changed, by the server's own code in another process: a tool for the bench.

A hundred thousand changes are a hundred thousand fsyncs when they are made through the protocol, and the bench is about
how they are taken in. Every file gets a new version and a new time; the tree on the disk stays as it is.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from server_stub.sqlite_store import SqliteStore
from server_stub.values import Item, Kind

if TYPE_CHECKING:
    from server_stub.store import Ledger, View

PIECE = 20_000


async def rewrite(state: Path, count: int) -> int:
    """So many files, in order of their folders; how many it were."""
    store = await SqliteStore.open(state / "drive.db")
    try:
        files = await store.read(lambda view: _files(view, count))
        for at in range(0, len(files), PIECE):
            await store.write(lambda ledger, part=files[at : at + PIECE]: _put(ledger, part))  # type: ignore[misc]
    finally:
        await store.aclose()
    return len(files)


def _files(view: View, count: int) -> list[Item]:
    found: list[Item] = []
    folders = [view.root_id() or ""]
    while folders and len(found) < count:
        for item in view.children(folders.pop()):
            if item.kind is Kind.FOLDER:
                folders.append(item.item_id)
            else:
                found.append(item)
    return found[:count]


def _put(ledger: Ledger, files: list[Item]) -> None:
    now_ns = time.time_ns()
    with ledger.transaction() as tx:
        for item in files:
            version = secrets.token_urlsafe(12)
            tx.put(replace(item, modified_ns=now_ns, metadata_version=version, content_version=version))


if __name__ == "__main__":
    print(asyncio.run(rewrite(Path(sys.argv[1]), int(sys.argv[2]))))
