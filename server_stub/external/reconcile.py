"""Writing down what a look found: rows, marks and evidence in one transaction with the look itself.

Names are freed before they are taken, folders come before what lies in them, and what ends is buried before
newcomers are told, so that every page of the feed can be applied in its order.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.external.burying import bury, hollow
from server_stub.external.contents import same_content
from server_stub.external.doubts import Outcome, Told
from server_stub.external.identity import Arrival, Fate
from server_stub.external.listing import Lister
from server_stub.external.looking import Certainty, Entry, Look
from server_stub.external.outcomes import Outcomes
from server_stub.external.sight import Eyes
from server_stub.instants import clamped
from server_stub.values import Evidence, Item, Kind, Trace, new_id, new_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from server_stub.external.looking import Spot, Terms
    from server_stub.external.sight import Found
    from server_stub.store import Tx
    from server_stub.tree import Tree

EMPTY_DIGEST: Final = hashlib.sha256().hexdigest()


class Reconciler:
    """Brings rows in line with the tree."""

    def __init__(self, tree: Tree, hidden: frozenset[tuple[int, int]], eyes: Eyes | None = None) -> None:
        self.tree = tree
        self.eyes = eyes or Eyes()
        self.lister = Lister(tree, hidden, self.eyes)

    def look(self, tx: Tx, spots: Iterable[Spot], terms: Terms) -> Outcomes:
        """Look at the names and write down what became of them."""
        total = Outcomes()
        pending = list(spots)
        while pending:  # a name that another file had taken is free for it when the item is found elsewhere
            outcomes = self._look_once(tx, pending, terms)
            total.add(outcomes)
            if outcomes.is_unfinished:
                total.unfinished += pending
                break
            pending = outcomes.vacated
        return total

    def _look_once(self, tx: Tx, spots: list[Spot], terms: Terms) -> Outcomes:
        look = Look(
            tx,
            self.tree,
            self.eyes,
            terms,
            hidden=self.lister.hidden,
            inodes_hold=self.lister.inodes_hold,
        )
        entries = look.take(spots)
        writing = _Writing(self, tx, terms)
        writing.write(entries)
        writing.outcomes.unreadable = look.unreadable
        return writing.outcomes


class _Writing:
    """One look on its way into the index."""

    def __init__(self, reconciler: Reconciler, tx: Tx, terms: Terms) -> None:
        self._reconciler = reconciler
        self._tree = reconciler.tree
        self._tx = tx
        self._terms = terms
        self._now_ns = time.time_ns()
        self.outcomes = Outcomes()

    def write(self, entries: list[Entry]) -> None:
        """All of them, in an order in which no name is taken twice and nothing lies in what is gone."""
        moving = [each.owner for each in entries if each.arrival is Arrival.MOVED and each.owner is not None]
        ending = [(each, each.row) for each in entries if each.fate is Fate.ENDS and each.row is not None]
        left = {item_id for item in moving for item_id, _ in self._tx.lineage(item.parent_id or "")}
        if self._hollow([row for _, row in ending if row.is_folder], {item.item_id for item in moving}, left):
            self.outcomes.is_unfinished = True
            return
        self._tx.set_aside([item.item_id for item in moving])
        self._tx.set_aside([row.item_id for _, row in ending])
        for entry, row in ending:
            if row.item_id not in left:
                self._bury(entry, row)
        for entry in entries:
            self._write_one(entry)
        for entry, row in ending:
            if row.item_id in left:
                self._bury(entry, row)

    def _hollow(self, folders: list[Item], moving: set[str], left: set[str]) -> bool:
        """Whether one of them held more than can end at once; then some of that has ended now."""
        for folder in folders:
            buried = hollow(self._tx, folder, moving=moving, left=left, now_ns=self._now_ns)
            self.outcomes.removed += buried
            if buried:
                return True
        return False

    def _write_one(self, entry: Entry) -> None:
        row, found, owner = entry.row, entry.found, entry.owner
        if entry.fate is Fate.WAITS and row is not None:
            self._tx.miss(row.item_id, None if found is None else found.stat.st_ino, due=self._terms.due)
            self.outcomes.waiting.append(row.item_id)
        elif row is not None and entry.arrival is not Arrival.OWN:
            self._tx.found_again((row.item_id,))
        if found is None:
            return
        match entry.arrival:
            case Arrival.OWN if row is not None:
                self._go_on(entry, row, found)
            case Arrival.MOVED if owner is not None:
                self._move(entry, owner, found)
            case Arrival.REVIVED if owner is not None:
                self._revive(entry, owner, found)
            case Arrival.NEW:
                self._add(entry, found)

    def _go_on(self, entry: Entry, row: Item, found: Found) -> None:
        """The item goes on under its name, perhaps with other content, mode or inode."""
        stays = entry.fate is Fate.STAYS
        explained = stays and (_mode_of(found, row) != row.mode or self._restored(entry, row))
        same = same_content(self._tree, row, found, entry.names, explained=explained, known=self._terms.known)
        if same is None:
            self.outcomes.unread[entry.folder.item_id, entry.name] = Certainty.PARTIAL if stays else Certainty.WHOLE
            return
        self._tx.found_again((row.item_id,))
        changed = _with_content(row, found, same=same)
        evidence, trace = self._settled(entry, changed, found)
        same_inode = row.evidence is not None and row.evidence.ino == evidence.ino
        if row.is_folder and row.evidence is not None and same_inode:
            evidence = row.evidence  # of the moment of its listing
            trace = msgspec.structs.replace(trace, listed=row.trace.listed)
        if changed == row:
            self._tx.note_disk(row.item_id, evidence, trace)
        else:
            self._put(entry, changed, Outcome.CHANGED, evidence, trace)
        if row.is_folder and not same_inode:
            self.outcomes.folders.append(row.item_id)

    def _move(self, entry: Entry, owner: Item, found: Found) -> None:
        moved = self._brought(entry, owner, found)
        if self._tx.missing_ino(owner.item_id) is not None:
            self.outcomes.vacated.append((owner.parent_id or "", owner.name))
        moved = msgspec.structs.replace(moved, parent_id=entry.folder.item_id, name=entry.name)
        self._put(entry, moved, Outcome.MOVED, *self._settled(entry, moved, found))
        self._tx.found_again((owner.item_id,))
        self._note_folder(moved)

    def _revive(self, entry: Entry, buried: Item, found: Found) -> None:
        back = self._brought(entry, buried, found)
        evidence, trace = self._settled(entry, back, found)
        back = msgspec.structs.replace(
            back,
            parent_id=entry.folder.item_id,
            name=entry.name,
            metadata_version=new_version(),
            evidence=evidence,
            trace=trace,
        )
        self._tx.revive(back)
        self._tell(Outcome.ADDED, back, entry)
        self._note_folder(back)

    def _add(self, entry: Entry, found: Found) -> None:
        item = new_item(entry.folder.item_id, found, self._now_ns)
        self._put(entry, item, Outcome.ADDED, *self._settled(entry, item, found))
        self._note_folder(item)

    def _note_folder(self, item: Item) -> None:
        if item.is_folder:
            self.outcomes.folders.append(item.item_id)

    def _brought(self, entry: Entry, item: Item, found: Found) -> Item:
        """The item with what its file, which explains itself by having moved, holds now."""
        same = same_content(self._tree, item, found, entry.names, explained=True, known=self._terms.known)
        return _with_content(item, found, same=bool(same))

    def _restored(self, entry: Entry, row: Item) -> bool:
        """The whole tree came to another disk, with marks and times."""
        carried = entry.seen is not None and entry.seen.mark == row.item_id
        return carried and not self._reconciler.lister.inodes_hold

    def _settled(self, entry: Entry, item: Item, found: Found) -> tuple[Evidence, Trace]:
        """Evidence and trace to remember, with the file marked when it has no mark of a living item."""
        mark = None if entry.seen is None else entry.seen.mark
        birth_ns = 0 if entry.seen is None else entry.seen.birth_ns
        marked = mark == item.item_id
        if item.kind is Kind.SYMLINK or marked or self._is_link(item, mark, found):
            return found.evidence, Trace(birth_ns=birth_ns, marked=marked)
        try:
            with self._tree.folder(entry.path) as fd:
                marked = self._reconciler.eyes.write(fd, entry.name, item.item_id)
                now = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
        except OSError:  # gone or replaced since the look, which told what was true then
            return found.evidence, Trace(birth_ns=birth_ns)
        if now.st_ino != found.stat.st_ino:
            return found.evidence, Trace(birth_ns=birth_ns)
        evidence = msgspec.structs.replace(found.evidence, ctime_ns=now.st_ctime_ns)
        return evidence, Trace(birth_ns=birth_ns, marked=marked)

    def _is_link(self, item: Item, mark: str | None, found: Found) -> bool:
        """Whether the mark is of another living item with the same inode: a hard link, whose mark it stays."""
        other = None if mark is None else self._tx.item(mark)
        if other is None or other.item_id == item.item_id or other.evidence is None:
            return False
        return other.evidence.ino == found.stat.st_ino

    def _put(self, entry: Entry, item: Item, outcome: Outcome, evidence: Evidence, trace: Trace) -> None:
        item = msgspec.structs.replace(item, metadata_version=new_version(), evidence=evidence, trace=trace)
        self._tx.put(item)
        self._tell(outcome, item, entry)

    def _tell(self, outcome: Outcome, item: Item, entry: Entry) -> None:
        self.outcomes.told.append(Told(outcome=outcome, item_id=item.item_id, names=entry.names))

    def _bury(self, entry: Entry, row: Item) -> None:
        self.outcomes.removed += bury(self._tx, row, self._now_ns)
        self._tell(Outcome.REMOVED, row, entry)


def new_item(folder_id: str, found: Found, now_ns: int) -> Item:
    """An item for something that was never seen before; its digest is computed later."""
    is_folder = found.kind is Kind.FOLDER
    return Item(
        item_id=new_id(now_ns),
        parent_id=folder_id,
        name=found.name,
        kind=found.kind,
        size=0 if is_folder else found.stat.st_size,
        mode=stat.S_IMODE(found.stat.st_mode) & 0o777,
        created_ns=now_ns,
        modified_ns=clamped(found.stat.st_mtime_ns),
        metadata_version=new_version(),
        content_version=None if is_folder else new_version(),
        digest=EMPTY_DIGEST if found.kind is Kind.FILE and not found.stat.st_size else None,
        symlink_target=found.target,
    )


def _with_content(row: Item, found: Found, *, same: bool) -> Item:
    """The row with the mode of the file, and with a new version when its bytes are others."""
    changed = msgspec.structs.replace(row, mode=_mode_of(found, row))
    if same:
        return changed
    return msgspec.structs.replace(
        changed,
        size=found.stat.st_size,
        modified_ns=clamped(found.stat.st_mtime_ns),
        content_version=new_version(),
        digest=None,
        symlink_target=found.target,
    )


def _mode_of(found: Found, row: Item) -> int:
    """What is told as the mode: bits that are never set on the real file stay as they were stored."""
    real = stat.S_IMODE(found.stat.st_mode) & 0o777
    return row.mode if row.kind is Kind.SYMLINK or real == row.mode & 0o777 else real
