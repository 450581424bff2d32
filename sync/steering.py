"""What a person decides about a running mount: pause and resume, approve and reject, what becomes of a conflict copy.

Each decision is written down, in one transaction with its effect if that is one on the catalog, and holds across a
restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import activity, edits, holding, tree
from cache.activity import Entry, What, Who
from cache.errors import NotFound
from cache.model import EntryChanged, Ino, ItemId, Kind, Node, NodeChanged
from cache.pause import Pause
from sync import review, sides
from sync.choices import Keep

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from cache.edits import Renamed
    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier
    from sync.hydrator import Hydrator
    from sync.keeper import Keeper
    from sync.prefetch import Prefetcher
    from sync.review import Reviewed
    from sync.uploader import Uploader


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictTold:
    """A conflict copy that nobody has resolved; `original` is "" when the item that kept the name is gone."""

    copy: str
    original: str
    at_s: int


class Steering:
    """See the module."""

    def __init__(  # noqa: PLR0917
        self, store: LocalStore, applier: Applier, uploader: Uploader, hydrator: Hydrator, prefetcher: Prefetcher,
        keeper: Keeper,
    ) -> None:  # fmt: skip
        self._store = store
        self._pause = Pause(store.directory)
        self._applier = applier
        self._uploader = uploader
        self._hydrator = hydrator
        self._prefetcher = prefetcher
        self._keeper = keeper
        self._prefetching = prefetcher.enabled
        if self.paused:
            self._take_effect(paused=True)

    # Pause -------------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether nothing leaves this machine, and nothing comes that nobody waits for."""
        return self._pause.on

    async def pause(self, *, paused: bool) -> None:
        """Stop, or go on; an upload under way ends, and goes on later where the remote stands. Raises OSError."""
        await trio.to_thread.run_sync(partial(self._pause.put, on=paused))
        self._take_effect(paused=paused)

    def _take_effect(self, *, paused: bool) -> None:
        self._uploader.pause(paused=paused)
        self._keeper.pause(paused=paused)
        self._hydrator.pause(paused=paused)
        self._prefetcher.enabled = self._prefetching and not paused

    # Review ------------------------------------------------------------------------------------------------------

    @property
    def reviewing(self) -> bool:
        """Whether new changes wait for approval."""
        return holding.review_wanted(self._store.db.reader)

    async def approve(self, wanted: Sequence[str]) -> list[Reviewed]:
        """Send what is held at or below these paths, as it stands now."""
        for opened in self._store.opened:
            await self._store.settle(opened)

        def change(connection: sqlite3.Connection) -> list[Reviewed]:
            done = review.approve(connection, wanted)
            for each in done:
                now_s = self._store.clock().now_s
                activity.note(
                    connection, now_s, Ino(0), What.APPROVED, each.aspect.word, who=Who.PERSON, path=each.path
                )
            return done

        done = await self._store.db.write(change)
        self._uploader.wake()
        return done

    async def reject(self, wanted: Sequence[str]) -> list[Reviewed]:
        """Undo what is held or parked at or below these paths; its bytes are put aside. Raises OSError."""
        for opened in self._store.opened:
            await self._store.settle(opened)
        done = await self._applier.apply(lambda absorber: review.reject(absorber, wanted))
        self._uploader.wake()
        return done

    # Conflicts ---------------------------------------------------------------------------------------------------

    def conflicts(self) -> list[ConflictTold]:
        """Conflict copies that are still there, oldest first."""
        reader = self._store.db.reader
        rows = reader.execute(
            "SELECT c.ino, c.item_id, c.at_s FROM conflict c JOIN node n ON n.ino = c.ino"
            " WHERE n.parent IS NOT NULL ORDER BY c.at_s, c.ino"
        ).fetchall()
        return [
            ConflictTold(copy=tree.path_of(reader, ino), original=_path_of_item(reader, item_id), at_s=at_s)
            for ino, item_id, at_s in rows
        ]

    async def resolve(self, ino: Ino, keep: Keep) -> list[str]:
        """Settle the conflicts of a copy, or of the item that kept the name; returns the copies. Raises NotFound."""
        copies = await self._applier.apply(lambda absorber: _resolve(absorber, ino, keep))
        self._uploader.wake()
        return copies

    # Activity ----------------------------------------------------------------------------------------------------

    def activity(self, *, after_seq: int, limit: int, path: str) -> list[Entry]:
        """What changed and was decided, oldest first."""
        return activity.entries(self._store.db.reader, after_seq=after_seq, limit=limit, path=path)


def _path_of_item(connection: sqlite3.Connection, item_id: str) -> str:
    node = tree.by_item(connection, ItemId(item_id))
    return "" if node is None or node.parent is None else tree.path_of(connection, node.ino)


def _resolve(absorber: Absorber, ino: Ino, keep: Keep) -> list[str]:
    connection, node = absorber.connection, tree.by_ino(absorber.connection, ino)
    rows = connection.execute(
        "SELECT ino, item_id FROM conflict WHERE ino = ?1 OR item_id = ?2 ORDER BY at_s",
        (ino, None if node is None else node.item_id),
    ).fetchall()
    copies = [(tree.by_ino(connection, Ino(copy)), tree.by_item(connection, ItemId(item))) for copy, item in rows]
    found = [(copy, original) for copy, original in copies if copy is not None and copy.parent is not None]
    if not found:
        raise NotFound("no conflict there", ino=ino)
    told = [tree.path_of(connection, copy.ino) for copy, _ in found]
    for copy, original in found:
        _resolve_one(absorber, copy, original, keep)
    return told


def _resolve_one(absorber: Absorber, copy: Node, original: Node | None, keep: Keep) -> None:
    connection = absorber.connection
    path, detail = tree.path_of(connection, copy.ino), f"kept: {keep}"
    connection.execute("DELETE FROM conflict WHERE ino = ?", (copy.ino,))
    if keep is Keep.ORIGINAL:
        detail += _remove_copy(absorber, copy)
    elif keep is Keep.COPY and original is not None and original.parent is not None:
        _replace_original(absorber, copy, original)
    absorber.note(copy.ino, What.RESOLVED, detail, who=Who.PERSON, path=path)


def _remove_copy(absorber: Absorber, copy: Node) -> str:
    """To the server's trash; what the server may never have seen is put aside."""
    kept = "in the server's trash"
    if copy.item_id is None and copy.kind is not Kind.FOLDER:
        kept = f"kept in {sides.put_aside(absorber, copy)}"
    assert copy.parent is not None  # noqa: S101  # by _resolve
    _, news = edits.remove(
        absorber.connection, copy.parent, copy.name, absorber.clock, folder=copy.kind is Kind.FOLDER
    )  # fmt: skip
    absorber.after.nameless.add(copy.ino)
    absorber.after.news += [EntryChanged(copy.parent, copy.name, deleted=copy.ino), *news]
    return f"; the copy is {kept}"


def _replace_original(absorber: Absorber, copy: Node, original: Node) -> None:
    """As a rename over it does: a copy that was never sent becomes its next version."""
    assert copy.parent is not None and original.parent is not None  # noqa: S101, PT018  # by _resolve_one
    done: Renamed = edits.rename(
        absorber.connection, copy.parent, copy.name, original.parent, original.name, absorber.clock
    )  # fmt: skip
    absorber.after.nameless.add(original.ino)
    absorber.after.news += [
        EntryChanged(copy.parent, copy.name),
        EntryChanged(original.parent, original.name, deleted=original.ino),
        NodeChanged(copy.ino, content=True),
        *done.news,
    ]
