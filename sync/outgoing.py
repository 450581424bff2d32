"""One row of the outbox on its way out: marked as sent before, concluded by the answer after.

A row is marked, with its key and digest, in a transaction that plans it again: what is sent is what the catalog said
at that moment. The answer is taken in by the same code as any other news of the remote, so an answer, the feed's echo
of it, and a lost answer found out later all lead to the same state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import activity, items, journal, tree
from cache.activity import What, Who
from cache.failpoints import reached
from cache.model import Aspect, Item, Kind, LocalChange
from sync import push, requests, settle

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier, Heard
    from sync.upload_source import UploadSource


class Outgoing:
    """`heard` is a watch (`sync.applying`) that was begun before: what it holds may be newer than the answer."""

    def __init__(self, store: LocalStore, applier: Applier, heard: Heard, change: LocalChange) -> None:
        self.change = change
        self._store = store
        self._applier = applier
        self.heard = heard

    def planned(self) -> requests.Push:
        """What is to be sent as things stand; Superseded when the row is there no longer."""
        row = journal.get(self._store.db.reader, self.change.ino, self.change.aspect)
        if row is None:
            raise requests.Superseded
        return push.plan(self._store.db.reader, row)

    async def mark(
        self, planned: requests.Push, source: UploadSource | None = None, session: str | None = None
    ) -> str:  # fmt: skip
        """The row is being sent; the key to send it under. Superseded when what was planned does not stand any more.

        What is told of the bytes is as `source` was taken: the catalog may know of a later write already.
        """
        digest = None if source is None else source.digest
        bytes_told = () if source is None else (source.digest, source.mtime_ns)
        change = self.change

        def mark(connection: sqlite3.Connection) -> str:
            row = push.stands(connection, change, planned)
            if isinstance(planned, requests.Create | requests.Move):
                journal.sent_to(connection, row, planned.parent_id, planned.name)
            return journal.sending(connection, row, (*requests.told(planned), *bytes_told, session), digest)

        return await self._store.db.write(mark)

    def arrived(self, connection: sqlite3.Connection) -> bool:
        """The remote has what was sent: the row goes, or stays for what was changed since. Whether it went."""
        ino, aspect = self.change.ino, self.change.aspect
        row = journal.get(connection, ino, aspect)
        if row is not None and row.generation == row.sent_generation:
            journal.drop(connection, ino, aspect)
            return True
        journal.reopen(connection, ino, aspect)
        return False

    async def conclude(
        self, item: Item, what: What, *, clean: bool, also: Callable[[sqlite3.Connection], None] | None = None
    ) -> None:
        """The remote holds what was sent, as `item`; `clean`: no byte changed since. `also` is done with it."""
        reached("answered")
        change = self.change

        def take_in(absorber: Absorber) -> None:
            connection, node = absorber.connection, tree.by_ino(absorber.connection, change.ino)
            if also is not None:
                also(connection)
            absorber.after.touched[item.item_id] = item.parent_id
            rows = journal.of_node(connection, change.ino)
            if Aspect.REMOVE in rows and (node is None or node.parent is None):  # deleted here while it was under way
                self._removed(absorber, item)
                return
            if node is None or change.aspect not in rows:  # undone here while it was under way: news like any other
                absorber.item(item)
                return
            told = item
            if node.item_id == item.item_id and Aspect.CONTENT in rows:
                node, told = absorber.overwritten(node, item)
            settle.adopt(absorber, node, told, clean=clean)
            if change.aspect is Aspect.CREATE:
                self._question(absorber, item)
            activity.note(connection, absorber.clock.now_s, change.ino, what, who=Who.HERE)

        await self._applier.apply_answer([item], self.heard, take_in)
        reached("concluded")

    def _removed(self, absorber: Absorber, item: Item) -> None:
        """What was made goes again, unless its echo is here under another name, that others gave it: that one stays."""
        connection, ino = absorber.connection, self.change.ino
        if tree.by_item(connection, item.item_id) is not None:
            journal.drop(connection, ino, Aspect.REMOVE)
            absorber.after.doubts.add(item.item_id)
            return
        items.put(connection, item)
        journal.rebase(connection, ino, item)
        journal.rebase_content(connection, ino, item.content_version)
        journal.reopen(connection, ino, Aspect.REMOVE)

    def _question(self, absorber: Absorber, item: Item) -> None:
        """What the answer to a creation does not tell: whether it is of long ago, and the item gone again, as we were
        told meanwhile; and what others were heard to put into a new folder."""
        change = self.change
        if change.in_doubt:
            absorber.after.doubts.add(item.item_id)
        if item.kind is Kind.FOLDER and (change.in_doubt or self.heard.inside(item.item_id)):
            tree.set_listed(absorber.connection, change.ino, listed=False)
