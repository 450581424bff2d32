"""Looking at many names together and deciding about each: what lies there, whose it is, what becomes of the rows.

Names are looked at together because a move has two ends: what is missing under one name may be what is new under
another. How much may be decided depends on how much was looked at (`Certainty`); what waits is noted as missing,
with the inode that lies there instead, so that a later look finds the other end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from server_stub.external.contents import unread
from server_stub.external.identity import Arrival, Case, Fate, Seen, Whereabouts, claims, continues, decide, reused
from server_stub.external.identity import same_file as is_same_file
from server_stub.external.sight import Covered, Sight
from server_stub.values import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from server_stub.external.contents import Known
    from server_stub.external.doubts import Names
    from server_stub.external.sight import Eyes, Found
    from server_stub.store import View
    from server_stub.tree import Tree
    from server_stub.values import Item

Spot = tuple[str, str]  # a folder's item_id, and a name in it


class Certainty(StrEnum):
    """What is known about the files that were not seen in this look."""

    PARTIAL = "partial"  # nothing: more names will be looked at
    FOLDERS = "folders"  # only what keeps a folder from being listed where it lies now is decided about
    NAMES = "names"  # somebody waits for an answer: a name that was taken over is decided about, a missing one waits
    WHOLE = "whole"  # they are nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is known when names are looked at, and so what may be decided."""

    certainty: Certainty
    due: bool = False  # what is missing is for the walk to decide about that runs now
    known: Known = unread
    elsewhere: Collection[int] = frozenset()  # inodes that were seen where a look cannot take them from yet


@dataclass(slots=True, eq=False)
class Entry:
    """One name: what the index and the tree have there, and the decision."""

    folder: Item
    path: Names  # of the folder
    name: str
    row: Item | None
    found: Found | None
    seen: Seen | None
    whereabouts: Whereabouts | None = None
    owner: Item | None = None
    fate: Fate = Fate.NONE
    arrival: Arrival = Arrival.NONE

    @property
    def names(self) -> Names:
        """The whole path."""
        return (*self.path, self.name)


