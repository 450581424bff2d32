"""What somebody does on the server itself, in the model: edits, moves and deletions that no client asked for, and a
restore from a backup.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING

from cache.model import Item, Kind
from sync.remote import Conflict, QuotaFull
from tests.model.ground import NAMES
from tests.model.traits import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fakes.drive import FakeDrive
    from tests.model.ledger import Ledger

KINDS = ("create", "mkdir", "overwrite", "move", "delete", "retype", "expire", "label", "chmod")
BACKED_UP = ("items", "tombstones", "names", "seqs", "seq", "floor", "_answers")


class ServerSide:
    """Changes the drive directly; `picks` choose as in `Program`."""

    def __init__(self, drive: FakeDrive, ledger: Ledger, names: Sequence[str] = NAMES) -> None:
        self._drive, self._ledger, self._names = drive, ledger, names
        self._backup = self._copied()

    def run(self, kind: str, picks: Iterator[int]) -> None:
        """One change by its name."""
        with suppress(QuotaFull):
            getattr(self, f"_{kind}")(picks)

    def _create(self, picks: Iterator[int]) -> None:
        folder, name = self._folder(picks), self._name(picks)
        if self._drive.child(folder.item_id, name) is None:
            data = self._ledger.fresh()
            self._drive.create(folder.item_id, name, Kind.FILE, mode=0o644, mtime_ns=7, data=data)
            self._ledger.replaced(None, data)

    def _mkdir(self, picks: Iterator[int]) -> None:
        folder, name = self._folder(picks), self._name(picks)
        if self._drive.child(folder.item_id, name) is None:
            self._drive.create(folder.item_id, name, Kind.FOLDER, mode=0o755, mtime_ns=7)

    def _overwrite(self, picks: Iterator[int]) -> None:
        item = self._file(picks)
        if item is not None and item.content_version is not None:
            data = self._ledger.fresh()
            before = self._drive.content(item.item_id, item.content_version)
            self._drive.overwrite(item.item_id, item.content_version, data, mode=0o644, mtime_ns=8)
            self._ledger.replaced(before, data)

    def _move(self, picks: Iterator[int]) -> None:
        item, folder, name = self._any(picks), self._folder(picks), self._name(picks)
        if item is not None:
            try:
                self._drive.move(item.item_id, item.metadata_version, folder.item_id, name, None)
            except Conflict:
                return  # the name is taken, or a cycle

    def _delete(self, picks: Iterator[int]) -> None:
        item = self._any(picks)
        if item is not None:
            self._bury(item)

    def _retype(self, picks: Iterator[int]) -> None:
        """A folder where a file was, or a file where a folder was."""
        item = self._any(picks)
        if item is None or item.parent_id is None:
            return
        self._bury(item)
        if item.kind is Kind.FOLDER:
            data = self._ledger.fresh()
            self._drive.create(item.parent_id, item.name, Kind.FILE, mode=0o644, mtime_ns=7, data=data)
            self._ledger.replaced(None, data)
        else:
            self._drive.create(item.parent_id, item.name, Kind.FOLDER, mode=0o755, mtime_ns=7)

    def _label(self, picks: Iterator[int]) -> None:
        item = self._any(picks)
        if item is not None and item.kind is not Kind.SYMLINK:
            value = self._ledger.fresh() if next(picks) % 3 else None
            name = ATTRIBUTES[next(picks) % len(ATTRIBUTES)]
            self._drive.set_xattrs(item.item_id, item.metadata_version, ((name, value),))

    def _chmod(self, picks: Iterator[int]) -> None:
        item = self._any(picks)
        if item is not None and item.kind is not Kind.SYMLINK:
            mode = (0o600, 0o640, 0o755)[next(picks) % 3]
            self._drive.set_attributes(item.item_id, item.metadata_version, mode=mode, mtime_ns=item.mtime_ns)

    def _expire(self, _picks: Iterator[int]) -> None:
        self._drive.expire_anchors()

    def back_up(self) -> None:
        """Keep the drive as it is; contents are kept for ever anyway."""
        self._backup = self._copied()

    def restore(self) -> None:
        """The drive is as it was at the last backup; as an administrator has to, its feed begins anew."""
        for name, value in self._backup.items():
            setattr(self._drive, name, value)
        self._backup = self._copied()
        self._drive.begin_epoch()
        self._drive.pulse()

    def _copied(self) -> dict[str, object]:
        held = {name: copy.copy(getattr(self._drive, name)) for name in BACKED_UP}
        held["names"] = {folder: dict(names) for folder, names in self._drive.names.items()}
        return held

    def _bury(self, item: Item) -> None:
        if item.kind is Kind.FOLDER:
            for child in self._drive.children(item.item_id):
                self._bury(child)
        elif item.kind is Kind.FILE and item.content_version is not None:
            self._ledger.replaced(self._drive.content(item.item_id, item.content_version))
        self._drive.bury(self._drive.item(item.item_id))

    def _any(self, picks: Iterator[int]) -> Item | None:
        found = [item for item in self._drive.items.values() if item.parent_id is not None]
        return found[next(picks) % len(found)] if found else None

    def _file(self, picks: Iterator[int]) -> Item | None:
        found = [item for item in self._drive.items.values() if item.kind is Kind.FILE]
        return found[next(picks) % len(found)] if found else None

    def _folder(self, picks: Iterator[int]) -> Item:
        found = [item for item in self._drive.items.values() if item.kind is Kind.FOLDER]
        return found[next(picks) % len(found)]

    def _name(self, picks: Iterator[int]) -> str:
        return self._names[next(picks) % len(self._names)]
