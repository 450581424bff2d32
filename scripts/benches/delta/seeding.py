"""What a client knows at first, brought about by its own code but without a mount: a tool for the bench.

`seed`: the state of a client that has listed every folder. The server tells its tree in one stream, as it tells a walk;
`Absorber.listing` takes it in, folder by folder. `forget-anchor`: the next pull will be told that the feed does not
reach back.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from cache import tree
from cache.db import inline, set_meta
from cache.store import LocalStore
from sync.applying import Applier
from sync.remotes.anchor import AnchorRemote
from sync.subtree import Subtree, Whole

if TYPE_CHECKING:
    from cache.model import Anchor, Item
    from sync.absorb import Absorber

PAGE_ITEMS = 10_000
UNKNOWN_ANCHOR = "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"


async def seed(store: LocalStore, remote: AnchorRemote) -> None:
    """List everything."""
    send, receive = trio.open_memory_channel[object](math.inf)
    receive.close()
    applier = Applier(store, remote, send, "bench")  # type: ignore[arg-type]  # nobody listens to the news
    applier.tell_soon = lambda _news: None  # type: ignore[method-assign]
    root = await remote.root()
    anchor = await remote.newest_anchor()
    await applier.apply(lambda absorber: absorber.root(root))
    await store.db.write(lambda connection: _begin(connection, anchor, root))
    subtree, cursor = Subtree(root.item_id), None
    while True:
        page = await remote.descendants(root.item_id, PAGE_ITEMS, cursor)
        wholes = subtree.take(page)
        await applier.apply(lambda absorber, wholes=wholes: _take(absorber, wholes))  # type: ignore[misc]
        await store.db.checkpoint()  # a log of all would be as large as the catalog
        cursor = page.cursor
        if cursor is None:
            return


def _begin(connection: object, anchor: Anchor, root: Item) -> None:
    set_meta(connection, "anchor", anchor)  # type: ignore[arg-type]
    set_meta(connection, "root_id", root.item_id)  # type: ignore[arg-type]


def _take(absorber: Absorber, wholes: list[Whole]) -> None:
    for folder_id, told in wholes:
        node = tree.by_item(absorber.connection, folder_id)
        if node is not None:
            absorber.listing(node.ino, told)


async def main(what: str, url: str, directory: Path) -> None:
    """One of the two."""
    store = LocalStore(directory, runner=inline)
    try:
        if what == "forget-anchor":
            await store.db.write(lambda connection: set_meta(connection, "anchor", UNKNOWN_ANCHOR))
            return
        remote = AnchorRemote(url, None)
        try:
            await seed(store, remote)
            await store.db.write(lambda connection: set_meta(connection, "url", url))
        finally:
            await remote.aclose()
    finally:
        await store.aclose()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], Path(sys.argv[3]))
