"""Drains the outbox: every row is planned, sent, and concluded; what cannot be pushed is parked, never dropped.

One task per row, one row per node at a time. What is decided here is when: write-back delay, and how many at a time.
How a row is sent is in `sync.sending`, what is sent in `sync.push`, what becomes of one that failed in `sync.setbacks`.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import due, journal, pacing
from cache.errors import LocalError
from cache.model import ChangeState, Ino, LocalChange
from sync import push, requests
from sync.file_sending import FileSender
from sync.leftovers import Leftovers
from sync.remote import Remote, RemoteError
from sync.rounds import LOOK_ON_S, Rounds, through
from sync.sending import Sender
from sync.setbacks import DISK_RETRY_S, PushStatistics, Setbacks
from sync.slots import Slots
from sync.transfers import Transfers

if TYPE_CHECKING:
    import random

    from cache.store import LocalStore
    from sync.applying import Applier, Heard

log = logging.getLogger(__name__)

NEVER_MS = (1 << 63) - 1  # by then everything is due


class Uploader:
    """See the module; `run` must be running for anything to leave this machine."""

    def __init__(self, store: LocalStore, remote: Remote, applier: Applier, chance: random.Random) -> None:
        self._store = store
        self._applier = applier
        self._slots = Slots()
        self._rounds = Rounds()
        self._busy = self._slots.busy
        self._transfers = Transfers(store, remote)
        self.files = FileSender(store, remote, self._transfers)
        self._sender = Sender(store, remote, applier, self.files, self._busy)
        self._leftovers = Leftovers(store, remote)
        self.statistics = PushStatistics()
        self._setbacks = Setbacks(store, applier, self._sender, chance, self.statistics)
        self._wake = trio.Event()
        self._idle = trio.Event()  # set, and replaced, whenever a row was concluded
        self._online = True
        self._hurry = False
        self._sleeping_until = math.inf
        self._due_ms = math.inf  # when a row that was put off may be sent
        self.paused = False

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
        self.files.pause(paused=paused)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. What was under way when it last ended is sent again."""
        await self._setbacks.write_down(pacing.stop_running)  # its tasks ended with it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leftovers.run)
            while True:
                woken, self._wake = self._wake.is_set(), trio.Event()
                if self._hurry:
                    self._hurry = False
                    await self._setbacks.write_down(pacing.hurry)
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
        if self._slots.all_taken():
            return None
        reader = self._store.db.reader
        page = due.page(reader, now_ms, after)
        for change in page.rows:
            if self._slots.all_taken():
                return None
            if change.ino not in self._busy and self._takes_slot(change.ino, push.plan(reader, change)):
                nursery.start_soon(self._push, change)
        return page.last

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
        await self._setbacks.write_down(pacing.hurry)
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
            await self._setbacks.write_down(lambda connection: pacing.hurry(connection, backoff=False))

    def _stuck(self) -> bool:
        """Whether all that is left waits for a person, or for a row that does."""
        reader = self._store.db.reader
        if not journal.count(reader, ChangeState.PARKED) + journal.count(reader, ChangeState.HELD):
            return False
        free: list[LocalChange] = []

        def look(after: int) -> int | None:
            page = due.page(reader, NEVER_MS, after)
            free.extend(row for row in page.rows if not isinstance(push.plan(reader, row), requests.Wait))
            return page.last

        through(look, -1, lambda: bool(free))
        return not free

    # One row -----------------------------------------------------------------------------------------------------

    async def _push(self, change: LocalChange) -> None:
        self.statistics.active += 1
        try:
            with self._applier.watch() as heard:
                await self._attempt(change, heard)
        except RemoteError as error:  # asking what stands there now failed too
            await self._setbacks.later(change, error, error.retry_after_s or 0.0)
        except (LocalError, OSError) as error:
            await self._setbacks.later(change, error, DISK_RETRY_S)
        except Exception as error:
            # A mistake of ours must not take the mount down, nor be repeated for ever: shown, and kept.
            log.exception("a change could not be pushed")
            await self._setbacks.park(change, f"internal error: {error!r}")
        finally:
            self.statistics.active -= 1
            self._slots.release(change.ino)
            self._leftovers.look()
            self._idle.set()
            self._idle = trio.Event()
            self.wake()

    async def _attempt(self, change: LocalChange, heard: Heard) -> None:
        planned = push.plan(self._store.db.reader, change)
        try:
            await self._sender.send(change, planned, heard)
        except requests.Superseded:
            await trio.lowlevel.checkpoint()
        except RemoteError as error:
            await self._setbacks.failed(change, planned, error, heard)
