"""Looking at what is in doubt, and at nothing else: paths told by a watcher, a folder that a request ran into."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.external.listing import Astray
from server_stub.external.looking import Certainty
from server_stub.external.reconcile import Outcomes
from server_stub.external.report import Report
from server_stub.external.walking import note_listed
from server_stub.names import is_path_of_drive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.external.doubts import Doubts, Names
    from server_stub.external.ending import Ending
    from server_stub.external.looking import Spot
    from server_stub.external.reconcile import Reconciler
    from server_stub.external.walking import Walker
    from server_stub.store import Ledger, Store, View
    from server_stub.values import Item

_PATHS_AT_ONCE: Final = 2_000  # looked at in one transaction


class Doubter:
    """Reconciles doubts."""

    def __init__(self, store: Store, reconciler: Reconciler, walker: Walker, ending: Ending) -> None:
        self._store = store
        self._reconciler = reconciler
        self._walker = walker
        self._ending = ending

    async def reconcile(self, doubts: Doubts) -> Report:
        """Bring the index in line where it is in doubt; what is missing there and under no other doubt has ended."""
        report = Report()
        total = Outcomes()
        told = (names for names in doubts.every() if is_path_of_drive(names))
        paths = sorted(told, key=lambda names: (len(names), names))
        waiting: dict[str, None] = {}
        while True:
            outcomes, paths = await self._round(paths, report)
            total.add(outcomes)
            waiting.update(dict.fromkeys(outcomes.waiting))
            if not (outcomes.told and paths):  # all ends were seen that can be
                settled = await self._ending.settle(list(waiting), Certainty.FOLDERS)
                settled = settled if settled.told else await self._ending.settle(list(waiting))
                report.note(settled)
                total.add(settled)
                if not settled.told or not (paths or settled.folders):
                    break
                await self._follow(settled.folders, total, report)
        report.told = [replace(each, actor=doubts.actors.get(each.names)) for each in total.told]
        return report.end()

    async def _round(self, paths: Sequence[Names], report: Report) -> tuple[Outcomes, list[Names]]:
        """Look at the paths and at folders that came to light; returns those that could not be reached, because a
        folder above them is in doubt itself.
        """
        total = Outcomes()
        blocked: list[Names] = []
        for start in range(0, len(paths), _PATHS_AT_ONCE):
            part = paths[start : start + _PATHS_AT_ONCE]
            outcomes, out_of_reach = await self._store.write(partial(self._look_at, part))
            report.items += len(part)
            report.note(outcomes)
            total.add(outcomes)
            blocked += out_of_reach
        await self._follow([*total.folders, *await self._store.read(partial(self._live_folders, paths))], total, report)
        return total, blocked

    async def _follow(self, folder_ids: Sequence[str], total: Outcomes, report: Report) -> None:
        """List folders, and those that come to light in them."""
        pending = list(dict.fromkeys(folder_ids))
        while pending:
            inner = Outcomes()
            await self._walker.visit(pending, report, due=False, into=inner)
            pending = inner.folders
            total.add(inner)

    def refresh(self, ledger: Ledger, names: Names) -> bool:
        """One folder, or the nearest one above it that is where the index has it. True: something is missing, and
        what became of it is not known.
        """
        folder, reached, blocked = self._walk_down(ledger, names)
        spots: list[Spot] = [] if blocked is None else [(folder.item_id, blocked)]
        differences = None
        try:
            differences = self._reconciler.lister.compare(ledger, folder, reached)
            spots += [(folder.item_id, name) for name in differences.names]
        except (OSError, Astray):
            if not spots:
                return False
        with ledger.transaction() as tx:
            outcomes = self._reconciler.look(tx, spots, Certainty.NAMES)
            if differences is not None:
                note_listed(tx, folder.item_id, differences.evidence)
        return bool(outcomes.waiting)

    def _look_at(self, paths: Sequence[Names], ledger: Ledger) -> tuple[Outcomes, list[Names]]:
        spots: dict[Spot, None] = {}
        out_of_reach: list[Names] = []
        for names in paths:
            if names:
                folder, reached, blocked = self._walk_down(ledger, names[:-1])
                spots[folder.item_id, names[len(reached)]] = None
                if blocked is not None:
                    out_of_reach.append(names)
        with ledger.transaction() as tx:
            return self._reconciler.look(tx, list(spots), Certainty.PARTIAL), out_of_reach

    def _live_folders(self, paths: Sequence[Names], view: View) -> list[str]:
        found = []
        for names in paths:
            folder, reached, _ = self._walk_down(view, names)
            if reached == names:
                found.append(folder.item_id)
        return found

    def _walk_down(self, view: View, names: Names) -> tuple[Item, Names, str | None]:
        """The deepest folder on the way that is where the index has it, its path, and the name that is in doubt
        itself because the way ends there; None when the way was gone to its end.
        """
        folder = view.item(view.root_id() or "")
        if folder is None:
            raise LookupError("the state has no root")
        for depth, name in enumerate(names):
            child = view.child(folder.item_id, name)
            if child is None or not child.is_folder or not self._is_there(child, names[: depth + 1]):
                return folder, names[:depth], name
            folder = child
        return folder, names, None

    def _is_there(self, folder: Item, names: Names) -> bool:
        try:
            with self._reconciler.tree.folder(names) as fd:
                return folder.evidence is not None and folder.evidence.ino == os.fstat(fd).st_ino
        except OSError:
            return False
