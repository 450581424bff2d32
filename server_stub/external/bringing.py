"""The first import: nothing is known yet, so nothing is compared; every entry becomes an item and is marked.

A file that is marked already belonged to a state that was lost: it keeps that item_id, unless another file came first
with the same mark (then it is a copy). One that was killed goes on with the folders that were not listed.
"""

from __future__ import annotations

import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.external.reconcile import new_item
from server_stub.external.root import make_root
from server_stub.external.sight import Covered, Found, Sight
from server_stub.external.walking import note_listed
from server_stub.names import HIDDEN_FOLDER, holdable
from server_stub.values import Evidence, Item, Kind, Trace

if TYPE_CHECKING:
    from server_stub.external.reconcile import Reconciler
    from server_stub.external.report import Report
    from server_stub.store import Ledger, Store, Tx

log = logging.getLogger(__name__)

_BATCH_ITEMS: Final = 5_000  # per transaction: one fsync each
_FOLDERS_AT_ONCE: Final = 256
_NOTE: Final = "importing"


class Importer:
    """Brings a tree into a new state."""

    def __init__(self, store: Store, reconciler: Reconciler) -> None:
        self._store = store
        self._tree = reconciler.tree
        self._eyes = reconciler.eyes
        self._hidden = reconciler.lister.hidden

    async def is_needed(self) -> bool:
        """Whether the state is new, or an import of it was interrupted."""
        begun = await self._store.read(lambda view: view.note(_NOTE))
        return begun == "1" or (begun is None and await self._store.read(lambda view: view.root_id()) is None)

    async def run(self, report: Report) -> None:
        """Everything, in transactions of some thousand items."""
        await self._store.write(self._begin)
        listed = -1
        while listed != report.folders:  # an id that a file brought along may be behind one that was passed
            listed, after = report.folders, ""
            while following := await self._store.write(partial(self._batch, after, report)):
                after = following
                log.info("import: %s", report.as_dict())
        await self._store.write(partial(_note, "0"))

    def _begin(self, ledger: Ledger) -> None:
        _note("1", ledger)
        if ledger.root_id() is None:
            make_root(ledger, self._tree, self._eyes, time.time_ns())

    def _batch(self, after: str, report: Report, ledger: Ledger) -> str | None:
        """Folders from behind `after`; where to go on, None when nothing is left that can be listed."""
        before = report.items
        with ledger.transaction() as tx:
            folder_ids = tx.unlisted(after, _FOLDERS_AT_ONCE)
            for folder_id in folder_ids:
                if report.items - before >= _BATCH_ITEMS:
                    break
                after = folder_id
                try:
                    self._bring_in(tx, folder_id, report)
                except OSError as error:
                    report.unreadable += 1
                    log.warning("import: a folder cannot be read: %s", error)
        return after if folder_ids else None

    def _bring_in(self, tx: Tx, folder_id: str, report: Report) -> None:
        names = tuple(name for _, name in tx.lineage(folder_id)[1:])
        now_ns = time.time_ns()
        with self._tree.folder(names) as fd:
            sight = Sight(fd, self._hidden)
            with os.scandir(fd) as entries:
                listed = [entry.name for entry in entries if names or entry.name != HIDDEN_FOLDER]
            for name in listed:
                item = self._item(tx, sight, folder_id, name, now_ns)
                if item is None:
                    report.left_out += 1
                    continue
                tx.add(item)
                report.items += 1
                report.added += 1
        report.folders += 1
        note_listed(tx, folder_id, Evidence.of(sight.stat))

    def _item(self, tx: Tx, sight: Sight, folder_id: str, name: str, now_ns: int) -> Item | None:
        try:
            found = sight.look_at(name) if holdable(name) else None
        except Covered:
            return None
        if found is None:
            return None
        item = new_item(folder_id, found, now_ns)
        evidence, trace, item_id = self._marked(tx, sight.fd, item.item_id, found)
        return msgspec.structs.replace(item, item_id=item_id, evidence=evidence, trace=trace)

    def _marked(self, tx: Tx, fd: int, item_id: str, found: Found) -> tuple[Evidence, Trace, str]:
        """The file with a mark of its own: the one that it carries already, when nobody else has it."""
        marked = False
        if found.kind is not Kind.SYMLINK:
            marked = self._eyes.mark_new(fd, found.name, item_id)
            carried = None if marked else self._eyes.mark(fd, found.name)
            if carried is not None and tx.item(carried) is None:
                item_id, marked = carried, True
            elif carried is not None and found.stat.st_nlink == 1:
                marked = self._eyes.write(fd, found.name, item_id)
        ctime_ns, birth_ns = self._eyes.moments(fd, found.name)
        evidence = msgspec.structs.replace(found.evidence, ctime_ns=ctime_ns or found.stat.st_ctime_ns)
        return evidence, Trace(birth_ns=birth_ns, marked=marked), item_id


def _note(value: str, ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.set_note(_NOTE, value)