class Look:
    """One look, inside one transaction of the writer."""

    def __init__(
        self,
        view: View,
        tree: Tree,
        eyes: Eyes,
        terms: Terms,
        *,
        hidden: frozenset[tuple[int, int]],
        inodes_hold: bool = True,
    ) -> None:
        self._view = view
        self._tree = tree
        self._eyes = eyes
        self._hidden = hidden
        self._certainty = terms.certainty
        self._inodes_hold = inodes_hold
        self._elsewhere = terms.elsewhere
        self._entries: dict[Spot, Entry] = {}
        self._by_ino: dict[int, list[Entry]] = {}  # entries whose file is not their row's
        self.unreadable = 0

    def take(self, spots: Iterable[Spot]) -> list[Entry]:
        """Look at the names, and at those that hold what is missing there; decide; the topmost come first."""
        pending = self._collect(spots)
        while self._certainty is not Certainty.PARTIAL and pending:
            pending = self._collect(self._other_ends(pending))
        entries = sorted(self._entries.values(), key=lambda entry: (len(entry.path), entry.path))
        for entry in entries:
            self._trace(entry)
        claimed: set[str] = set()
        for entry in entries:
            self._decide(entry, claimed)
        for entry in entries:
            if entry.fate is Fate.LEAVES and entry.row is not None and entry.row.item_id not in claimed:
                entry.fate = Fate.ENDS  # several links of one file, another of them has it; or it will be revived
        return entries

    def _collect(self, spots: Iterable[Spot]) -> list[Entry]:
        """Read what lies at the spots; folders that are not where the index has them are left for later."""
        wanted: dict[str, list[str]] = {}
        for folder_id, name in spots:
            if (folder_id, name) not in self._entries:
                wanted.setdefault(folder_id, []).append(name)
        added: list[Entry] = []
        for folder_id, names in wanted.items():
            added += self._read(folder_id, names)
        for entry in added:
            self._entries[entry.folder.item_id, entry.name] = entry
            if entry.seen is not None and not self._at_home(entry):
                self._by_ino.setdefault(entry.seen.ino, []).append(entry)
        return added

    def _read(self, folder_id: str, names: list[str]) -> list[Entry]:
        lineage = self._view.lineage(folder_id)
        folder = self._view.item(folder_id)
        if folder is None:
            return []
        path = tuple(name for _, name in lineage[1:])
        try:
            with self._tree.folder(path) as fd:
                sight = Sight(fd, self._hidden)
                if not self._is_at(folder, fd):
                    return []
                entries = [self._entry(sight, folder, path, name) for name in dict.fromkeys(names)]
                return [entry for entry in entries if entry is not None]
        except OSError:
            self.unreadable += 1
            return []

    def _is_at(self, folder: Item, fd: int) -> bool:
        """Whether an open folder is the one that the index means: else its names are another folder's."""
        known = self._inodes_hold and folder.parent_id is not None and folder.evidence is not None
        return not known or self._eyes.is_folder_of(folder, fd)

    def _entry(self, sight: Sight, folder: Item, path: Names, name: str) -> Entry | None:
        try:
            found = sight.look_at(name)
        except Covered:
            return None
        row = self._view.child(folder.item_id, name)
        seen = None if found is None else self._eyes.identity(sight.fd, found)
        return Entry(folder, path, name, row, found, seen)

    def _at_home(self, entry: Entry) -> bool:
        row, seen = entry.row, entry.seen
        return row is not None and seen is not None and is_same_file(row, seen, inodes_hold=self._inodes_hold)

    def _other_ends(self, entries: list[Entry]) -> set[Spot]:
        """Where the files of rows that are not at their place were found before."""
        spots: set[Spot] = set()
        for entry in entries:
            if entry.row is None or entry.row.evidence is None or self._at_home(entry):
                continue
            for other in self._view.missing_where(entry.row.evidence.ino):
                spots.add((other.parent_id or "", other.name))
        return spots - self._entries.keys()

    def _seen_at(self, row: Item) -> Entry | None:
        """The entry that holds the row's file under another name."""
        if row.evidence is None or not self._inodes_hold:
            return None
        others = self._by_ino.get(row.evidence.ino, ())
        return next((each for each in others if each.seen is not None and claims(row, each.seen)), None)

    def _trace(self, entry: Entry) -> None:
        """Where the row's file is: along the chain of rows whose files lie in each other's places, to its end."""
        chain: list[Entry] = []
        while entry.row is not None and entry.whereabouts is None and not self._at_home(entry):
            other = self._seen_at(entry.row)
            if other is None:
                entry.whereabouts = self._unseen(entry)
                break
            entry.whereabouts = Whereabouts.ELSEWHERE  # what it is for all members when the chain is a circle
            chain.append(entry)
            entry = other
        for before in reversed(chain):
            before.whereabouts = self._behind(before, entry)
            entry = before

    def _behind(self, before: Entry, after: Entry) -> Whereabouts:
        """Whereabouts of a row whose file lies at the entry `after`."""
        row, found = after.row, after.seen
        if row is None or found is None or reused(row, found, inodes_hold=self._inodes_hold):
            return Whereabouts.ELSEWHERE
        if after.whereabouts is Whereabouts.UNKNOWN:
            return Whereabouts.UNKNOWN
        if after.whereabouts is Whereabouts.NOWHERE and continues(row, found, before.row):
            return Whereabouts.OVER_ANOTHER
        return Whereabouts.ELSEWHERE

    def _unseen(self, entry: Entry) -> Whereabouts:
        decided = self._certainty is Certainty.WHOLE
        if self._certainty is Certainty.NAMES:
            decided = entry.found is not None
        if self._certainty is Certainty.FOLDERS:
            decided = entry.found is not None and entry.found.kind is Kind.FOLDER
        if not decided:
            return Whereabouts.UNKNOWN
        evidence = None if entry.row is None else entry.row.evidence
        seen = evidence is not None and evidence.ino in self._elsewhere
        return Whereabouts.ELSEWHERE if seen else Whereabouts.NOWHERE

    def _decide(self, entry: Entry, claimed: set[str]) -> None:
        seen = entry.seen
        buried = None
        if seen is not None and not self._at_home(entry):
            entry.owner = self._owner(entry, seen, claimed)
            tombstone = self._view.tombstone(seen.mark) if seen.mark and entry.owner is None else None
            buried = None if tombstone is None else tombstone.item
        case = Case(
            row=entry.row,
            found=seen,
            whereabouts=entry.whereabouts or Whereabouts.UNKNOWN,
            owner=entry.owner,
            buried=buried if self._inodes_hold else None,
            inodes_hold=self._inodes_hold,
        )
        entry.fate, entry.arrival = decide(case)
        if entry.arrival is Arrival.MOVED and entry.owner is not None:
            claimed.add(entry.owner.item_id)
        if entry.arrival is Arrival.REVIVED and buried is not None:
            entry.owner = buried

    def _owner(self, entry: Entry, seen: Seen, claimed: set[str]) -> Item | None:
        """The item whose file this was, when it is not at its own place any more."""
        candidates = self._view.by_ino(seen.ino) if self._inodes_hold else []
        if not self._inodes_hold and seen.mark is not None:
            named = self._view.item(seen.mark)
            candidates = [] if named is None else [named]
        above = {item_id for item_id, _ in self._view.lineage(entry.folder.item_id)} if candidates else set()
        for each in candidates:
            free = each.item_id not in claimed and each.item_id not in above
            if free and claims(each, seen, inodes_hold=self._inodes_hold) and self._vacated(each):
                return each
        return None

    def _vacated(self, item: Item) -> bool:
        """Whether the item's own place does not hold its file."""
        here = self._entries.get((item.parent_id or "", item.name))
        if here is not None:
            return here.row is None or here.row.item_id != item.item_id or not self._at_home(here)
        path = tuple(name for _, name in self._view.lineage(item.parent_id or "")[1:])
        try:
            with self._tree.folder(path) as fd:
                sight = Sight(fd, self._hidden)
                found = sight.look_at(item.name)
                seen = None if found is None else self._eyes.identity(fd, found)
        except (OSError, Covered):
            return True
        return seen is None or not is_same_file(item, seen, inodes_hold=self._inodes_hold)
