"""Drains the outbox: every row is planned, sent, and concluded; what cannot be pushed is parked, never dropped.

One task per row, one row per node at a time. What is decided here is when: write-back delay, backoff, how many at a
time, and what becomes of a row that failed. How a row is sent is in `sync.sending`, what is sent in `sync.push`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import activity, journal, pacing
from cache.activity import What
from cache.errors import LocalError
from cache.model import Aspect, ChangeState, Ino, LocalChange
from sync import push, requests
from sync.concerned import concerned_by, folders_above
from sync.deciding import keep_folder, met
from sync.file_sending import FileSender
from sync.leftovers import Leftovers
from sync.remote import (
    BadDigest,
    Conflict,
    Denied,
    Gone,
    NameRefused,
    NotSignedIn,
    Permanent,
    QuotaFull,
    Refused,
    Remote,
    RemoteError,
    UploadGone,
    VersionGone,
)
from sync.rounds import LOOK_ON_S, Rounds
from sync.sending import Sender
from sync.slots import Slots
from sync.transfers import Transfers

if TYPE_CHECKING:
    import random
    import sqlite3
    from collections.abc import Callable

    from cache.store import LocalStore
    from sync.applying import Applier, Heard

log = logging.getLogger(__name__)

PASS_ROWS = 64
BACKOFF_MAX_S = 300.0
QUOTA_RETRY_S = 60
DISK_RETRY_S = 5.0  # after a failure of this machine's own disk
CONFLICT_ROUNDS = 12  # a row that meets a conflict so often in a row is parked for a person to look at


@dataclass(slots=True)
class PushStatistics:
    """Counters since the start."""

    active: int = 0
    last_error: str | None = None


class Uploader:
    """See the module; `run` must be running for anything to leave this machine."""

    def __init__(self, store: LocalStore, remote: Remote, applier: Applier, chance: random.Random) -> None:
        self._store = store
        self._applier = applier
        self._chance = chance
        self._slots = Slots()
        self._rounds = Rounds()
        self._busy = self._slots.busy
        self._transfers = Transfers(store, remote)
        self.files = FileSender(store, remote, self._transfers)
        self._sender = Sender(store, remote, applier, self.files, self._busy)
        self._leftovers = Leftovers(store, remote)
        self._wake = trio.Event()
        self._idle = trio.Event()  # set, and replaced, whenever a row was concluded
        self._online = True
        self._hurry = False
        self._sleeping_until = math.inf
        self._due_ms = math.inf  # when a row that was put off may be sent
        self.paused = False
        self.statistics = PushStatistics()

    def wake(self) -> None:
        """There may be something to push."""
        self._wake.set()

    def changed(self, push_after_s: float) -> None:
        """A local change was made, to be pushed in so many seconds: nothing to do before, in a burst least of all."""
        self._slots.changed()
        if self._sleeping_until > trio.current_time() + push_after_s:
            self._wake.set()

    def connected(self, *, online: bool) -> None:
        """The remote was lost, or is back: then every pause that its absence caused is over."""
        self._online = online
        self._hurry = online
        self._wake.set()

    def pause(self, *, paused: bool) -> None:
        """Send nothing more, not even the rest of what is under way; or go on."""
        self.paused = paused
        self._hurry = not paused
        self._leftovers.pause(paused=paused)
        if paused:
            self.files.interrupt()
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leftovers.run)
            while True:
                woken, self._wake = self._wake.is_set(), trio.Event()
                if self._hurry:
                    self._hurry = False
                    await self._write_down(pacing.hurry)
                now_ms = self._store.clock(0).push_after_ms  # one for both: nothing becomes due in between
                if self._online and not self.paused:
                    look = partial(self._start_page, nursery, now_ms)
                    self._slots.begin_look()
                    self._rounds.look(look, lambda: bool(self._busy), changed=woken or now_ms >= self._due_ms)
                pause_s = self._pause_s(now_ms)
                self._sleeping_until = trio.current_time() + pause_s
                with trio.move_on_after(pause_s):
                    await self._wake.wait()

    def _start_page(self, nursery: trio.Nursery, now_ms: int, after: int) -> int | None:
        """Start what may be sent now. No await: nothing changes between the plan and the mark in `_busy`."""
        reader = self._store.db.reader
        rows = [] if self._slots.all_taken() else journal.due(reader, now_ms, PASS_ROWS, after_seq=after)
        for change in rows:
            if self._slots.all_taken():
                return None
            if change.ino not in self._busy and self._takes_slot(change.ino, push.plan(reader, change)):
                nursery.start_soon(self._push, change)
        return rows[-1].seq if len(rows) == PASS_ROWS else None

    def _takes_slot(self, ino: Ino, action: requests.Push) -> bool:
        if isinstance(action, requests.Wait):
            return False
        large = isinstance(action, requests.Create | requests.Overwriting) and self._transfers.takes(action.node.size)
        return self._slots.take(ino, large=large)

    def _pause_s(self, now_ms: int) -> float:
        if self.paused or not self._online:
            return 3600.0  # `wake` ends it
        when_ms = journal.next_due_ms(self._store.db.reader, now_ms)
        self._due_ms = math.inf if when_ms is None else when_ms
        if self._rounds.unfinished:
            return LOOK_ON_S
        if (quiet_in_s := self._slots.quiet_in_s()) is not None:
            return quiet_in_s
        return 3600.0 if when_ms is None else max((when_ms - now_ms) / 1000, 0.001)

    async def drained(self) -> bool:
        """Return once nothing is pending: True; or False when what is left waits for a person."""
        await self._write_down(pacing.hurry)
        while True:
            self.wake()
            reader = self._store.db.reader
            if not self._busy and journal.count(reader) == 0:
                return True
            if not self._busy and (self.paused or self._stuck()):
                return False
            idle = self._idle
            with trio.move_on_after(1.0):
                await idle.wait()
            await self._write_down(lambda connection: pacing.hurry(connection, backoff=False))

    def _stuck(self) -> bool:
        """Whether all that is left waits for a person, or for a row that does."""
        reader = self._store.db.reader
        if not journal.count(reader, ChangeState.PARKED) + journal.count(reader, ChangeState.HELD):
            return False
        pending = (row for row in journal.all_changes(reader) if row.state is ChangeState.PENDING)
        return all(isinstance(push.plan(reader, row), requests.Wait) for row in pending)

    # One row -----------------------------------------------------------------------------------------------------

    async def _push(self, change: LocalChange) -> None:
        self.statistics.active += 1
        try:
            with self._applier.watch() as heard:
                await self._attempt(change, heard)
        except RemoteError as error:  # asking what stands there now failed too
            await self._later(change, error, error.retry_after_s or 0.0)
        except (LocalError, OSError) as error:
            await self._later(change, error, DISK_RETRY_S)
        except Exception as error:
            # A mistake of ours must not take the mount down, nor be repeated for ever: shown, and kept.
            log.exception("a change could not be pushed")
            reason = f"internal error: {error!r}"
            await self._write_down(lambda connection: self._park(connection, change, reason))
        finally:
            self.statistics.active -= 1
            self._slots.release(change.ino)
            self._leftovers.look()
            self._idle.set()
            self._idle = trio.Event()
            self.wake()

    async def _attempt(self, change: LocalChange, heard: Heard) -> None:
        try:
            await self._sender.send(change, heard)
        except requests.Superseded:
            await trio.lowlevel.checkpoint()
        except RemoteError as error:
            await self._failed(change, error, heard)

    # Failures ----------------------------------------------------------------------------------------------------

    async def _write_down(self, outcome: Callable[[sqlite3.Connection], None]) -> None:
        """Without it a row would stay marked as sent, and never be tried again: a full disk is waited for."""
        while True:
            try:
                return await self._store.db.write(outcome)
            except (LocalError, OSError) as error:
                self.statistics.last_error = str(error)
                await trio.sleep(DISK_RETRY_S)

    async def _failed(self, change: LocalChange, error: RemoteError, heard: Heard) -> None:
        if isinstance(error, Permanent) and not isinstance(error, NotSignedIn):
            doubt = change.aspect is Aspect.CREATE and await self._leaves_in_doubt(change, error)
            await self._store.db.write(lambda connection: journal.refused(connection, change, in_doubt=doubt))
        match error:
            case Conflict():
                await self._look_again(change, error, heard)
            case Gone() | VersionGone():
                await self._applier.refresh(concerned_by(self._store.db.reader, change))
                await self._applier.resolve_doubts()  # a folder goes only after its children are known to be gone
                await self._later(change, error, 0.2 * 2 ** min(change.attempts, 8))
            case QuotaFull():
                await self._later(change, error, QUOTA_RETRY_S)
            case NotSignedIn() | BadDigest():
                await self._later(change, error, 5.0)
            case UploadGone() | Refused(code="idempotency_key_reused"):  # now under another key
                await self._later(change, error, 0.0)
            case Permanent():
                self.statistics.last_error = str(error)
                await self._store.db.write(lambda connection: self._park(connection, change, str(error)))
            case _:
                await self._later(change, error, error.retry_after_s or 0.0)

    async def _leaves_in_doubt(self, change: LocalChange, error: Permanent) -> bool:
        """Whether an earlier attempt may have made it. Rights may have been lost since: there, the folder tells."""
        if isinstance(error, Denied) and change.in_doubt:
            return await self._sender.was_made(change)
        return _leaves_in_doubt(change, error)

    def _park(self, connection: sqlite3.Connection, change: LocalChange, reason: str) -> None:
        journal.park(connection, change, reason)
        activity.note(connection, self._store.clock().now_s, change.ino, What.PARKED, reason)

    async def _look_again(self, change: LocalChange, error: Conflict, heard: Heard) -> None:
        """Take in what stands there now; the next plan sees it."""
        if change.attempts >= CONFLICT_ROUNDS and change.reason == str(error):
            await self._store.db.write(lambda connection: self._park(connection, change, str(error)))
            return
        current = error.current
        if current is not None:
            await self._applier.apply_answer([current], heard, lambda absorber: met(absorber, change, current))
        reader = self._store.db.reader
        concerned = set(concerned_by(reader, change))
        if error.code == "would_cycle":  # one of these went below it meanwhile
            concerned.update(folders_above(reader, change))
        if current is not None:
            concerned.discard(current.item_id)
        await self._applier.refresh(sorted(concerned))
        await self._applier.apply(lambda absorber: keep_folder(absorber, change, error))
        await self._later(change, error, 0.05 * 2 ** min(change.attempts, 6) - 0.05)

    async def _later(self, change: LocalChange, error: Exception, least_s: float) -> None:
        self.statistics.last_error = str(error)
        spread_s = self._chance.uniform(0, min(0.5 * 2 ** min(change.attempts, 12), BACKOFF_MAX_S))
        pause_s = least_s if isinstance(error, Conflict | Gone) else least_s + spread_s
        when = self._store.clock(pause_s).push_after_ms
        await self._write_down(lambda connection: journal.failed(connection, change, str(error), when))


def _leaves_in_doubt(change: LocalChange, error: Permanent) -> bool:
    """What a creation met may be its own earlier attempt; bytes that changed on their way tell nothing of an attempt
    before. Only what is never allowed at that place was not allowed then either."""
    if isinstance(error, Conflict | UploadGone):
        return True
    if isinstance(error, Refused) and error.code == "idempotency_key_reused":  # an attempt was answered
        return True
    return (change.in_doubt or error.in_doubt) and not isinstance(error, Gone | Denied | NameRefused | Refused)
