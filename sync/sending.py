"""Sends one row of the outbox and takes in the answer.

A row is marked as sent, with its key and digest, in a transaction that plans it again: what is sent is what the
catalog said at that moment. The answer is taken in by the same code as any other news of the remote, so an answer,
the feed's echo of it, and a lost answer found out later all lead to the same state. What stands against a change is
settled by the conflict table.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from cache import activity, items, journal, paths, tree
from cache.activity import What, Who
from cache.edits import journal_place
from cache.failpoints import reached
from cache.model import Aspect, Item, Kind, LocalChange, Node
from sync import push, settle
from sync.deciding import decide
from sync.remote import Gone, NewFile, Overwrite, Remote, Tombstone, Unknown
from sync.upload_source import Snapshots, UploadSource

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Ino
    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier, Heard


class Sender:
    """Pushes one row; `busy` are the nodes that are being pushed, a replaced item's removal among them.

    `heard` is a watch (`sync.applying`) that was begun before: what it holds may be newer than the answer.
    """

    def __init__(
        self, store: LocalStore, remote: Remote, applier: Applier, busy: set[Ino], heard: Heard
    ) -> None:  # fmt: skip
        self._store = store
        self._remote = remote
        self._applier = applier
        self._busy = busy
        self._heard = heard
        self._snapshots = Snapshots(store.blobs)
        self._transfer = trio.CancelScope()
        self.bytes_up = 0

    async def send(self, change: LocalChange) -> None:
        """One row, to its conclusion; raises Superseded, RemoteError, LocalError, OSError."""
        action = push.plan(self._store.db.reader, change)
        match action:
            case push.Create() | push.Overwriting():
                await self._send_new_bytes(change, action)
            case push.Move():
                await self._move(change, action)
            case push.SetAttributes():
                await self._set_attributes(change, action)
            case push.Remove():
                await self._remove(change, action)
            case push.Clash():
                await self._clash(change, action)
            case _:
                await self._without_sending(change, action)

    def interrupt(self) -> None:
        """Give up sending bytes; whatever the remote took, the same request goes on from later."""
        self._transfer.cancel()

    async def _send_new_bytes(self, change: LocalChange, action: push.Create | push.Overwriting) -> None:
        if action.node.kind is Kind.FILE:
            await self._send_file(change, action.node)
        elif isinstance(action, push.Create):
            await self._make(change, action)

    async def _without_sending(self, change: LocalChange, action: push.Push) -> None:
        match action:
            case push.Void():
                await self._store.db.write(lambda connection: journal.drop(connection, change.ino, change.aspect))
            case push.Find():
                await self._find(change, action)
            case push.EditWins():
                await self._applier.refresh([action.item.item_id])
            case _:
                raise push.Superseded

    async def _mark(self, change: LocalChange, planned: push.Push, digest: str | None = None) -> str:
        """The row is being sent; raises Superseded when it would be planned otherwise by now."""

        def mark(connection: sqlite3.Connection) -> str:
            row = journal.get(connection, change.ino, change.aspect)
            if row is None or push.plan(connection, row) != planned:
                raise push.Superseded
            if isinstance(planned, push.Create | push.Move):
                journal.sent_to(connection, row, planned.parent_id, planned.name)
            return journal.sending(connection, row, push.told(planned), digest)

        return await self._store.db.write(mark)

    async def _make(self, change: LocalChange, action: push.Create) -> None:
        key, node = await self._mark(change, action), action.node
        if node.kind is Kind.FOLDER:
            item = await self._remote.make_folder(
                action.parent_id, action.name, mode=node.mode, mtime_ns=node.mtime_ns, key=key
            )
        else:
            item = await self._remote.make_symlink(
                action.parent_id, action.name, target=node.symlink_target or "", mtime_ns=node.mtime_ns, key=key
            )
        await self._conclude(change, item, What.CREATED, clean=True)

    async def _send_file(self, change: LocalChange, node: Node) -> None:
        opened = await self._store.open_content(node)
        try:
            await self._store.settle(opened)
            source, owned = await self._snapshots.take(opened)
            try:
                await self._send(change, opened, source)
            finally:
                if owned:
                    os.close(source.fd)
        finally:
            self._store.opened.release(opened)

    async def _send(self, change: LocalChange, opened: OpenContent, source: UploadSource) -> None:
        action = push.plan(self._store.db.reader, change)
        if not isinstance(action, push.Create | push.Overwriting):
            raise push.Superseded
        target: NewFile | Overwrite
        if isinstance(action, push.Create):
            target = NewFile(parent_id=action.parent_id, name=action.name)
        else:
            target = Overwrite(item_id=action.item.item_id, base=action.base)
        key = await self._mark(change, action, source.digest)
        reached("marked")
        item = await self._put(target, source, action.node.mode, key)
        reached("stored")
        self.bytes_up += source.size
        await self._landed(change, opened, source, item)

    async def _put(self, target: NewFile | Overwrite, source: UploadSource, mode: int, key: str) -> Item:
        with self._transfer:
            return await self._remote.put(target, source, mtime_ns=source.mtime_ns, mode=mode, key=key)
        raise Unknown("interrupted by a pause")

    async def _landed(self, change: LocalChange, opened: OpenContent, source: UploadSource, item: Item) -> None:
        """The remote holds these bytes. What is decided here without an await holds for the transaction after it:
        a write that comes now finds the content clean, and queues its own transaction behind this one."""
        clean = opened.writes == source.writes
        if clean:
            opened.dirty, opened.settled = False, True
            opened.resident = ((0, source.size),) if source.size else ()
        opened.item_id, opened.version, opened.digest, opened.hashed = (
            item.item_id, item.content_version, item.digest if clean else None, clean,
        )  # fmt: skip
        try:
            await self._conclude(change, item, What.UPLOADED, clean=clean)
        except BaseException:
            opened.dirty = True
            raise

    async def _conclude(self, change: LocalChange, item: Item, what: What, *, clean: bool) -> None:
        reached("answered")

        def take_in(absorber: Absorber) -> None:
            connection, node = absorber.connection, tree.by_ino(absorber.connection, change.ino)
            absorber.after.touched[item.item_id] = item.parent_id
            removal = journal.get(connection, change.ino, Aspect.REMOVE)
            if node is None or node.parent is None:
                if removal is not None:  # deleted here while it was under way
                    items.put(connection, item)
                    journal.rebase(connection, change.ino, item)
                    journal.rebase_content(connection, change.ino, item.content_version)
                    journal.reopen(connection, change.ino, Aspect.REMOVE)
                return
            told = item
            if node.item_id == item.item_id and journal.get(connection, change.ino, Aspect.CONTENT) is not None:
                node, told = absorber.overwritten(node, item)
            absorber.after.news += settle.adopt(connection, node, told, absorber.clock, clean=clean)
            if change.aspect is Aspect.CREATE:
                self._question(absorber, change, item)
            activity.note(connection, absorber.clock.now_s, change.ino, what, who=Who.HERE)

        await self._applier.apply_answer([item], self._heard, take_in)
        reached("concluded")

    def _question(self, absorber: Absorber, change: LocalChange, item: Item) -> None:
        """What the answer to a creation does not tell: whether it is of long ago, and the item gone again, as we were
        told meanwhile; and what others were heard to put into a new folder."""
        if change.in_doubt:
            absorber.after.doubts.add(item.item_id)
        if item.kind is Kind.FOLDER and (change.in_doubt or self._heard.inside(item.item_id)):
            tree.set_listed(absorber.connection, change.ino, listed=False)

    async def _move(self, change: LocalChange, action: push.Move) -> None:
        key = await self._mark(change, action)
        if action.removal_ino is not None:
            self._busy.add(action.removal_ino)
        try:
            item = await self._remote.move(
                action.item.item_id, action.item.metadata_version, action.parent_id, action.name,
                replace=action.replaced, key=key,
            )  # fmt: skip
            reached("moved")

            def take_in(absorber: Absorber) -> None:
                if action.replaced is not None and action.removal_ino is not None:
                    absorber.note(change.ino, What.REMOVED, "replaced by what was renamed over it", who=Who.HERE)
                    journal.drop(absorber.connection, action.removal_ino)
                    items.delete(absorber.connection, action.replaced.item_id)
                    absorber.after.touched[action.replaced.item_id] = None
                self._moved(absorber, change, item)

            await self._applier.apply_answer([item], self._heard, take_in)
        finally:
            if action.removal_ino is not None:
                self._busy.discard(action.removal_ino)

    @staticmethod
    def _moved(absorber: Absorber, change: LocalChange, item: Item) -> None:
        """The remote has the place that was sent; if the node went on meanwhile, the rest is still to be pushed."""
        connection = absorber.connection
        absorber.after.touched[item.item_id] = item.parent_id
        items.put(connection, item)
        journal.rebase(connection, change.ino, item)
        journal.reopen(connection, change.ino, Aspect.PLACE)
        node = tree.by_ino(connection, change.ino)
        if node is not None and node.parent is not None:
            journal_place(connection, change.ino, absorber.clock)
            activity.note(connection, absorber.clock.now_s, change.ino, What.MOVED, who=Who.HERE)

    async def _set_attributes(self, change: LocalChange, action: push.SetAttributes) -> None:
        key, node = await self._mark(change, action), action.node
        item = await self._remote.set_attributes(
            action.item.item_id, action.item.metadata_version, mode=node.mode, mtime_ns=node.mtime_ns, key=key
        )

        def take_in(absorber: Absorber) -> None:
            row = journal.get(absorber.connection, change.ino, Aspect.ATTRIBUTES)
            if row is not None and row.generation == row.sent_generation:
                journal.drop(absorber.connection, change.ino, Aspect.ATTRIBUTES)
            else:
                journal.reopen(absorber.connection, change.ino, Aspect.ATTRIBUTES)
            absorber.item(item)
            absorber.note(change.ino, What.ATTRIBUTES, who=Who.HERE)

        await self._applier.apply_answer([item], self._heard, take_in)

    async def _remove(self, change: LocalChange, action: push.Remove) -> None:
        key = await self._mark(change, action)
        await self._remote.remove(action.item.item_id, action.item.metadata_version, key=key)
        reached("removed")

        proof = Tombstone(item_id=action.item.item_id, parent_id=action.item.parent_id)

        def take_in(absorber: Absorber) -> None:
            absorber.note(change.ino, What.REMOVED, who=Who.HERE, path=paths.of_change(absorber.connection, change))
            absorber.gone(proof)
            absorber.after.nameless.add(change.ino)

        await self._applier.apply_answer([proof], self._heard, take_in)

    async def _find(self, change: LocalChange, action: push.Find) -> None:
        """Did the creation happen whose answer we never heard? The folder tells."""
        try:
            listing = await self._remote.children(action.parent_id)
            found = [item for item in listing.items if item.name == action.name]
        except Gone:
            found = []  # the folder, with all that was ever made in it

        def take_in(absorber: Absorber) -> None:
            for item in found:
                absorber.item(item)
            row = journal.get(absorber.connection, change.ino, Aspect.REMOVE)
            if row is not None and row.item_id is None:
                journal.drop(absorber.connection, change.ino, Aspect.REMOVE)

        await self._applier.apply_answer(found, self._heard, take_in)

    # Conflicts ---------------------------------------------------------------------------------------------------

    async def _clash(self, change: LocalChange, action: push.Clash) -> None:
        """The conflict table; for content, first look whether the bytes are the same."""
        files = {action.node.kind, action.told.kind} == {Kind.FILE}
        if files and change.aspect is not Aspect.PLACE and await self._same_bytes(change, action):
            return
        await self._applier.apply(lambda absorber: decide(absorber, change, action))

    async def _same_bytes(self, change: LocalChange, action: push.Clash) -> bool:
        """If the remote holds the very bytes that are here, there is nothing to send and nothing to settle."""
        opened = await self._store.open_content(action.node)
        try:
            await self._store.settle(opened)
            source, owned = await self._snapshots.take(opened)
            if owned:
                os.close(source.fd)
            if source.digest != action.told.digest:
                return False
            await self._landed(change, opened, source, action.told)
            return True
        finally:
            self._store.opened.release(opened)
