"""The three-way merge of one item, aspect by aspect. Pure: facts in, decision out.

local change pending | remote since its base        | decision
---------------------+------------------------------+------------------------------------------------
none                 | anything                     | TAKE   the remote's state
content              | other content                | KEEP   the race is settled when it is pushed
place                | same place as ours           | AGREED the change is void
place, answer lost   | not moved                    | KEEP   moved back here; the move may yet be told
place, answer lost   | where we sent it             | KEEP   it is our own echo; moved on here since
place                | moved or renamed elsewhere   | YIELD  the server's place wins, noted in activity
place                | not moved                    | KEEP
mode, mtime          | anything                     | KEEP   both apply, ours last
remove               | other content                | the edit wins: the removal is void (`removal_stands`)

Where both sides claim one name or one content, `verdict` says who keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

from cache.model import Aspect, Item, Kind, LocalChange

if TYPE_CHECKING:
    from collections.abc import Mapping


class Decision(Enum):
    """What to do about one aspect of an item that the remote told of."""

    TAKE = auto()  # show the remote's state
    KEEP = auto()  # the local change stays and will be pushed
    AGREED = auto()  # both sides came to the same: the local change is void
    YIELD = auto()  # the remote's state wins over a pending local change


@dataclass(frozen=True, slots=True)
class Merge:
    """The decision for each aspect."""

    place: Decision
    content: Decision
    attributes: Decision


def merge(
    told: Item, pending: Mapping[Aspect, LocalChange], *, same_place: bool, moved: bool = True, ours: bool = False
) -> Merge:
    """Decide about an item that has a node here; `same_place`: the node already is where the remote says; `moved`: the
    remote says another place than before; `ours`: a move that was sent from here may have put it there."""
    return Merge(
        place=_place(told, pending.get(Aspect.PLACE), same_place=same_place, moved=moved, ours=ours),
        content=Decision.KEEP if Aspect.CONTENT in pending else Decision.TAKE,
        attributes=Decision.KEEP if {Aspect.ATTRIBUTES, Aspect.CONTENT} & pending.keys() else Decision.TAKE,
    )


def _place(told: Item, change: LocalChange | None, *, same_place: bool, moved: bool, ours: bool) -> Decision:
    if change is None:
        return Decision.TAKE
    if same_place and (moved or not change.in_doubt):
        return Decision.AGREED
    if ours or not moved or (told.parent_id, told.name) == (change.base_parent_id, change.base_name):
        return Decision.KEEP
    return Decision.YIELD


def removal_stands(told: Item, removal: LocalChange) -> bool:
    """Whether a pending local removal still holds: only against the content that was seen when it was made, or that
    this machine itself sent before."""
    if told.kind is not Kind.FILE or told.content_version == removal.base_content:
        return True
    return removal.may_have_sent(told.digest)


class Conflicts(StrEnum):
    """What becomes of a conflict that can have a winner; chosen by who mounts."""

    COPY = "copy"
    SERVER_WINS = "server-wins"
    CLIENT_WINS = "client-wins"


class Verdict(Enum):
    """Who keeps a name or a content that both sides claim."""

    COPY = auto()  # the server's side; ours goes on under a conflict name
    SERVER = auto()  # the server's side; ours is put aside, or undone
    CLIENT = auto()  # ours; the server's stays in its history, or goes to its trash


def verdict(conflicts: Conflicts, aspect: Aspect, mine: Kind, theirs: Kind) -> Verdict:
    """Who wins. A folder is never put aside, and nothing takes a folder's place: there, both stay.

    A move can be undone whatever moved, as nothing is lost by it.
    """
    folder = Kind.FOLDER in {mine, theirs}
    if conflicts is Conflicts.SERVER_WINS:
        return Verdict.COPY if folder and aspect is not Aspect.PLACE else Verdict.SERVER
    if conflicts is Conflicts.CLIENT_WINS and not folder:
        return Verdict.CLIENT
    return Verdict.COPY
