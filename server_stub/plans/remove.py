"""Deleting: to the trash, with a tombstone; a folder that holds something only when all of it was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.intents import AnyStep, Intent, Keep, RemoveFolder, Stow, StowTree
from server_stub.keys import Answer
from server_stub.plans.common import (
    evidence_of,
    failed_precondition,
    place_of,
    require_item,
    require_movable,
    require_writer,
)
from server_stub.plans.content import kept_of
from server_stub.plans.trees import changed_since, tree_of
from server_stub.problems import Problem
from server_stub.tree import Place
from server_stub.values import Item, Kept, Kind, Principal

if TYPE_CHECKING:
    from server_stub.duplicating import Member
    from server_stub.store import View


def plan_remove_tree(
    view: View, principal: Principal, *, item_id: str, base: str, after_seq: int, aside: str, limit: int, now_ns: int
) -> Intent:
    """Delete the item and all below it, when nothing there changed since; `aside` is a free name in the vault."""
    item = require_item(view, principal, item_id)
    if not item.is_folder or not view.has_children(item_id):
        return plan_remove(view, principal, item_id, base, now_ns)
    _check_removable(principal, item, base)
    members = tree_of(view, item, limit)
    if changed_since(view, members, after_seq):
        raise failed_precondition(item, principal, "something below the folder changed since the anchor")
    place = place_of(view, item)
    files = [member for member in members if member.item.kind is Kind.FILE]
    return Intent(
        steps=(*(_keep(place, member) for member in files), _stow(place, members, aside)),
        burials=tuple(member.item for member in reversed(members)),
        kept=tuple(kept_of(member.item, now_ns) for member in files),
        answer=Answer(status=204),
        now_ns=now_ns,
    )


def _keep(top: Place, member: Member) -> Keep:
    names = (*top.names, *member.path)
    return Keep(
        place=Place(names[:-1], names[-1]),
        ino=evidence_of(member.item).ino,
        content_version=member.item.content_version or "",
    )


def _stow(top: Place, members: list[Member], aside: str) -> StowTree:
    told: dict[str, tuple[int, int, int] | int] = {}
    for member in members[1:]:
        seen = evidence_of(member.item)
        told["/".join(member.path)] = seen.ino if member.item.is_folder else (seen.ino, seen.size, seen.mtime_ns)
    return StowTree(place=top, ino=evidence_of(members[0].item).ino, staged=aside, members=told)


def _check_removable(principal: Principal, item: Item, base: str) -> None:
    require_writer(principal)
    require_movable(principal, item)
    if item.metadata_version != base:
        raise failed_precondition(item, principal, "the item has another metadata_version by now")


def plan_remove(view: View, principal: Principal, item_id: str, base: str, now_ns: int) -> Intent:
    """Delete the item, still at metadata_version `base`."""
    item = require_item(view, principal, item_id)
    _check_removable(principal, item, base)
    if item.is_folder and view.has_children(item_id):
        raise Problem("not_empty", "the folder still holds items")
    place, evidence = place_of(view, item), evidence_of(item)
    kept: tuple[Kept, ...] = ()
    step: AnyStep = RemoveFolder(place=place, ino=evidence.ino)
    if item.kind is Kind.FILE:
        step = Stow(place=place, ino=evidence.ino, content_version=item.content_version)
        kept = (kept_of(item, now_ns),)
    elif item.kind is Kind.SYMLINK:
        step = Stow(place=place, ino=evidence.ino, content_version=None)
    return Intent(
        checks=() if item.is_folder else ((place, evidence),),
        steps=(step,),
        burials=(item,),
        kept=kept,
        answer=Answer(status=204),
        now_ns=now_ns,
    )
