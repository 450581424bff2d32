"""The walk over everything, and the same over a few doubts: what became of every file, in bounded steps.

Folders are walked in the order of their ids, so where a walk stands is one id, and a killed one goes on. New and
moved folders are listed as soon as they are found. What is not at its place is decided about last, when its file was
looked for everywhere; a removal that would take most of the drive waits for a word from a person.
A quick walk asks each folder for its times only, and finds names that came, went, moved or were replaced; an edit in
place or a chmod of a file is found by a full one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.external.bringing import Importer
from server_stub.external.doubting import Doubter
from server_stub.external.ending import Ending
from server_stub.external.report import Report
from server_stub.external.root import Ground, RootReplaced, adopt_root, check_root
from server_stub.external.walking import Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server_stub.external.doubts import Doubts, Names
    from server_stub.external.looking import Certainty, Spot
    from server_stub.external.reconcile import Reconciler
    from server_stub.store import Ledger, Store, View
    from server_stub.tree import Tree

__all__ = ["Report", "RootReplaced", "Scanner"]

log = logging.getLogger(__name__)

_FOLDERS_AT_ONCE: Final = 256
_SAVE_EVERY_S: Final = 2.0  # where the walk stands is written down
_TELL_EVERY_S: Final = 5.0
_NOTE: Final = "walk"


class Scanner:
    """Walks the tree; one walk at a time is the caller's business. Looking at doubts is safe beside one."""

    def __init__(self, tree: Tree, store: Store, reconciler: Reconciler) -> None:
        self._tree = tree
        self._store = store
        self._reconciler = reconciler
        self._importer = Importer(store, reconciler)
        self._walker = Walker(store, reconciler)
        self._ending = Ending(store, reconciler)
        self._doubter = Doubter(store, reconciler, self._walker, self._ending)

    async def import_tree(self) -> Report | None:
        """Bring in everything when the state is new, or go on with an import that was killed; None otherwise."""
        if not await self._importer.is_needed():
            return None
        report = Report()
        await self._importer.run(report)
        return report.end()

    async def scan(
        self,
        *,
        quick: bool = False,
        duty: float = 1.0,
        confirmed: bool = False,
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """Walk everything, working for at most `duty` (0 to 1) of the time. RootReplaced; folders that cannot be read
        are left as they are and counted.
        """
        ground = await self._ground()
        report = Report(quick=quick and ground is Ground.SAME)
        pace = _Pace(duty, progress)
        after = await self._begin(report)
        await self._list_new(report, pace)
        while folder_ids := await self._store.read(partial(_folders, after)):
            if await self._walker.visit(folder_ids, report, due=True, quick=report.quick):
                await self._list_new(report, pace)
            after = folder_ids[-1]
            if pace.save_is_due():
                await self._save(after, report)
            await pace.rest(report)
        await self._list_new(report, pace)
        while await self._ending.advance(report, confirmed=confirmed):
            await self._list_new(report, pace)  # what moved may uncover more
        if ground is Ground.RESTORED and not report.held:  # else it may be another tree after all
            await self._store.write(lambda ledger: adopt_root(ledger, self._tree, self._reconciler.eyes))
            self._reconciler.lister.inodes_hold = True
        await self._store.write(lambda ledger: _set_note(ledger, ""))
        return report.end()

    async def reconcile(self, doubts: Doubts) -> Report:
        """Bring the index in line with the tree where it is in doubt. RootReplaced."""
        if await self._ground() is Ground.RESTORED:  # a walk over everything finds out what is what
            return Report()
        return await self._doubter.reconcile(doubts)

    async def read(self, unread: Mapping[Spot, Certainty]) -> Report:
        """Settle files that a reconciliation left unread: of which only the bytes tell whether they changed."""
        return await self._doubter.read(unread)

    async def read_for_requests(self) -> bool:
        """The same for those that `refresh` met since the last time. False: there were none."""
        return await self._doubter.read_for_requests()

    def refresh(self, ledger: Ledger, names: Names) -> bool:
        """Bring the index in line with one folder, or with the nearest one above it that exists. True: something is
        missing there, and a walk has to find out where it went, or a file has to be read. Nothing is learnt from a root
        that is not the drive's.
        """
        try:
            ground = check_root(ledger, self._tree, self._reconciler.eyes)
        except (RootReplaced, OSError):
            return False
        if ground is Ground.RESTORED:
            return True
        return self._doubter.refresh(ledger, names)

    async def _ground(self) -> Ground:
        ground = await self._store.read(lambda view: check_root(view, self._tree, self._reconciler.eyes))
        self._reconciler.lister.inodes_hold = ground is Ground.SAME
        return ground

    async def _begin(self, report: Report) -> str:
        """Where to begin: after the folder at which a walk of the same kind was interrupted, or from the start."""
        note = await self._store.read(lambda view: view.note(_NOTE))
        stood = json.loads(note) if note else {}
        if stood and (report.quick or not stood["quick"]):
            report.resumed = True
            return str(stood["after"])
        await self._store.write(_all_due)
        return ""

    async def _save(self, after: str, report: Report) -> None:
        note = json.dumps({"after": after, "quick": report.quick})
        await self._store.write(lambda ledger: _set_note(ledger, note))

    async def _list_new(self, report: Report, pace: _Pace) -> None:
        """List folders that came here, and those that come with them; what cannot be listed now stays for later."""
        arrived = 1
        while arrived:
            arrived, after = 0, ""
            while folder_ids := await self._store.read(partial(_unlisted, after)):
                arrived += await self._walker.visit(folder_ids, report, due=True)
                after = folder_ids[-1]
                await pace.rest(report)


class _Pace:
    """When a walk rests, tells and saves."""

    def __init__(self, duty: float, progress: Callable[[Report], None] | None) -> None:
        self._duty = duty
        self._progress = progress
        self._worked_since = self._told = self._saved = time.monotonic()

    async def rest(self, report: Report) -> None:
        """Sleep as long as the share of time asks for; say how far it is from time to time."""
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            log.info("walk: %s", report.as_dict())
            if self._progress is not None:
                self._progress(report)
        if self._duty < 1.0:
            await asyncio.sleep((now - self._worked_since) * (1.0 / self._duty - 1.0))
        self._worked_since = time.monotonic()

    def save_is_due(self) -> bool:
        """Every few seconds."""
        now = time.monotonic()
        due = now - self._saved >= _SAVE_EVERY_S
        self._saved = now if due else self._saved
        return due


def _folders(after: str, view: View) -> list[str]:
    return view.folders(after, _FOLDERS_AT_ONCE)


def _unlisted(after: str, view: View) -> list[str]:
    return view.unlisted(after, _FOLDERS_AT_ONCE)


def _all_due(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.all_due()


def _set_note(ledger: Ledger, note: str) -> None:
    if (ledger.note(_NOTE) or "") != note:
        with ledger.transaction() as tx:
            tx.set_note(_NOTE, note)
