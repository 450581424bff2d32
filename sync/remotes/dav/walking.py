"""Brings the stored tree up to what the server holds: one folder at a time, or all that are known.

Only a listed folder is looked into: what nobody asked for yet is nobody's news. Something is gone only if a whole
listing of its folder lacks it, or the server reports so, no known thing turned up elsewhere instead, and a look at its
own address says so too; an error, a cut or an odd answer never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache.model import Kind
from sync.remote import Gone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cache.model import ItemId
    from sync.remotes.dav.facts import Entry, Facts
    from sync.remotes.dav.looking import Listed, Looker, Names
    from sync.remotes.dav.mirror import Mirror
    from sync.remotes.dav.positions import Positions
    from sync.remotes.dav.recognising import Recogniser
    from sync.remotes.dav.reporting import Report
    from sync.remotes.dav.touched import Touched

TURN = 200  # rows written before others have their turn
AT_ONCE = 6  # listings under way


class Walker:
    """One walk at a time; who asks meanwhile waits for one that begins after the asking."""

    def __init__(
        self, mirror: Mirror, looker: Looker, recogniser: Recogniser, touched: Touched, positions: Positions
    ) -> None:  # fmt: skip
        self._mirror = mirror
        self._looker = looker
        self._recogniser = recogniser
        self._touched = touched
        self._positions = positions
        self._turn = trio.Lock()
        self._missing: set[ItemId] = set()
        self.walked_s = 0.0  # how long the last one took

    async def walk(self) -> None:
        """Everything that is known; raises RemoteError."""
        async with self._turn:
            began_s = trio.current_time()
            self._missing = set()
            self._positions.begin()
            root = self._mirror.root()
            level = [] if root is None else [root]
            while level:
                level = await self._level(level)
            then = self._touched.now
            await self._settle_missing()
            if not (self._missing and self._touched.anything(then)):
                self._positions.keep()
            self._mirror.prune()
            self.walked_s = trio.current_time() - began_s

    async def _level(self, folders: list[Entry]) -> list[Entry]:
        """List these; the listed folders in them."""
        limiter = trio.CapacityLimiter(AT_ONCE)
        below: list[Entry] = []
        failures: list[Exception] = []

        async def one(folder: Entry) -> None:
            async with limiter:
                try:
                    below.extend(await self._into(folder))
                except Gone:
                    return  # its own folder's listing tells
                except Exception as error:  # noqa: BLE001 - the first is raised below, as itself
                    failures.append(error)
                    nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for folder in folders:
                if folder.listed:
                    nursery.start_soon(one, folder)
        if failures:
            raise failures[0]
        return below

    async def _into(self, folder: Entry) -> list[Entry]:
        names = self._mirror.names(folder.item_id)
        if names is None:
            return []
        again = await self._reported(folder, names)
        if again is None:
            await self._positions.before_listing(folder, names)
            await self.look_into(folder)
        elif self._positions.tells_all_below:
            return again
        else:
            self._positions.distrust(again)
        return [each for each in self._mirror.children(folder.item_id) if each.kind is Kind.FOLDER and each.listed]

    async def _reported(self, folder: Entry, names: Names) -> list[Entry] | None:
        """Take in what the server says changed since the last walk: the listed folders that it names, as others may
        stand there now. None: it does not say."""
        then = self._touched.now
        report = await self._positions.report(folder, names)
        if report is None:
            return None
        if self._mirror.names(folder.item_id) != names:
            raise Gone("it moved meanwhile")
        if await self._take_report(report, then) and not report.unclear:
            self._positions.read_to(folder, names, report.token)
        named = (self._mirror.at(at) for at, told in report.present.items() if told.kind is Kind.FOLDER)
        return [each for each in named if each is not None and each.listed]

    async def _take_report(self, report: Report, then: int) -> bool:
        """From the top down; False: something was left to the next one, as this machine is changing it."""
        whole = True
        rows, gone = report.by_folder()
        for above in sorted(rows.keys() | gone.keys(), key=len):
            folder = self._mirror.at(above)
            if folder is None or not folder.listed:
                continue  # nobody's news
            known = {each.name: each for each in self._mirror.children(folder.item_id)}
            await self._take_rows(folder, rows[above], known, gone[above] & known.keys(), then)
            whole = whole and not self._touched.inside(then, folder.item_id)
        return whole

    async def look_into(self, folder: Entry) -> set[str] | None:
        """Take in a listing of one folder: the names it lacks. None: it is known to be gone. Gone: it is not there."""
        names = self._mirror.names(folder.item_id)
        if names is None:
            return None
        then = self._touched.now
        listed = await self._looker.listing(names)
        if self._mirror.names(folder.item_id) != names:
            raise Gone("it moved meanwhile")
        return await self._take(folder, listed, then)

    async def _take(self, folder: Entry, listed: Listed, then: int) -> set[str]:
        known = {each.name: each for each in self._mirror.children(folder.item_id)}
        lacks = known.keys() - listed.children.keys() - listed.unclear
        lacks = await self._take_rows(folder, listed.children, known, lacks, then)
        own = self._mirror.get(folder.item_id)
        if own is not None and not own.gone:
            self._mirror.refresh(own, listed.own)
        if listed.unclear or self._touched.inside(then, folder.item_id):
            self._positions.forget(folder.item_id)
        return lacks

    async def _take_rows(
        self, folder: Entry, rows: dict[str, Facts], known: dict[str, Entry], lacks: set[str], then: int
    ) -> set[str]:
        """What is there, and what is not; returns of the latter what counts."""
        lacks = {name for name in lacks if not self._touched.since(then, (folder.item_id, name))}
        self._missing |= {known[name].item_id for name in lacks}
        told = list(rows.items())
        present = known.keys() - lacks
        for at in range(0, len(told), TURN):
            new = self._refresh(folder, dict(told[at : at + TURN]), then)
            for name, facts in new:
                await self._appeared(folder, name, facts, then, present)
            await trio.lowlevel.checkpoint()
        return lacks

    def _refresh(self, folder: Entry, told: dict[str, Facts], then: int) -> list[tuple[str, Facts]]:
        """Those that are known; returns the others."""
        new: list[tuple[str, Facts]] = []
        with self._mirror.writing():
            for name, facts in told.items():
                if self._touched.since(then, (folder.item_id, name)):
                    continue
                entry = self._mirror.child(folder.item_id, name)
                if entry is not None and _is_another(entry, facts):
                    if entry.native_id is None or entry.kind is not facts.kind:
                        self._mirror.bury(entry)
                    else:
                        self._set_aside(entry)
                    entry = None
                if entry is None:
                    new.append((name, facts))
                else:
                    self._mirror.refresh(entry, facts)
        return new

    def _set_aside(self, entry: Entry) -> None:
        """What had the name is somewhere else now, or gone: found out before the walk ends."""
        self._mirror.note(entry, name=f"/{entry.item_id}")  # no server tells such a name
        self._missing.add(entry.item_id)

    async def _appeared(self, folder: Entry, name: str, told: Facts, then: int, present: Iterable[str]) -> None:
        entry = await self._recogniser.known_as(folder.item_id, name, told, self._missing, set(present))
        if self._touched.since(then, (folder.item_id, name)) or self._mirror.child(folder.item_id, name) is not None:
            return
        with self._mirror.writing():
            if entry is None:
                self._mirror.add(folder.item_id, name, told)
                return
            self._missing.discard(entry.item_id)
            moved = self._mirror.change(entry, parent_id=folder.item_id, name=name, gone=False)
            self._mirror.refresh(moved, told)

    async def _settle_missing(self) -> None:
        for item_id in self._missing:
            entry = self._mirror.get(item_id)
            if entry is not None and not entry.gone:
                await self.confirm(entry)

    async def confirm(self, entry: Entry) -> Entry | None:
        """Look at one address; what is not there is gone. Returns what is."""
        names = self._mirror.names(entry.item_id)
        if names is None or entry.parent_id is None:
            return None if names is None else entry
        then = self._touched.now
        told = None
        if not entry.name.startswith("/"):
            told = await self._looker.look(names, folder=entry.kind is Kind.FOLDER)
        now = self._mirror.get(entry.item_id)
        if now is None or now.gone:
            return None
        moved = (now.parent_id, now.name) != (entry.parent_id, entry.name)
        if moved or self._touched.since(then, (entry.parent_id, entry.name)):
            return now
        if told is None or _is_another(now, told):
            self._mirror.bury(now)
            return None
        return self._mirror.refresh(now, told)


def _is_another(entry: Entry, told: Facts) -> bool:
    """Whether something else stands where a known thing stood."""
    if entry.kind is not told.kind:
        return True
    return entry.native_id is not None and told.native_id is not None and entry.native_id != told.native_id
