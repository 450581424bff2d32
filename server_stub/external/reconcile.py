"""One folder: what lies there against what the index says, as findings that a transaction can apply.

Only a listing that was read to its end proves that something is gone. Names and kinds that the protocol
cannot tell (not UTF-8, sockets, mount points) are left out and counted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from server_stub.instants import clamped
from server_stub.names import HIDDEN_FOLDER, holdable
from server_stub.tree import Place, Tree
from server_stub.values import Evidence, Item, Kind, new_id, new_version

if TYPE_CHECKING:
    from server_stub.store import Tx, View

FolderNames = tuple[str, ...]
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.SYMLINK}
_HASH_STEP_BYTES = 1 << 20
EMPTY_DIGEST = hashlib.sha256().hexdigest()


@dataclass(slots=True)
class Findings:
    """What differs in one folder; `subfolders` are the folders that remain, for the walk."""

    added: list[Item] = field(default_factory=list)
    changed: list[Item] = field(default_factory=list)
    touched: list[tuple[str, Evidence]] = field(default_factory=list)  # evidence only
    removed: list[Item] = field(default_factory=list)
    subfolders: list[tuple[str, FolderNames]] = field(default_factory=list)
    seen: int = 0
    left_out: int = 0

    @property
    def is_news(self) -> bool:
        """Whether anything has to be written."""
        return bool(self.added or self.changed or self.touched or self.removed)


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a folder on disk."""

    name: str
    kind: Kind
    stat: os.stat_result
    target: str | None


class Reconciler:
    """Compares folders; `hidden` are (st_dev, st_ino) of what is no part of the drive (the state folder)."""

    def __init__(self, tree: Tree, hidden: frozenset[tuple[int, int]]) -> None:
        self._tree = tree
        self._hidden = hidden

    def compare(self, view: View, folder_id: str, names: FolderNames, now_ns: int) -> Findings:
        """Findings for one folder; OSError when it cannot be listed to its end."""
        findings = Findings()
        rows = {item.name: item for item in view.children(folder_id)}
        for found in self._listing(names, findings):
            findings.seen += 1
            item = self._judge(findings, rows.pop(found.name, None), found, names)
            if item is None:
                item = new_item(folder_id, found, now_ns)
                findings.added.append(item)
            if item.is_folder:
                findings.subfolders.append((item.item_id, (*names, found.name)))
        findings.removed.extend(rows.values())
        return findings

    def _judge(self, findings: Findings, row: Item | None, found: Found, names: FolderNames) -> Item | None:
        """The item that goes on under this name; None when a new one begins."""
        if row is not None and row.kind is found.kind:
            return self._same_name(findings, row, names, found)
        if row is not None:
            findings.removed.append(row)
        return None

    def _same_name(self, findings: Findings, row: Item, names: FolderNames, found: Found) -> Item:
        evidence = Evidence.of(found.stat)
        if row.evidence == evidence:
            return row
        changed = self._changed(row, evidence, names, found)
        if changed is not None:
            findings.changed.append(changed)
            return changed
        if row.kind is not Kind.FOLDER or row.evidence is None or row.evidence.ino != evidence.ino:
            findings.touched.append((row.item_id, evidence))
        return row

    def _changed(self, row: Item, evidence: Evidence, names: FolderNames, found: Found) -> Item | None:
        """The row as it must be told now; None when a client would see no difference."""
        mode = row.mode
        if row.kind is not Kind.SYMLINK and found.stat.st_mode & 0o777 != row.mode & 0o777:
            mode = stat.S_IMODE(found.stat.st_mode) & 0o777
        changed = msgspec.structs.replace(row, mode=mode, evidence=evidence)
        if row.kind is not Kind.FOLDER and not self._same_content(row, evidence, names, found):
            changed = msgspec.structs.replace(
                changed,
                size=evidence.size,
                modified_ns=evidence.mtime_ns,
                content_version=new_version(),
                digest=None,
                symlink_target=found.target,
            )
        if changed == msgspec.structs.replace(row, evidence=evidence):
            return None
        return msgspec.structs.replace(changed, metadata_version=new_version())

    def _same_content(self, row: Item, evidence: Evidence, names: FolderNames, found: Found) -> bool:
        before = row.evidence
        if row.kind is Kind.SYMLINK:
            return row.symlink_target == found.target
        if before is None or (before.ino, before.size, before.mtime_ns) != (
            evidence.ino,
            evidence.size,
            evidence.mtime_ns,
        ):
            return False
        # Only ctime moved: a chmod, a new link, or an edit with its time put back. The bytes decide.
        return row.digest is not None and self._digest(Place(names, found.name)) == row.digest

    def _digest(self, place: Place) -> str | None:
        try:
            fd = self._tree.open_file(place.names)
        except OSError:
            return None
        try:
            digest = hashlib.sha256()
            while chunk := os.read(fd, _HASH_STEP_BYTES):
                digest.update(chunk)
            return digest.hexdigest()
        finally:
            os.close(fd)

    def _listing(self, names: FolderNames, findings: Findings) -> list[Found]:
        with self._tree.folder(names) as fd:
            device = os.fstat(fd).st_dev
            with os.scandir(fd) as entries:
                found = [self._found(entry, fd, device, at_top=not names) for entry in entries]
        listed = [each for each in found if each is not None]
        findings.left_out += len(found) - len(listed)
        return listed

    def _found(self, entry: os.DirEntry[str], fd: int, device: int, *, at_top: bool) -> Found | None:
        if (at_top and entry.name == HIDDEN_FOLDER) or not holdable(entry.name):
            return None
        try:
            seen = entry.stat(follow_symlinks=False)
            target = os.readlink(entry.name, dir_fd=fd) if stat.S_ISLNK(seen.st_mode) else None
        except FileNotFoundError:  # gone since the listing began
            return None
        kind = _KINDS.get(stat.S_IFMT(seen.st_mode))
        elsewhere = seen.st_dev != device or (seen.st_dev, seen.st_ino) in self._hidden
        unspeakable = target is not None and not target.isprintable() and _is_surrogate(target)
        if kind is None or elsewhere or unspeakable:
            return None
        return Found(entry.name, kind, seen, target)


def _is_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


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
        evidence=Evidence.of(found.stat),
    )


def apply_findings(tx: Tx, findings: Findings, now_ns: int) -> int:
    """Write the findings; returns how many items were removed, with all that lay below them."""
    removed = sum(_bury_below(tx, item, now_ns) for item in findings.removed)
    for item in (*findings.added, *findings.changed):
        tx.put(item)
    for item_id, evidence in findings.touched:
        tx.note_evidence(item_id, evidence)
    return removed


def _bury_below(tx: Tx, item: Item, now_ns: int) -> int:
    """Children before their folder, so that a page of the feed never leaves an orphan."""
    order = [item]
    for folder in order:
        if folder.is_folder:
            order.extend(tx.children(folder.item_id))
    for each in reversed(order):
        tx.bury(each, deleted_ns=now_ns)
    return len(order)
