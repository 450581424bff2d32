"""Comparison with the remote when its feed does not reach back. Local changes and cached bytes stay.

Every listed folder is listed again, and what is known in others is asked for. The anchor of before is kept until then:
a comparison that breaks off begins anew. Where the remote says that it lost what it had told (`sync.forgotten`), this
is noted before anything of it is taken in.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cache import items, tree
from cache.activity import What, note
from cache.db import set_meta
from cache.errors import NotFound
from cache.model import ROOT_INO
from sync import forgotten

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from cache.model import Ino, ItemId
    from cache.store import LocalStore
    from sync.applying import Applier
    from sync.remote import AnchorExpired, Remote


class Comparison:
    """`compare` lists a folder and takes it in; it raises NotFound for one that is gone."""

    def __init__(
        self, store: LocalStore, remote: Remote, applier: Applier, compare: Callable[[Ino, ItemId], Awaitable[None]]
    ) -> None:
        self._store = store
        self._remote = remote
        self._applier = applier
        self._compare = compare

    async def run(self, expired: AnchorExpired) -> None:
        """All but what is in doubt after it; raises RemoteError."""
        if expired.lost:
            await forgotten.begin(self._store)
        anchor, root = expired.fresh or await self._remote.newest_anchor(), await self._remote.root()
        await self._applier.apply(lambda absorber: absorber.root(root))  # another id, if the remote lost its index
        await self._compare_listed()

        def change(connection: sqlite3.Connection) -> None:
            set_meta(connection, "anchor", anchor)
            items.doubt_uncompared(connection)
            why = "the server lost newer changes" if expired.lost else "the change feed did not reach back"
            note(connection, self._store.clock().now_s, ROOT_INO, What.RESYNC, why)

        await self._store.db.write(change)
        self._applier.resynced()

    async def end(self) -> None:
        """After a pull whose doubts were asked for."""
        if forgotten.under_way(self._store.db.reader):
            await self._store.db.write(forgotten.end_if_compared)

    async def _compare_listed(self) -> None:
        compared: set[Ino] = set()
        while ahead := [ino for ino in tree.listed_folders(self._store.db.reader) if ino not in compared]:
            for ino in ahead:  # wherever it is by now, or if it has no place
                node = tree.by_ino(self._store.db.reader, ino)
                if node is not None and node.listed and node.item_id is not None:
                    with suppress(NotFound):
                        await self._compare(ino, node.item_id)
            compared.update(ahead)
