"""Which item a file is: decided from evidence alone. Pure.

`decide` looks at one name: the item that the index has there (the row), the file that lies there, and what is known
of both elsewhere. Files keep their item by inode and birth time; the mark tells copies, reused inodes and, when the
whole tree came to another disk, everything.

name in the index → on disk                        row          file there
-------------------------------------------------  -----------  ----------------------------------------------
same inode, same birth (edit, truncate, chmod)     STAYS        OWN
nothing there; its file not seen elsewhere yet     WAITS        nothing
nothing there; seen under another name             LEAVES       nothing (that name: MOVED)
nothing there, nowhere else                        ENDS         nothing
same inode, other birth or mark gone (reuse)       ENDS         a newcomer
another inode; the row's file not seen yet         WAITS        nothing yet
another inode; the row's file elsewhere (swap)     LEAVES       a newcomer
another inode; the row's file over another item    ENDS         a newcomer
another inode, the row's file is nowhere:
  file or symlink (save by rename-over)            CONTINUES    OWN: same item, new content; its former item ends
  folder with the row's mark, or never marked      CONTINUES    OWN
  folder without the mark, or another kind         ENDS         a newcomer
no row                                             nothing      a newcomer

newcomer                                           is
-------------------------------------------------  ----------------------------------------------
inode and birth of an item that left its place     MOVED (rename, move, of a file or a whole folder)
inode, birth and mark of an item that had ended    REVIVED (left the drive and came back, or was found late)
another inode than its mark's item (cp -a)         NEW
another name of a file that is still there (ln)    NEW: every name is an item; the recorded one keeps its own
anything else                                      NEW
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from server_stub.values import Kind

if TYPE_CHECKING:
    from server_stub.values import Item


@dataclass(frozen=True, slots=True)
class Seen:
    """What identifies a file on disk."""

    kind: Kind
    ino: int
    birth_ns: int = 0  # 0: not told
    mark: str | None = None


class Whereabouts(StrEnum):
    """Where the file of a row that is not at its place is."""

    UNKNOWN = "unknown"  # not everything was looked at yet
    NOWHERE = "nowhere"
    ELSEWHERE = "elsewhere"  # under a name that is free for it
    OVER_ANOTHER = "over_another"  # in place of another item, which goes on with this file as its content


class Fate(StrEnum):
    """What becomes of the row."""

    NONE = "none"
    STAYS = "stays"
    CONTINUES = "continues"
    LEAVES = "leaves"
    ENDS = "ends"
    WAITS = "waits"


class Arrival(StrEnum):
    """What the file that lies there is."""

    NONE = "none"
    OWN = "own"
    MOVED = "moved"
    REVIVED = "revived"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known about one name."""

    row: Item | None = None
    found: Seen | None = None
    whereabouts: Whereabouts = Whereabouts.UNKNOWN  # of the row's file, when it is not here
    owner: Item | None = None  # whose file this was, and that is not at its own place any more
    buried: Item | None = None  # the ended item that the file is marked with
    inodes_hold: bool = True  # False: the tree lies on another disk than the index remembers


def same_file(row: Item, found: Seen, *, inodes_hold: bool = True) -> bool:
    """Whether the file that lies at the row's own name is the one that the index remembers."""
    if row.kind is not found.kind or row.evidence is None:
        return False
    if not inodes_hold:
        return found.mark in {None, row.item_id}
    if row.evidence.ino != found.ino:
        return False
    if row.trace.birth_ns and found.birth_ns:
        return row.trace.birth_ns == found.birth_ns
    return found.mark == row.item_id or not row.trace.marked


def claims(row: Item, found: Seen, *, inodes_hold: bool = True) -> bool:
    """Whether a file under another name is the row's: a mark that was there must not have gone."""
    if not inodes_hold:
        return found.mark == row.item_id and found.kind is row.kind
    return same_file(row, found) and (found.mark is not None or not row.trace.marked)


def reused(row: Item, found: Seen, *, inodes_hold: bool = True) -> bool:
    """Whether the row's inode number belongs to another file by now: then the row's own is no more."""
    known = inodes_hold and row.evidence is not None and row.evidence.ino == found.ino
    return known and not same_file(row, found)


def continues(row: Item, found: Seen, owner: Item | None) -> bool:
    """Whether an item whose file is no more goes on with the file that took its name."""
    if row.kind is not found.kind:
        return False
    if row.kind is not Kind.FOLDER or found.mark == row.item_id:
        return True
    return not row.trace.marked and owner is None


def decide(case: Case) -> tuple[Fate, Arrival]:
    """What becomes of the row, and what the file is; see the table."""
    row, found = case.row, case.found
    if row is None:
        return Fate.NONE, _newcomer(case)
    if found is None:
        return _absent(case.whereabouts), Arrival.NONE
    if same_file(row, found, inodes_hold=case.inodes_hold):
        return Fate.STAYS, Arrival.OWN
    if reused(row, found, inodes_hold=case.inodes_hold):
        return Fate.ENDS, _newcomer(case)
    if case.whereabouts is Whereabouts.UNKNOWN:
        return Fate.WAITS, Arrival.NONE
    if case.whereabouts is Whereabouts.NOWHERE and continues(row, found, case.owner):
        return Fate.CONTINUES, Arrival.OWN
    fate = Fate.LEAVES if case.whereabouts is Whereabouts.ELSEWHERE else Fate.ENDS
    return fate, _newcomer(case)


def _absent(whereabouts: Whereabouts) -> Fate:
    match whereabouts:
        case Whereabouts.UNKNOWN:
            return Fate.WAITS
        case Whereabouts.ELSEWHERE:
            return Fate.LEAVES
        case Whereabouts.NOWHERE | Whereabouts.OVER_ANOTHER:
            return Fate.ENDS


def _newcomer(case: Case) -> Arrival:
    found = case.found
    if found is None:
        return Arrival.NONE
    if case.owner is not None:
        return Arrival.MOVED
    buried = case.buried
    if buried is not None and found.mark == buried.item_id and claims(buried, found, inodes_hold=True):
        return Arrival.REVIVED
    return Arrival.NEW
