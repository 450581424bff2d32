"""Drains the outbox: every row is planned, sent, and concluded; what cannot be pushed is parked, never dropped.

One task per row, one row per node at a time. A row is marked as sent, with its key and digest, in a transaction that
plans it again: what is sent is what the catalog said at that moment. The answer is taken in by the same code as any
other news of the remote, so an answer, the feed's echo of it, and a lost answer found out later all lead to the same
state.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache import activity, contents, items, journal, tree
from cache.activity import What
from cache.edits import journal_place
from cache.errors import LocalError
from cache.failpoints import reached
from cache.model import Aspect, ChangeState, Ino, Item, ItemId, Kind, LocalChange, News, Node
from sync import push, settle
from sync.remote import (
    BadDigest,
    Conflict,
    Gone,
    NewFile,
    NotSignedIn,
    Overwrite,
    Permanent,
    QuotaFull,
    Remote,
    RemoteError,
    Tombstone,
)
from sync.upload_source import Snapshots, UploadSource

if TYPE_CHECKING:
    import random
    import sqlite3

    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier

log = logging.getLogger(__name__)

PARALLEL = 6
PASS_ROWS = 64
BACKOFF_MAX_S = 300.0
QUOTA_RETRY_S = 60
CONFLICT_ROUNDS = 12  # a row that meets a conflict so often in a row is parked for a person to look at


class Superseded(Exception):  # not an error: the plan is made anew
    """What was planned is no longer what the catalog says."""


@dataclass(slots=True)
class PushStatistics:
    """Counters since the start."""

    bytes_up: int = 0
    active: int = 0
    last_error: str | None = None


class Uploader:
    """See the module; `run` must be running for anything to leave this machine."""

    def __init__(self, store: LocalStore, remote: Remote, applier: Applier, chance: random.Random) -> None:
        self._store = store
        self._remote = remote
        self._applier = applier
        self._chance = chance
        self._snapshots = Snapshots(store.blobs)
        self._busy: set[Ino] = set()
        self._wake = trio.Event()
        self._idle = trio.Event()  # set, and replaced, whenever a row was concluded
        self._online = True
        self._hurry = False
        self.paused = False
        self.statistics = PushStatistics()

    def wake(self) -> None:
        """The outbox changed."""
        self._wake.set()

    def connected(self, *, online: bool) -> None:
        """The remote was lost, or is back: then every pause that its absence caused is over."""
        self._online = online
        self._hurry = online
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._wake = trio.Event()
                if self._hurry:
                    self._hurry = False
                    await self._store.db.write(journal.hurry)
                if self._online and not self.paused:
                    self._start_due(nursery)
                with trio.move_on_after(self._pause_s()):
                    await self._wake.wait()

    def _start_due(self, nursery: trio.Nursery) -> None:
        """Start what may be sent now. No await: nothing changes between the plan and the mark in `_busy`."""
        reader, after = self._store.db.reader, -1
        while len(self._busy) < PARALLEL:
            rows = journal.due(reader, self._store.clock(0).now_ms, PASS_ROWS, after_seq=after)
            for change in rows:
                if len(self._busy) >= PARALLEL:
                    return
                if change.ino not in self._busy and not isinstance(push.plan(reader, change), push.Wait):
                    self._busy.add(change.ino)
                    nursery.start_soon(self._push, change)
            if len(rows) < PASS_ROWS:
                return
            after = rows[-1].seq

    def _pause_s(self) -> float:
        if self.paused or not self._online or len(self._busy) >= PARALLEL:
            return 3600.0  # `wake` ends it
        now_ms = self._store.clock(0).now_ms
        when_ms = journal.next_due_ms(self._store.db.reader, now_ms)
        return 3600.0 if when_ms is None else max((when_ms - now_ms) / 1000, 0.001)

    async def drained(self) -> bool:
        """Return once nothing is pending: True, or False when what is left is parked."""
        await self._store.db.write(journal.hurry)
        while True:
            self.wake()
            reader = self._store.db.reader
            if not self._busy and journal.count(reader) == journal.count(reader, ChangeState.PARKED):
                return journal.count(reader) == 0
            idle = self._idle
            with trio.move_on_after(1.0):
                await idle.wait()
            await self._store.db.write(lambda connection: journal.hurry(connection, backoff=False))

    # One row -----------------------------------------------------------------------------------------------------

    async def _push(self, change: LocalChange) -> None:
        self.statistics.active += 1
        try:
            await self._try(change)
        except Superseded:
            await trio.lowlevel.checkpoint()
        except RemoteError as error:
            try:
                await self._failed(change, error)
            except RemoteError as another:  # asking what stands there now failed too
                await self._later(change, another, another.retry_after_s or 0.0)
        except (LocalError, OSError) as error:
            await self._later(change, error, 5.0)
        except Exception as error:
            # A mistake of ours must not take the mount down, nor be repeated for ever: shown, and kept.
            log.exception("a change could not be pushed")
            reason = f"internal error: {error!r}"
            await self._store.db.write(lambda connection: self._park(connection, change, reason))
        finally:
            self.statistics.active -= 1
            self._busy.discard(change.ino)
            self._idle.set()
            self._idle = trio.Event()
            self.wake()

    async def _try(self, change: LocalChange) -> None:
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
                raise Superseded

    async def _mark(self, change: LocalChange, planned: push.Push, digest: str | None = None) -> str:
        """The row is being sent; raises Superseded when it would be planned otherwise by now."""

        def mark(connection: sqlite3.Connection) -> str:
            row = journal.get(connection, change.ino, change.aspect)
            if row is None or push.plan(connection, row) != planned:
                raise Superseded
            return journal.sending(connection, row, push.told(planned), digest)

        return await self._store.db.write(mark)

    async def _make(self, change: LocalChange, action: push.Create) -> None:
        key, node = await self._mark(change, action), action.node
        if node.kind is Kind.FOLDER:
            item = await self._remote.make_folder(
                action.parent_id, node.name, mode=node.mode, mtime_ns=node.mtime_ns, key=key
            )
        else:
            item = await self._remote.make_symlink(
                action.parent_id, node.name, target=node.symlink_target or "", mtime_ns=node.mtime_ns, key=key
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
            raise Superseded
        target: NewFile | Overwrite
        if isinstance(action, push.Create):
            target = NewFile(parent_id=action.parent_id, name=action.node.name)
        else:
            target = Overwrite(item_id=action.item.item_id, base=action.base)
        key = await self._mark(change, action, source.digest)
        reached("marked")
        item = await self._remote.put(target, source, mtime_ns=source.mtime_ns, mode=action.node.mode, key=key)
        reached("stored")
        self.statistics.bytes_up += source.size
        await self._landed(change, opened, source, item)

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
            activity.note(connection, absorber.clock.now_s, change.ino, what)

        await self._applier.apply(take_in)
        reached("concluded")

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
                    journal.drop(absorber.connection, action.removal_ino)
                    items.delete(absorber.connection, action.replaced.item_id)
                    absorber.after.touched[action.replaced.item_id] = None
                self._moved(absorber, change, item)

            await self._applier.apply(take_in)
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
            activity.note(connection, absorber.clock.now_s, change.ino, What.MOVED)

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

        await self._applier.apply(take_in)

    async def _remove(self, change: LocalChange, action: push.Remove) -> None:
        key = await self._mark(change, action)
        await self._remote.remove(action.item.item_id, action.item.metadata_version, key=key)
        reached("removed")

        def take_in(absorber: Absorber) -> None:
            absorber.gone(Tombstone(item_id=action.item.item_id, parent_id=action.item.parent_id))
            absorber.after.nameless.add(change.ino)

        await self._applier.apply(take_in)

    async def _find(self, change: LocalChange, action: push.Find) -> None:
        """Did the creation happen whose answer we never heard? The folder tells."""
        listing = await self._remote.children(action.parent_id)
        found = [item for item in listing.items if item.name == action.name]

        def take_in(absorber: Absorber) -> None:
            for item in found:
                absorber.item(item)
            row = journal.get(absorber.connection, change.ino, Aspect.REMOVE)
            if row is not None and row.item_id is None:
                journal.drop(absorber.connection, change.ino, Aspect.REMOVE)

        await self._applier.apply(take_in)

    # Conflicts and failures --------------------------------------------------------------------------------------

    async def _clash(self, change: LocalChange, action: push.Clash) -> None:
        """The conflict table; for content, first look whether the bytes are the same."""
        digest, opened = None, None
        if action.node.kind is Kind.FILE and action.told.kind is Kind.FILE and change.aspect is not Aspect.PLACE:
            opened = await self._store.open_content(action.node)
        try:
            if opened is not None:
                await self._store.settle(opened)
                source, owned = await self._snapshots.take(opened)
                if owned:
                    os.close(source.fd)
                if source.digest == action.told.digest:
                    await self._landed(change, opened, source, action.told)
                    return
                digest = source.digest
            await self._applier.apply(lambda absorber: self._decide(absorber, change, action))
        finally:
            if opened is not None:
                self._store.opened.release(opened)
        self.statistics.last_error = None if digest is None else self.statistics.last_error

    @staticmethod
    def _decide(absorber: Absorber, change: LocalChange, planned: push.Clash) -> None:
        connection, after = absorber.connection, absorber.after
        row = journal.get(connection, change.ino, change.aspect)
        if row is None or push.plan(connection, row) != planned:
            raise Superseded
        node, told = planned.node, planned.told
        news: list[News] = []
        if change.aspect is Aspect.CONTENT:
            if row.may_have_sent(told.digest):
                journal.rebase_content(connection, change.ino, told.content_version)  # our own, its answer lost
                journal.reopen(connection, change.ino, Aspect.CONTENT)
            else:
                news = settle.conflict_copy(connection, node, told, absorber.clock, absorber.host)
                copy = None if node.content_id is None else contents.get(connection, node.content_id)
                if copy is not None:
                    after.owners[copy.content_id] = copy.ino
        elif change.aspect is Aspect.CREATE and node.kind is Kind.FOLDER and told.kind is Kind.FOLDER:
            settle.merge_folder(connection, node, told, absorber.clock)
        elif change.aspect is Aspect.CREATE and _same_symlink(node, told):
            news = settle.adopt(connection, node, told, absorber.clock, clean=True)
        else:
            news = settle.step_aside(connection, node, absorber.clock, absorber.host)
        after.news += news

    async def _failed(self, change: LocalChange, error: RemoteError) -> None:
        if isinstance(error, Permanent) and not isinstance(error, NotSignedIn):
            await self._store.db.write(lambda connection: journal.refused(connection, change))
        match error:
            case Conflict():
                await self._look_again(change, error)
            case Gone():
                await self._applier.refresh(self._concerned(change))
                await self._applier.resolve_doubts()  # a folder goes only after its children are known to be gone
                await self._later(change, error, 0.2 * 2 ** min(change.attempts, 8))
            case QuotaFull():
                await self._later(change, error, QUOTA_RETRY_S)
            case NotSignedIn() | BadDigest():
                await self._later(change, error, 5.0)
            case Permanent():
                self.statistics.last_error = str(error)
                await self._store.db.write(lambda connection: self._park(connection, change, str(error)))
            case _:
                await self._later(change, error, error.retry_after_s or 0.0)

    @staticmethod
    def _park(connection: sqlite3.Connection, change: LocalChange, reason: str) -> None:
        journal.park(connection, change, reason)
        activity.note(connection, int(change.queued_at_s), change.ino, What.PARKED, reason)

    async def _look_again(self, change: LocalChange, error: Conflict) -> None:
        """Take in what stands there now; the next plan sees it."""
        if change.attempts >= CONFLICT_ROUNDS:
            await self._store.db.write(lambda connection: self._park(connection, change, str(error)))
            return
        current = error.current
        if current is not None:
            await self._applier.apply(lambda absorber: absorber.item(current, unlisted_parent=True))
        concerned = [each for each in self._concerned(change) if current is None or each != current.item_id]
        await self._applier.refresh(concerned)
        await self._applier.apply(lambda absorber: self._unseen_children(absorber, change))
        await self._later(change, error, 0.05 * 2 ** min(change.attempts, 6) - 0.05)

    @staticmethod
    def _unseen_children(absorber: Absorber, change: LocalChange) -> None:
        """A folder that the remote did not let go holds something unseen: it stays, with its unseen child."""
        row = journal.get(absorber.connection, change.ino, Aspect.REMOVE)
        item = None if row is None or row.item_id is None else items.get(absorber.connection, row.item_id)
        if row is None or item is None or item.kind is not Kind.FOLDER or row.attempts < 1:
            return
        journal.drop(absorber.connection, change.ino)
        absorber.after.nameless.add(change.ino)
        absorber.item(item, unlisted_parent=True)
        node = tree.by_item(absorber.connection, item.item_id)
        if node is not None:
            activity.note(absorber.connection, absorber.clock.now_s, node.ino, What.FOLDER_KEPT)

    def _concerned(self, change: LocalChange) -> list[ItemId]:
        """Items whose state decides about this row."""
        reader = self._store.db.reader
        node = tree.by_ino(reader, change.ino)
        parent = None if node is None or node.parent is None else tree.by_ino(reader, node.parent)
        known = [
            change.item_id,
            None if node is None else node.item_id,
            None if parent is None else parent.item_id,
        ]
        if parent is not None and node is not None and parent.item_id is not None:
            occupant = items.at_place(reader, parent.item_id, node.name)
            known.append(None if occupant is None else occupant.item_id)
        return sorted({each for each in known if each is not None})

    async def _later(self, change: LocalChange, error: Exception, least_s: float) -> None:
        self.statistics.last_error = str(error)
        spread_s = self._chance.uniform(0, min(0.5 * 2 ** min(change.attempts, 12), BACKOFF_MAX_S))
        pause_s = least_s if isinstance(error, Conflict | Gone) else least_s + spread_s
        when = self._store.clock(pause_s).push_after_ms
        await self._store.db.write(lambda connection: journal.failed(connection, change, str(error), when))


def _same_symlink(node: Node, told: Item) -> bool:
    return node.kind is Kind.SYMLINK and told.kind is Kind.SYMLINK and node.symlink_target == told.symlink_target
