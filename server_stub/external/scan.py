"""The walk: every folder of the tree against the index, in bounded steps between other people's writes.

A folder is compared on a reader's thread; only one that differs is compared again and written on the
writer's. A root that is missing, unreadable or another folder than it was never becomes a deletion.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from server_stub.external.reconcile import FolderNames, Reconciler, apply_findings
from server_stub.instants import clamped
from server_stub.values import Evidence, Item, Kind, new_id, new_version

if TYPE_CHECKING:
    from server_stub.external.doubts import Doubts, Told
    from server_stub.store import Ledger, Store, View
    from server_stub.tree import Tree

log = logging.getLogger(__name__)

_BATCH_ITEMS: Final = 5_000  # per transaction of a first import: one fsync each
_Pending = list[tuple[str, FolderNames]]


@dataclass(slots=True)
class Report:
    """What one walk saw and did."""

    items: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    left_out: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    told: list[Told] = field(default_factory=list)  # of doubts: what was found, in the order of the feed

    def as_dict(self) -> dict[str, float]:
        """For the control socket and the log."""
        rate = round(self.items / self.seconds) if self.seconds else 0
        told = {name: getattr(self, name) for name in self.__slots__ if name != "told"}
        return told | {"items_per_s": rate}


class RootReplaced(Exception):
    """The exported directory is not the one that this state belongs to."""


class Scanner:
    """Walks the tree; one walk at a time is the caller's business."""

    def __init__(self, tree: Tree, store: Store, reconciler: Reconciler) -> None:
        self._tree = tree
        self._store = store
        self._reconciler = reconciler

    async def import_tree(self) -> Report | None:
        """Make the root and bring in everything, when the state is new; None otherwise. Resumed by the next
        scan.
        """
        if await self._store.read(lambda view: view.root_id()) is not None:
            return None
        started = time.monotonic()
        report = Report()
        pending: _Pending = [(await self._store.write(self._make_root), ())]
        while pending:
            await self._store.write(lambda ledger: self._import_batch(ledger, pending, report))
            log.info("import: %d items, %.0f items/s", report.items, report.items / (time.monotonic() - started))
        report.seconds = time.monotonic() - started
        return report

    async def scan(self) -> Report:
        """Walk everything. RootReplaced; folders that cannot be read are left as they are and counted."""
        started = time.monotonic()
        report = Report()
        root_id = await self._store.read(self._check_root)
        pending: _Pending = [(root_id, ())]
        while pending:
            folder_id, names = pending.pop()
            pending.extend(await self._scan_folder(folder_id, names, report))
        report.seconds = time.monotonic() - started
        return report

    async def reconcile(self, doubts: Doubts) -> Report:
        """Bring the index in line with the tree where it is in doubt. RootReplaced."""
        started = time.monotonic()
        report = Report()
        await self._store.read(self._check_root)
        folders = {names[:-1] for names in doubts.every()} | doubts.every()
        for names in sorted(folders, key=len):
            await self._store.write(lambda ledger, names=names: self.refresh(ledger, names))  # type: ignore[misc]
        report.seconds = time.monotonic() - started
        return report

    def refresh(self, ledger: Ledger, names: FolderNames) -> None:
        """Bring the index in line with one folder, or with the nearest one above it that exists."""
        folder_id = ledger.root_id() or ""
        reached: FolderNames = ()
        for name in names:
            child = ledger.child(folder_id, name)
            if child is None or not child.is_folder or not self._is_there((*reached, name)):
                break
            folder_id, reached = child.item_id, (*reached, name)
        self._write_folder(ledger, folder_id, reached, Report())

    def _is_there(self, names: FolderNames) -> bool:
        try:
            with self._tree.folder(names):
                return True
        except OSError:
            return False

    async def _scan_folder(self, folder_id: str, names: FolderNames, report: Report) -> _Pending:
        try:
            now_ns = time.time_ns()
            findings = await self._store.read(lambda view: self._reconciler.compare(view, folder_id, names, now_ns))
            if findings.is_news:
                return await self._store.write(lambda ledger: self._write_folder(ledger, folder_id, names, report))
        except OSError as error:
            report.unreadable += 1
            log.warning("scan: a folder was left as it is: %s", error)
            return []
        report.items += findings.seen
        report.left_out += findings.left_out
        return findings.subfolders

    def _write_folder(self, ledger: Ledger, folder_id: str, names: FolderNames, report: Report) -> _Pending:
        now_ns = time.time_ns()
        lineage = ledger.lineage(folder_id)
        if tuple(name for _, name in lineage[1:]) != names or not lineage:
            return []  # moved or deleted since it was listed; its new place is walked in its own turn
        findings = self._reconciler.compare(ledger, folder_id, names, now_ns)
        with ledger.transaction() as tx:
            report.removed += apply_findings(tx, findings, now_ns)
        report.items += findings.seen
        report.left_out += findings.left_out
        report.added += len(findings.added)
        report.changed += len(findings.changed)
        return findings.subfolders

    def _import_batch(self, ledger: Ledger, pending: _Pending, report: Report) -> None:
        now_ns = time.time_ns()
        before = report.items
        with ledger.transaction() as tx:
            while pending and report.items - before < _BATCH_ITEMS:
                folder_id, names = pending.pop()
                try:
                    findings = self._reconciler.compare(tx, folder_id, names, now_ns)
                except OSError as error:
                    report.unreadable += 1
                    log.warning("import: a folder cannot be read: %s", error)
                    continue
                apply_findings(tx, findings, now_ns)
                report.items += findings.seen
                report.added += len(findings.added)
                report.left_out += findings.left_out
                pending.extend(findings.subfolders)

    def _make_root(self, ledger: Ledger) -> str:
        now_ns = time.time_ns()
        found = self._tree.root_stat()
        root = Item(
            item_id=new_id(now_ns),
            parent_id=None,
            name="",
            kind=Kind.FOLDER,
            size=0,
            mode=found.st_mode & 0o777,
            created_ns=now_ns,
            modified_ns=clamped(found.st_mtime_ns),
            metadata_version=new_version(),
            evidence=Evidence.of(found),
        )
        with ledger.transaction() as tx:
            tx.put(root)
            tx.set_note("root_id", root.item_id)
        return root.item_id

    def _check_root(self, view: View) -> str:
        """A root that lost its identity and all it held is an unmounted disk, no deletion."""
        root_id = view.root_id() or ""
        root = view.item(root_id)
        found = self._tree.root_stat()
        same = root is not None and root.evidence is not None and root.evidence.ino == found.st_ino
        if not same:
            known = {item.name for item in view.children(root_id, limit=1000)}
            if known and known.isdisjoint(self._tree.root_names()):
                raise RootReplaced(f"{self._tree.path} holds nothing of what this state knows: a disk not mounted?")
        return root_id
