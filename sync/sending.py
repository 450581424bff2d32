"""Sends one row of the outbox and takes in the answer: which request each plan is.

How a row is marked and concluded is in `sync.outgoing`, how bytes travel in `sync.file_sending`, what becomes of a row
that the remote stands against in `sync.deciding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import activity, items, journal, paths, tree, xattrs
from cache.activity import What, Who
from cache.edits import journal_place
from cache.failpoints import reached
from cache.model import Aspect, Item, Kind, LocalChange
from sync import requests
from sync.deciding import decide
from sync.outgoing import Outgoing
from sync.remote import Denied, Gone, Remote, Tombstone

if TYPE_CHECKING:
    from cache.model import Ino, ItemId
    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier, Heard
    from sync.file_sending import FileSender


class Sender:
    """Pushes rows; `busy` are the nodes that are being pushed, a replaced item's removal among them."""

    def __init__(
        self, store: LocalStore, remote: Remote, applier: Applier, files: FileSender, busy: set[Ino]
    ) -> None:  # fmt: skip
        self._store = store
        self._remote = remote
        self._applier = applier
        self._files = files
        self._busy = busy

    async def send(self, change: LocalChange, action: requests.Push, heard: Heard) -> None:
        """One row, as it is planned now, to its conclusion; raises Superseded, RemoteError, LocalError, OSError.

        `heard` is a watch (`sync.applying`) that was begun before: what it holds may be newer than the answer.
        """
        out = Outgoing(self._store, self._applier, heard, change)
        match action:
            case requests.Create() | requests.Overwriting():
                await self._send_new_bytes(out, action)
            case requests.Move():
                await self._move(out, action)
            case requests.SetAttributes():
                await self._set_attributes(out, action)
            case requests.SetXattrs():
                await self._set_xattrs(out, action)
            case requests.Remove():
                await self._remove(out, action)
            case requests.Clash():
                await self._clash(out, action)
            case _:
                await self._without_sending(out, action)

    async def _send_new_bytes(self, out: Outgoing, action: requests.Create | requests.Overwriting) -> None:
        if action.node.kind is Kind.FILE:
            await self._files.send(out, action.node)
        elif isinstance(action, requests.Create):
            await self._make(out, action)

    async def _without_sending(self, out: Outgoing, action: requests.Push) -> None:
        match action:
            case requests.Void():
                await self._store.db.write(
                    lambda connection: journal.drop(connection, out.change.ino, out.change.aspect)
                )
            case requests.Find():
                await self._find(out, action)
            case requests.EditWins():
                await self._applier.refresh([action.item.item_id])
            case _:
                raise requests.Superseded

    async def _make(self, out: Outgoing, action: requests.Create) -> None:
        key, node = await out.mark(action), action.node
        if node.kind is Kind.FOLDER:
            item = await self._remote.make_folder(
                action.parent_id, action.name, mode=node.mode, mtime_ns=node.mtime_ns, key=key
            )
        else:
            item = await self._remote.make_symlink(
                action.parent_id, action.name, target=node.symlink_target or "", mtime_ns=node.mtime_ns, key=key
            )
        await out.conclude(item, What.CREATED, clean=True)

    async def _move(self, out: Outgoing, action: requests.Move) -> None:
        key = await out.mark(action)
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
                    absorber.note(out.change.ino, What.REMOVED, "replaced by what was renamed over it", who=Who.HERE)
                    journal.drop(absorber.connection, action.removal_ino)
                    items.delete(absorber.connection, action.replaced.item_id)
                    absorber.after.touched[action.replaced.item_id] = None
                self._moved(absorber, out.change, item)

            await self._applier.apply_answer([item], out.heard, take_in)
        finally:
            if action.removal_ino is not None:
                self._busy.discard(action.removal_ino)

    @staticmethod
    def _moved(absorber: Absorber, change: LocalChange, item: Item) -> None:
        """The remote has the place that was sent; if the node went on meanwhile, the rest is still to be pushed."""
        connection = absorber.connection
        absorber.after.touched[item.item_id] = item.parent_id
        row = journal.get(connection, change.ino, Aspect.PLACE)
        if row is None:  # undone here while it was under way: news like any other
            absorber.item(item)
            return
        items.put(connection, item)
        journal.rebase(connection, change.ino, item)
        approved = row.generation == row.sent_generation  # one step of a longer way
        journal.reopen(connection, change.ino, Aspect.PLACE, approved=approved)
        node = tree.by_ino(connection, change.ino)
        if node is not None and node.parent is not None:
            journal_place(connection, change.ino, absorber.clock, held=False if approved else None)
            activity.note(connection, absorber.clock.now_s, change.ino, What.MOVED, who=Who.HERE)

    async def _set_attributes(self, out: Outgoing, action: requests.SetAttributes) -> None:
        key, node = await out.mark(action), action.node
        item = await self._remote.set_attributes(
            action.item.item_id, action.item.metadata_version, mode=node.mode, mtime_ns=node.mtime_ns, key=key
        )

        def take_in(absorber: Absorber) -> None:
            out.arrived(absorber.connection)
            absorber.item(item)
            absorber.note(out.change.ino, What.ATTRIBUTES, who=Who.HERE)

        await self._applier.apply_answer([item], out.heard, take_in)

    async def _set_xattrs(self, out: Outgoing, action: requests.SetXattrs) -> None:
        key = await out.mark(action)
        item = await self._remote.set_xattrs(action.item.item_id, action.item.metadata_version, action.changes, key=key)

        def take_in(absorber: Absorber) -> None:
            absorber.item(item)  # first: what is shown does not change by it
            if out.arrived(absorber.connection):
                xattrs.forget(absorber.connection, out.change.ino)
            absorber.note(out.change.ino, What.ATTRIBUTES, who=Who.HERE)

        await self._applier.apply_answer([item], out.heard, take_in)

    async def _remove(self, out: Outgoing, action: requests.Remove) -> None:
        key = await out.mark(action)
        await self._remote.remove(action.item.item_id, action.item.metadata_version, key=key)
        reached("removed")

        proof = Tombstone(item_id=action.item.item_id, parent_id=action.item.parent_id)

        def take_in(absorber: Absorber) -> None:
            path = paths.of_change(absorber.connection, out.change)
            absorber.note(out.change.ino, What.REMOVED, who=Who.HERE, path=path)
            absorber.gone(proof)
            absorber.after.nameless.add(out.change.ino)

        await self._applier.apply_answer([proof], out.heard, take_in)

    async def _find(self, out: Outgoing, action: requests.Find) -> None:
        """Did the creation happen whose answer we never heard? The folder tells."""
        found = await self._named(action.parent_id, action.name)

        def take_in(absorber: Absorber) -> None:
            hidden = items.at_place(absorber.connection, action.parent_id, action.name)
            if not found and hidden is not None and tree.by_item(absorber.connection, hidden.item_id) is None:
                absorber.item(hidden)  # it was there once, and went elsewhere, or away
                absorber.after.doubts.add(hidden.item_id)
            for item in found:
                absorber.item(item)
            row = journal.get(absorber.connection, out.change.ino, Aspect.REMOVE)
            if row is not None and row.item_id is None:
                journal.drop(absorber.connection, out.change.ino, Aspect.REMOVE)

        await self._applier.apply_answer(found, out.heard, take_in)

    async def was_made(self, change: LocalChange, heard: Heard) -> bool:
        """Whether something is where a creation was sent: then it is known from here on, and the next plan meets it.
        Raises RemoteError; what may not be looked at, may not be."""
        if change.sent_parent_id is None or change.sent_name is None:
            return False
        try:
            found = await self._named(change.sent_parent_id, change.sent_name)
        except Denied:
            return False
        await self._applier.apply_answer(found, heard, lambda absorber: absorber.items(found, unlisted_parent=True))
        return bool(found)

    async def _named(self, parent_id: ItemId, name: str) -> list[Item]:
        """What has a name in a folder, asked of the remote; nothing when that is gone, with all that was ever in it."""
        try:
            listing = await self._remote.children(parent_id)
        except Gone:
            return []
        return [item for item in listing.items if item.name == name]

    async def _clash(self, out: Outgoing, action: requests.Clash) -> None:
        """The conflict table; for content, first look whether the bytes are the same."""
        files = {action.node.kind, action.told.kind} == {Kind.FILE}
        if files and out.change.aspect is not Aspect.PLACE and await self._files.same_bytes(out, action):
            return
        await self._applier.apply(lambda absorber: decide(absorber, out.change, action))
