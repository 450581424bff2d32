"""Deleting: to the trash, with a tombstone, and never a folder that still holds something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.intents import AnyStep, Intent, RemoveFolder, Stow
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
from server_stub.problems import Problem
from server_stub.values import Kept, Kind, Principal

if TYPE_CHECKING:
    from server_stub.store import View


def plan_remove(view: View, principal: Principal, item_id: str, base: str, now_ns: int) -> Intent:
    """Delete the item, still at metadata_version `base`."""
    item = require_item(view, principal, item_id)
    require_writer(principal)
    require_movable(principal, item)
    if item.metadata_version != base:
        raise failed_precondition(item, principal, "the item has another metadata_version by now")
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
