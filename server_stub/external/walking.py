"""Walking folders: each is compared on a reader's thread, and only names that differ are looked at and written on
the writer's, many folders in one transaction.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.external.listing import Astray, Differences
from server_stub.external.looking import Certainty, Terms
from server_stub.external.outcomes import Outcomes
from server_stub.external.settling import Settler
from server_stub.instants import NANOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from server_stub.external.reconcile import Reconciler
    from server_stub.external.report import Report
    from server_stub.store import Ledger, Store, Tx, View
    from server_stub.values import Evidence

log = logging.getLogger(__name__)

_LOOK_MAX: Final = 5_000  # names in one transaction
_TURN_S: Final = 0.1  # that a reader's thread compares before others have their turn
_RECENT_NS: Final = 50_000_000  # a folder that changed so shortly before it was listed may change without its times
_RECENT_COARSE_NS: Final = 2_100_000_000  # the same where times are whole seconds: ext4 with small inodes, FAT


@dataclass(frozen=True, slots=True)
class _Compared:
    """One folder, by the reader."""

    folder_id: str
    differences: Differences | None  # None: it is not where the index has it


class Walker:
    """Visits folders by id."""

    def __init__(self, store: Store, reconciler: Reconciler) -> None:
        self._store = store
        self._reconciler = reconciler
        self._settler = Settler(store, reconciler)
        self._unreadable: set[str] = set()  # folders, each told once

    async def visit(
        self,
        folder_ids: Sequence[str],
        report: Report,
        *,
        due: bool,
        quick: bool = False,
        into: Outcomes | None = None,
    ) -> int:
        """Bring the names in these folders in line; what is missing is noted, not removed. Returns how many folders
        came to light that are not listed yet. `into` gathers what was found, and what is yet to be read.
        """
        at, arrived = 0, 0
        while at < len(folder_ids):
            compared, at = await self._store.read(partial(self._compare, folder_ids, at, report, quick))
            if compared:
                outcomes = await self._write(compared, due=due)
                if into is None:
                    outcomes.add(await self._settler.read(outcomes.unread, due=due))
                report.note(outcomes)
                arrived += len(outcomes.folders)
                if into is not None:
                    into.add(outcomes)
        return arrived

    def _compare(
        self, folder_ids: Sequence[str], at: int, report: Report, quick: bool, view: View
    ) -> tuple[list[_Compared], int]:
        """Folders from `at` on that were listed, until there is enough for one transaction; and where to go on."""
        compared: list[_Compared] = []
        names = 0
        until = time.monotonic() + _TURN_S
        while at < len(folder_ids) and names < _LOOK_MAX and time.monotonic() < until:
            found = self._compare_one(folder_ids[at], report, quick, view)
            if found is not None:
                compared.append(found)
                names += 0 if found.differences is None else len(found.differences.names)
            at += 1
        return compared, at

    def _compare_one(self, folder_id: str, report: Report, quick: bool, view: View) -> _Compared | None:
        folder = view.item(folder_id)
        if folder is None:
            return None
        names = tuple(name for _, name in view.lineage(folder_id)[1:])
        lister = self._reconciler.lister
        try:
            if quick and lister.unchanged(folder, names):
                report.folders += 1
                report.unchanged += 1
                return None
            differences = lister.compare(view, folder, names)
        except (Astray, FileNotFoundError, NotADirectoryError):
            return _Compared(folder_id, None)  # or something above it: found from there
        except OSError as error:
            self._complain(folder_id, report, error)
            return None
        report.folders += 1
        report.items += differences.seen
        report.left_out += differences.left_out
        return _Compared(folder_id, differences)

    def _complain(self, folder_id: str, report: Report, error: OSError) -> None:
        if folder_id not in self._unreadable:
            self._unreadable.add(folder_id)
            log.warning("a folder is left as it is: %s", error)
        report.unreadable += 1

    async def _write(self, compared: list[_Compared], *, due: bool) -> Outcomes:
        """One turn of the writer for each part, so that others have theirs between."""
        total = Outcomes()
        astray = [each.folder_id for each in compared if each.differences is None]
        if astray:
            await self._store.write(partial(_note_unlisted, astray))
        for part in _parts(compared):
            spots = [(folder_id, name) for folder_id, differences in part for name in differences.names]
            terms = Terms(certainty=Certainty.PARTIAL, due=due)
            total.add(await self._settler.look(spots, terms, partial(_note_part, part)))
        return total


def _note_part(part: list[tuple[str, Differences]], tx: Tx, outcomes: Outcomes) -> None:
    """These folders are listed; not those in which a file is yet to be read."""
    unread = {folder_id for folder_id, _ in outcomes.unread}
    for folder_id, differences in part:
        if folder_id not in unread:
            note_listed(tx, folder_id, differences.evidence)


def _parts(compared: list[_Compared]) -> Iterator[list[tuple[str, Differences]]]:
    """Folders together, so that a look sees both ends of many moves; a very large folder in several."""
    part: list[tuple[str, Differences]] = []
    size = 0
    for each in compared:
        if each.differences is None:
            continue
        names = each.differences.names
        while len(names) > _LOOK_MAX:
            yield [(each.folder_id, Differences(names=names[:_LOOK_MAX]))]
            names = names[_LOOK_MAX:]
        part.append((each.folder_id, Differences(names=names, evidence=each.differences.evidence)))
        size += len(names)
        if size >= _LOOK_MAX:
            yield part
            part, size = [], 0
    if part:
        yield part


def _note_unlisted(folder_ids: list[str], ledger: Ledger) -> None:
    """Folders that were not found where the index has them are listed when they are somewhere again."""
    with ledger.transaction() as tx:
        for folder in tx.items(folder_ids).values():
            if folder.trace.listed and folder.evidence is not None:
                tx.note_disk(folder.item_id, folder.evidence, msgspec.structs.replace(folder.trace, listed=False))


def note_listed(tx: Tx, folder_id: str, evidence: Evidence | None) -> None:
    """The names are in line as of this evidence; not when the folder changed too shortly before it was listed."""
    folder = tx.item(folder_id)
    if evidence is None or folder is None or folder.evidence is None:
        return
    recent_ns = _RECENT_NS if evidence.mtime_ns % NANOS else _RECENT_COARSE_NS
    if time.time_ns() - evidence.mtime_ns < recent_ns:
        evidence = msgspec.structs.replace(evidence, ctime_ns=0)
    if evidence != folder.evidence or not folder.trace.listed:
        tx.note_disk(folder.item_id, evidence, msgspec.structs.replace(folder.trace, listed=True))
