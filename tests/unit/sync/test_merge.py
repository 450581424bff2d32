"""The three-way merge of one item, row by row of the table in sync/planner.py: facts in, decision out."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from cache.model import Aspect, ChangeState, Ino, Item, ItemId, Kind, LocalChange, Version
from sync.planner import Decision, merge, removal_stands

if TYPE_CHECKING:
    from collections.abc import Iterable

TAKE, KEEP, AGREED, YIELD = Decision.TAKE, Decision.KEEP, Decision.AGREED, Decision.YIELD
BEFORE, BESIDE = (ItemId("folder"), "name"), (ItemId("other folder"), "name")


def told(place: tuple[ItemId, str] = BEFORE, *, version: str = "v1", digest: str = "", kind: Kind = Kind.FILE) -> Item:
    """What the remote says now."""
    return Item(
        item_id=ItemId("i"), parent_id=place[0], name=place[1], kind=kind, size=0, mode=0o644, mtime_ns=0, ctime_ns=0,
        content_version=Version(version), metadata_version=Version("m"), digest=digest,
    )  # fmt: skip


def change(aspect: Aspect, *, in_doubt: bool = False, sent: str | None = None) -> LocalChange:
    """A local change, made when the item was at BEFORE with the content v1."""
    return LocalChange(
        seq=1, ino=Ino(2), aspect=aspect, state=ChangeState.PENDING, item_id=ItemId("i"), base_content=Version("v1"),
        base_metadata=Version("m"), base_parent_id=BEFORE[0], base_name=BEFORE[1], generation=0, key="k",
        sent_generation=0 if in_doubt else -1, sent_parent_id=None, sent_name=None, sent_digest=sent, attempts=0,
        reason=None, not_before_ms=0, queued_at_s=0,
    )  # fmt: skip


def pending(aspects: Iterable[Aspect], *, in_doubt: bool = False) -> dict[Aspect, LocalChange]:
    return {aspect: change(aspect, in_doubt=in_doubt) for aspect in aspects}


@pytest.mark.parametrize(("same_place", "moved", "ours"), list(itertools.product([False, True], repeat=3)))
def test_with_nothing_changed_here_the_remote_is_taken(same_place: bool, moved: bool, ours: bool) -> None:
    decided = merge(told(BESIDE), {}, same_place=same_place, moved=moved, ours=ours)
    assert (decided.place, decided.content, decided.attributes) == (TAKE, TAKE, TAKE)


@pytest.mark.parametrize(
    ("place", "in_doubt", "same_place", "moved", "ours", "decision"),
    [
        (BESIDE, False, False, True, False, YIELD),  # moved there: the server's place wins
        (BESIDE, True, False, True, False, YIELD),
        (BESIDE, False, True, True, False, AGREED),  # moved there, and to the same place here
        (BESIDE, True, True, True, True, AGREED),  # our own echo
        (BESIDE, True, False, True, True, KEEP),  # our own echo, and moved on since
        (BESIDE, False, False, True, True, KEEP),  # the same, what was sent later refused
        (BEFORE, False, False, False, False, KEEP),  # only moved here
        (BEFORE, True, False, False, False, KEEP),
        (BEFORE, False, True, False, False, AGREED),  # moved back here before anything was sent
        (BEFORE, True, True, False, False, KEEP),  # moved back here: what was sent may yet be told
        (BEFORE, False, False, True, False, KEEP),  # back where it was when it was moved here
    ],
)
def test_a_place_against_a_place(  # noqa: PLR0917  # a row of the table
    place: tuple[ItemId, str], in_doubt: bool, same_place: bool, moved: bool, ours: bool, decision: Decision
) -> None:
    changes = pending([Aspect.PLACE], in_doubt=in_doubt)
    assert merge(told(place), changes, same_place=same_place, moved=moved, ours=ours).place is decision


@pytest.mark.parametrize("chosen", list(itertools.product([False, True], repeat=4)))
def test_each_aspect_is_decided_by_its_own_changes(chosen: tuple[bool, ...]) -> None:
    """Content goes with its times, and nothing else changes what becomes of anything else."""
    aspects = (Aspect.CONTENT, Aspect.PLACE, Aspect.ATTRIBUTES, Aspect.XATTRS)
    changes = pending(aspect for aspect, is_chosen in zip(aspects, chosen, strict=True) if is_chosen)
    decided = merge(told(version="v2"), changes, same_place=False, moved=False)
    assert decided.place is (KEEP if Aspect.PLACE in changes else TAKE)
    assert decided.content is (KEEP if Aspect.CONTENT in changes else TAKE)
    assert decided.attributes is (KEEP if {Aspect.CONTENT, Aspect.ATTRIBUTES} & changes.keys() else TAKE)


@pytest.mark.parametrize(
    ("item", "sent", "stands"),
    [
        (told(), None, True),  # as it was seen
        (told(BESIDE), None, True),  # moved only
        (told(version="v2", digest="theirs"), None, False),  # the edit wins
        (told(version="v2", digest="ours"), "earlier ours", True),  # what this machine sent before
        (told(version="v2", kind=Kind.FOLDER), None, True),  # a folder's content is asked of each child
    ],
)
def test_a_removal_against_an_edit(item: Item, sent: str | None, stands: bool) -> None:
    assert removal_stands(item, change(Aspect.REMOVE, sent=sent)) is stands
