"""Looking at what is in doubt, and at nothing else: paths told by a watcher, a folder that a request ran into."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.external.listing import Astray
from server_stub.external.looking import Certainty, Terms
from server_stub.external.outcomes import Outcomes
from server_stub.external.report import Report
from server_stub.external.settling import Settler
from server_stub.external.walking import note_listed
from server_stub.names import is_path_of_drive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server_stub.external.doubts import Doubts, Names
    from server_stub.external.ending import Ending
    from server_stub.external.looking import Spot
    from server_stub.external.reconcile import Reconciler
    from server_stub.external.walking import Walker
    from server_stub.store import Ledger, Store, View
    from server_stub.values import Item

_PATHS_AT_ONCE: Final = 2_000  # looked at in one transaction
_ROUNDS_MAX: Final = 200  # more than folders are nested; a file that goes on changing tells something in each


@dataclass(slots=True)
class _Places:
    """Where paths lead to."""

    spots: dict[Spot, None] = field(default_factory=dict)  # to be looked at
    reached: list[Spot] = field(default_factory=list)  # those whose way is as the index has it
    blocked: list[Names] = field(default_factory=list)  # paths with a folder above them that is in doubt itself
    strays: dict[Spot, None] = field(default_factory=dict)  # what they meant if such a folder has moved since

    def add(self, other: _Places) -> None:
        self.spots |= other.spots
        self.reached += other.reached
        self.blocked += other.blocked
        self.strays |= other.strays


class Doubter:
    """Reconciles doubts."""

    def __init__(self, store: Store, reconciler: Reconciler, walker: Walker, ending: Ending) -> None:
        self._store = store
        self._reconciler = reconciler
        self._walker = walker
        self._ending = ending
        self._settler = Settler(store, reconciler)
        self._unread: dict[Spot, Certainty] = {}  # that requests ran into

    async def reconcile(self, doubts: Doubts) -> Report:
        """Bring the index in line where it is in doubt; what is missing there and under no other doubt has ended."""
        report = Report()
        total = Outcomes()
        told = (names for names in doubts.every() if is_path_of_drive(names))
        paths = sorted(told, key=lambda names: (len(names), names))
        waiting: dict[str, None] = {}
        strays: dict[Spot, None] = {}
        met: dict[Spot, None] = {}
        for _ in range(_ROUNDS_MAX):
            places = await self._places(paths)
            met |= places.spots
            outcomes = await self._look_at(list(places.spots), places.reached, report)
            paths, strays = places.blocked, strays | places.strays
            if strays and not (outcomes.told and paths):  # what lay above them may have been found by now
                outcomes.add(await self._look_at(list(strays), list(strays), report))
            total.add(outcomes)
            waiting.update(dict.fromkeys(outcomes.waiting))
            if not (outcomes.told and paths):  # all ends were seen that can be
                certainty, settled = await self._settle(list(waiting))
                report.note(settled)
                total.add(settled)
                for each in settled.told:
                    waiting.pop(each.item_id, None)
                may_go_on = settled.told and (paths or strays or settled.folders)
                if certainty is Certainty.WHOLE and not may_go_on:
                    break
                await self._follow(settled.folders, total, report)
        await self._follow(await self._store.read(partial(_unlisted_at, list(met))), total, report)
        report.unread = total.unread
        report.told = [replace(each, actor=doubts.actors.get(each.names)) for each in total.told]
        return report.end()

    async def _settle(self, waiting: Sequence[str]) -> tuple[Certainty, Outcomes]:
        """Decide about what is missing: as little as tells something, and all of it when that is nothing."""
        settled = await self._ending.settle(waiting, Certainty.FOLDERS)
        if settled.told:
            return Certainty.FOLDERS, settled
        return Certainty.WHOLE, await self._ending.settle(waiting)

    async def _places(self, paths: Sequence[Names]) -> _Places:
        """All of them before anything is told, because by that they may come to lie elsewhere."""
        total = _Places()
        for start in range(0, len(paths), _PATHS_AT_ONCE):
            total.add(await self._store.read(partial(self._find, paths[start : start + _PATHS_AT_ONCE])))
        return total

    async def _look_at(self, spots: Sequence[Spot], folders: Sequence[Spot], report: Report) -> Outcomes:
        """Look at the spots, at the entries of `folders`, and at folders that came to light."""
        total = Outcomes()
        for start in range(0, len(spots), _PATHS_AT_ONCE):
            part = spots[start : start + _PATHS_AT_ONCE]
            outcomes = await self._settler.look(part, Terms(certainty=Certainty.PARTIAL))
            report.items += len(part)
            report.note(outcomes)
            total.add(outcomes)
        await self._follow([*total.folders, *await self._store.read(partial(_folders_at, folders))], total, report)
        return total

    async def _follow(self, folder_ids: Sequence[str], total: Outcomes, report: Report) -> None:
        """List folders, and those that come to light in them."""
        pending = list(dict.fromkeys(folder_ids))
        while pending:
            inner = Outcomes()
            await self._walker.visit(pending, report, due=False, into=inner)
            pending = inner.folders
            total.add(inner)

    def refresh(self, ledger: Ledger, names: Names) -> bool:
        """One folder, or the nearest one above it that is where the index has it. True: what became of something is
        not known, because it is missing, or because it has to be read, or because too much ends there for one turn.
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
            outcomes = self._reconciler.look(tx, spots, Terms(certainty=Certainty.NAMES))
            if differences is not None and outcomes.is_complete:
                note_listed(tx, folder.item_id, differences.evidence)
        self._unread.update(outcomes.unread)  # on the writer's thread, taken on the loop's: one step each
        return bool(outcomes.waiting) or not outcomes.is_complete

    async def read(self, spots: Mapping[Spot, Certainty]) -> Report:
        """Settle what a look has left unread."""
        report = Report()
        outcomes = await self._settler.read(spots)
        report.note(outcomes)
        report.told = outcomes.told
        return report.end()

    async def read_for_requests(self) -> bool:
        """Settle what `refresh` has left unread since the last time. False: there was nothing."""
        spots = {spot: self._unread.pop(spot) for spot in list(self._unread)}
        await self._settler.read(spots)
        return bool(spots)

    def _find(self, paths: Sequence[Names], view: View) -> _Places:
        places = _Places()
        for names in paths:
            if not names:
                places.reached.append((view.root_id() or "", ""))
                continue
            folder, reached, blocked = self._walk_down(view, names[:-1])
            spot = (folder.item_id, names[len(reached)])
            places.spots[spot] = None
            if blocked is None:
                places.reached.append(spot)
                continue
            places.blocked.append(names)
            known = _folder_by_index(view, names[:-1])
            if known is not None:
                places.strays[known, names[-1]] = None
        return places

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
                return self._reconciler.eyes.is_folder_of(folder, fd)
        except OSError:
            return False


def _folder_by_index(view: View, names: Names) -> str | None:
    """Which folder had this path when row and tree last agreed."""
    folder_id = view.root_id() or ""
    for name in names:
        child = view.child(folder_id, name)
        if child is None or not child.is_folder:
            return None
        folder_id = child.item_id
    return folder_id


def _folders_at(spots: Sequence[Spot], view: View) -> list[str]:
    """Those of the spots at which a folder is; the name of the root is nothing."""
    items = (view.child(*spot) if spot[1] else view.item(spot[0]) for spot in spots)
    return [item.item_id for item in items if item is not None and item.is_folder]


def _unlisted_at(spots: Sequence[Spot], view: View) -> list[str]:
    """Folders at the spots that nobody looked into: a request found them, between two steps of this look."""
    items = (view.child(*spot) for spot in spots)
    return [item.item_id for item in items if item is not None and item.is_folder and not item.trace.listed]
