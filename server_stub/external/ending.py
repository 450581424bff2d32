"""Deciding about what is missing when its file was looked for everywhere: it goes on, it went, or it has ended.

A removal of most of the drive is held until a person confirms it: so much goes by a disk that is not there more
often than by intention.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.external.identity import claims, continues
from server_stub.external.looking import Certainty, Terms
from server_stub.external.outcomes import Outcomes
from server_stub.external.settling import Settler
from server_stub.external.sight import Covered, Sight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.external.doubts import Names
    from server_stub.external.reconcile import Reconciler
    from server_stub.external.report import Report
    from server_stub.store import Store, View
    from server_stub.values import Item

log = logging.getLogger(__name__)

_BATCH: Final = 1_000
_HELD_MIN: Final = 50  # items; fewer are never held
_HELD_SHARE: Final = 0.5  # of all items


class Ending:
    """The last part of a walk."""

    def __init__(self, store: Store, reconciler: Reconciler) -> None:
        self._store = store
        self._reconciler = reconciler
        self._settler = Settler(store, reconciler)

    async def advance(self, report: Report, *, confirmed: bool) -> bool:
        """Decide about all that is missing, unless too much would go. First only about what lies where a folder was
        moved to, so that the folder can be listed: the rest may be in it. True: something became of something.
        """
        await self._hold(report, confirmed=confirmed)
        if await self._pass(report, Certainty.FOLDERS):
            return True
        if report.held:
            log.warning(
                "%d items are gone from the tree: most of the drive; confirm with --confirm-deletions", report.held
            )
        return await self._pass(report, Certainty.WHOLE)

    async def _hold(self, report: Report, *, confirmed: bool) -> None:
        report.held = 0 if confirmed else await self._store.read(self._too_many)

    async def _pass(self, report: Report, certainty: Certainty) -> bool:
        after, news = "", False
        terms = Terms(certainty=certainty, due=True)
        if certainty is Certainty.WHOLE:
            terms = replace(terms, elsewhere=await self._elsewhere())
        while missing := await self._store.read(partial(_missing, after)):
            spots = missing if not report.held else await self._store.read(partial(self._staying, missing))
            outcomes = await self._settle_items([item.item_id for item in spots], terms)
            outcomes.add(await self._settler.read(outcomes.unread, due=True))
            report.note(outcomes)
            news = news or bool(outcomes.told)
            after = missing[-1].item_id
        return news

    async def settle(self, item_ids: Sequence[str], certainty: Certainty = Certainty.WHOLE) -> Outcomes:
        """Decide about these; what is unread is left so."""
        total = Outcomes()
        terms = Terms(certainty=certainty, due=True)
        if certainty is Certainty.WHOLE:
            items = await self._store.read(lambda view: list(view.items(item_ids).values()))
            terms = replace(terms, elsewhere=await self._store.read(partial(self._inodes_unlisted, items)))
        for start in range(0, len(item_ids), _BATCH):
            total.add(await self._settle_items(item_ids[start : start + _BATCH], terms))
        return total

    async def _elsewhere(self) -> frozenset[int]:
        """Of all that is missing."""
        after, found = "", frozenset[int]()
        while missing := await self._store.read(partial(_missing, after)):
            found |= await self._store.read(partial(self._inodes_unlisted, missing))
            after = missing[-1].item_id
        return found

    def _inodes_unlisted(self, items: Sequence[Item], view: View) -> frozenset[int]:
        """What lies in folders that cannot be listed yet, because what is missing has their name. An item whose file is
        among it ends, to free its name, and is revived when the folder is listed.
        """
        found: set[int] = set()
        for item in items:
            if not item.is_folder and view.missing_ino(item.item_id) is not None:
                path = tuple(name for _, name in view.lineage(item.parent_id or "")[1:])
                found |= self._known_below((*path, item.name), view)
        return frozenset(found)

    def _known_below(self, names: Names, view: View) -> set[int]:
        """Inodes of known files below a folder, as far as it can be read; of anything else, none."""
        found: set[int] = set()
        pending = [names]
        while pending:
            path = pending.pop()
            with suppress(OSError), self._reconciler.tree.folder(path) as fd, os.scandir(fd) as entries:
                sight = Sight(fd, self._reconciler.lister.hidden)
                for entry in entries:
                    if any(self._is_file_of(row, sight, entry.name) for row in view.by_ino(entry.inode())):
                        found.add(entry.inode())
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((*path, entry.name))
        return found

    def _is_file_of(self, row: Item, sight: Sight, name: str) -> bool:
        try:
            found = sight.look_at(name)
        except Covered:
            return False
        return found is not None and claims(row, self._reconciler.eyes.identity(sight.fd, found))

    async def _settle_items(self, item_ids: Sequence[str], terms: Terms) -> Outcomes:
        if not item_ids:
            return Outcomes()
        items = await self._store.read(lambda view: view.items(item_ids).values())
        return await self._settler.look([(item.parent_id or "", item.name) for item in items], terms)

    def _too_many(self, view: View) -> int:
        """How many items would go, when that is most of the drive; else 0. On another disk also of a small one."""
        total, _ = view.counts()
        least = _HELD_MIN if self._reconciler.lister.inodes_hold else 0
        allowed = max(least, int(total * _HELD_SHARE))
        going, after = 0, ""
        while missing := view.missing(after, _BATCH):
            for item in missing:
                if not self._stays(item, view):
                    going += view.items_below(item.item_id, total)
            after = missing[-1].item_id
        return going if going > allowed else 0

    def _staying(self, items: Sequence[Item], view: View) -> list[Item]:
        return [item for item in items if self._stays(item, view)]

    def _stays(self, item: Item, view: View) -> bool:
        """Whether an item goes on with what has its name now; a folder takes all that is below it along."""
        found_ino = view.missing_ino(item.item_id)
        if found_ino is None or not item.is_folder:
            return found_ino is not None
        path = tuple(name for _, name in view.lineage(item.parent_id or "")[1:])
        owner = next(iter(view.by_ino(found_ino)), None)
        try:
            with self._reconciler.tree.folder(path) as fd:
                found = Sight(fd, self._reconciler.lister.hidden).look_at(item.name)
                return found is not None and continues(item, self._reconciler.eyes.identity(fd, found), owner)
        except (OSError, Covered):
            return True  # nothing is decided about what cannot be seen


def _missing(after: str, view: View) -> list[Item]:
    return view.missing(after, _BATCH)
