"""What the server does about changes that others make: watches for them, reconciles, and notes who did it.

The watcher says where to look, the reconciliation finds out what changed, the log of the program that shares the tree
says who it was. The activity is noted after the change is told: knowing who never delays what.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.external.doubts import Actor, Doubts, Told
from server_stub.instants import NANOS
from server_stub.watching.activity import entry_of
from server_stub.watching.fanotify import FanotifySource
from server_stub.watching.inotify import InotifySource
from server_stub.watching.samba import AuditLog
from server_stub.watching.status import WatchMode, WatchStatus
from server_stub.watching.unsigned import SIGN_WITHIN_S, Unsigned
from server_stub.watching.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from server_stub.external.looking import Certainty, Spot
    from server_stub.external.scan import Report
    from server_stub.service import Service
    from server_stub.store import Ledger, View
    from server_stub.watching.activity import Entry
    from server_stub.watching.looks import Look
    from server_stub.watching.notices import FolderNames, Source

log = logging.getLogger(__name__)

_SIGN_EVERY_S: Final = 1.0
_ENTRIES_AT_ONCE: Final = 5_000  # in one transaction


class Outside:
    """One server's eyes on its tree."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._audit: AuditLog | None = None
        self._unsigned = Unsigned()
        self._unread: dict[Spot, Certainty] = {}  # files that are read when there is time, so that nothing waits
        self._reading = asyncio.Event()
        self._watcher: Watcher | None = None
        self._off = WatchStatus()

    @property
    def status(self) -> WatchStatus:
        """How the watch stands."""
        return self._off if self._watcher is None else self._watcher.status

    async def run(self) -> None:
        """For as long as the server runs."""
        settings, tree = self._service.settings, self._service.tree
        if settings.watch is WatchMode.OFF:
            return
        if settings.samba_log is not None:
            self._audit = self._opened(settings.samba_log)
        found = settings.state.stat()
        kinds: Mapping[str, Callable[[], Source]] = {
            WatchMode.FANOTIFY: lambda: FanotifySource(tree.root_fd),
            WatchMode.INOTIFY: lambda: InotifySource(tree.root_fd, frozenset({(found.st_dev, found.st_ino)})),
        }
        sources = list(kinds.values()) if settings.watch is WatchMode.AUTO else [kinds[settings.watch]]
        self._watcher = Watcher(settings.root, tree.root_fd, sources=sources, look=self._look, scan=self._service.scan)
        beside = [asyncio.ensure_future(work) for work in (self._sign_for_ever(), self._read_for_ever())]
        try:
            await self._watcher.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            if self._audit is not None:
                self._audit.close()

    def _opened(self, path: Path) -> AuditLog | None:
        try:
            return AuditLog(path, self._service.settings.root)
        except OSError as error:
            log.warning("the log of Samba cannot be read, so nobody is named: %s", error)
            return None

    async def tell(self, paths: Iterable[FolderNames], actor: Actor | None) -> Report:
        """A program that shares the tree says what it has just done; returns when the feed tells it. RootReplaced,
        OSError.
        """
        told = frozenset(paths)
        actors = {} if actor is None else dict.fromkeys(told, actor)
        report = await self._reconcile(Doubts(paths=told, actors=actors))
        if report.unread:
            report.changed += (await self._read(report.unread, actors)).changed
        return report

    async def _look(self, look: Look) -> None:
        paths = frozenset(look.paths)
        if look.inodes:
            paths |= await self._service.read(partial(_paths_of, look.inodes))
        actors = await self._actors(paths)
        report = await self._reconcile(Doubts(paths=paths, renames=tuple(look.renames), actors=actors))
        if report.unread:
            self._unread |= report.unread
            self._reading.set()

    async def _read_for_ever(self) -> None:
        """Files of which only the bytes tell whether they changed: one after the other, beside the looks."""
        while True:
            await self._reading.wait()
            self._reading.clear()
            for spot in list(self._unread):
                certainty = self._unread.pop(spot)
                try:
                    await self._read({spot: certainty}, {})
                except OSError as error:  # the index cannot be written just now; the next walk sees it
                    log.warning("a file that was touched is not looked into: %s", error)

    async def _read(self, unread: Mapping[Spot, Certainty], actors: Mapping[FolderNames, Actor]) -> Report:
        report = await self._service.read_contents(unread)
        if report.told:
            await self._note(report.told, actors)
        return report

    async def _actors(self, paths: Iterable[FolderNames]) -> dict[FolderNames, Actor]:
        audit = self._audit
        if audit is None:
            return {}
        try:
            await asyncio.to_thread(audit.read, time.monotonic())
        except OSError as error:  # who it was never keeps what it was from being told
            log.warning("the log of Samba cannot be read: %s", error)
            return {}
        return audit.actors(paths)

    async def _reconcile(self, doubts: Doubts) -> Report:
        report = await self._service.reconcile(doubts)
        if report.told:
            await self._note(report.told, doubts.actors)
        return report

    async def _note(self, told: list[Told], actors: Mapping[FolderNames, Actor]) -> None:
        now_ns = time.time_ns()
        entries = [entry_of(each, each.actor or actors.get(each.names), now_ns) for each in told]
        for start in range(0, len(entries), _ENTRIES_AT_ONCE):
            await self._service.store.write(partial(_note, entries[start : start + _ENTRIES_AT_ONCE]))
        if self._audit is not None:  # only now: a line that tells who it was finds what it signs
            unsigned = (each.names for each, entry in zip(told, entries, strict=True) if entry.user is None)
            self._unsigned.add(unsigned, time.monotonic())

    async def _sign_for_ever(self) -> None:
        """Lines that came after the change was looked at."""
        while True:
            await asyncio.sleep(_SIGN_EVERY_S)
            try:
                await self._sign()
            except OSError as error:  # a full disk, a state that is locked: it passes
                log.warning("who changed what cannot be noted just now: %s", error)

    async def _sign(self) -> None:
        asked = self._unsigned.asked()
        late = await self._actors(asked) if asked else {}
        if late:
            await self._service.store.write(partial(_sign, late))
        self._unsigned.answered(asked, late, time.monotonic())


def _note(entries: list[Entry], ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.note_activity(entries)


def _sign(late: Mapping[FolderNames, Actor], ledger: Ledger) -> None:
    since_ns = time.time_ns() - int(2 * SIGN_WITHIN_S) * NANOS
    with ledger.transaction() as tx:
        for names, actor in late.items():
            tx.sign_activity("/".join(names), actor, since_ns=since_ns)


def _paths_of(inodes: Iterable[int], view: View) -> frozenset[FolderNames]:
    """Where the files with these inode numbers are known to lie."""
    items = [item for ino in inodes for item in view.by_ino(ino)]
    return frozenset(tuple(name for _, name in view.lineage(item.item_id)[1:]) for item in items)
