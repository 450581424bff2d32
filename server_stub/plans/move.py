"""PATCH: move, rename, mode and time in one transaction, over another item only when that item was named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub import xattrs
from server_stub.intents import AnyStep, Intent, Keep, Move, SetAttributes
from server_stub.plans.common import (
    evidence_of,
    failed_precondition,
    name_taken,
    place_in,
    place_of,
    require_folder,
    require_item,
    require_movable,
    require_writer,
)
from server_stub.plans.content import kept_of
from server_stub.problems import Problem
from server_stub.values import Evidence, Item, Kind, Principal, new_version
from server_stub.wire import item_answer

if TYPE_CHECKING:
    from server_stub.store import View
    from server_stub.tree import Place


class Replaced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The item whose place is taken, and the content_version it must still have (None: a folder)."""

    item_id: str
    content_version: str | None


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; None: stays."""

    parent_id: str | None = None
    name: str | None = None
    modified_ns: int | None = None
    mode: int | None = None
    replace: Replaced | None = None
    xattrs: dict[str, bytes | None] = {}  # by name; None: removed


def plan_patch(view: View, principal: Principal, *, item_id: str, base: str, patch: Patch, now_ns: int) -> Intent:
    """Change the item, still at metadata_version `base`."""
    item = require_item(view, principal, item_id)
    require_writer(principal)
    require_movable(principal, item)
    if item.metadata_version != base:
        raise failed_precondition(item, principal, "the item has another metadata_version by now")
    parent = require_folder(view, principal, patch.parent_id or item.parent_id or "")
    name = item.name if patch.name is None else patch.name
    target = place_in(view, parent, name)
    _check_cycle(view, item, parent)
    displaced = _displaced(view, principal, item=item, parent=parent, name=name, replace=patch.replace)
    changed = msgspec.structs.replace(
        item,
        parent_id=parent.item_id,
        name=name,
        modified_ns=item.modified_ns if patch.modified_ns is None else patch.modified_ns,
        mode=item.mode if patch.mode is None else patch.mode,
        xattrs=xattrs.changed(item.xattrs, patch.xattrs),
    )
    if changed == item:
        return Intent(answer=item_answer(item, principal), now_ns=now_ns)
    changed = msgspec.structs.replace(changed, metadata_version=new_version())
    source = place_of(view, item)
    return Intent(
        checks=_checks(item, source, displaced, target),
        steps=_steps(item, changed, source, target, displaced),
        puts=(changed,),
        places={item_id: target},
        burials=() if displaced is None else (displaced,),
        kept=(kept_of(displaced, now_ns),) if displaced is not None and displaced.kind is Kind.FILE else (),
        answer=item_answer(changed, principal),
        now_ns=now_ns,
    )


def _check_cycle(view: View, item: Item, parent: Item) -> None:
    if item.is_folder and any(item_id == item.item_id for item_id, _ in view.lineage(parent.item_id)):
        raise Problem("would_cycle", "a folder cannot move below itself")


def _displaced(
    view: View, principal: Principal, *, item: Item, parent: Item, name: str, replace: Replaced | None
) -> Item | None:
    """The item that gives way, or None; a Problem when another one stands there than the client has seen."""
    existing = view.holder(parent.item_id, name)
    if existing is not None and existing.item_id == item.item_id:
        existing = None
    if replace is None:
        if existing is not None:
            raise name_taken(existing, principal)
        return None
    if existing is None:
        raise failed_precondition(None, principal, "nothing stands there to be replaced")
    if existing.item_id != replace.item_id or existing.name != name:  # what bears another name is not replaced
        raise name_taken(existing, principal)
    if existing.content_version != replace.content_version:
        raise failed_precondition(existing, principal, "the replaced item has another content_version by now")
    _check_kinds(view, item, existing)
    return existing


def _check_kinds(view: View, item: Item, existing: Item) -> None:
    if existing.is_folder and not item.is_folder:
        raise Problem("is_a_folder", "only a folder takes the place of a folder")
    if item.is_folder and not existing.is_folder:
        raise Problem("not_a_folder", "a folder takes the place of folders only")
    if existing.is_folder and view.has_children(existing.item_id):
        raise Problem("not_empty", "the replaced folder still holds items")


def _checks(item: Item, source: Place, displaced: Item | None, target: Place) -> tuple[tuple[Place, Evidence], ...]:
    pairs = [(source, item)] if displaced is None else [(source, item), (target, displaced)]
    return tuple((place, evidence_of(each)) for place, each in pairs if not each.is_folder)


def _steps(item: Item, changed: Item, source: Place, target: Place, displaced: Item | None) -> tuple[AnyStep, ...]:
    ino = evidence_of(item).ino
    steps: list[AnyStep] = []
    if (changed.mode, changed.modified_ns) != (item.mode, item.modified_ns):
        steps.append(
            SetAttributes(
                place=source,
                ino=ino,
                mode=changed.mode,
                modified_ns=changed.modified_ns,
                was_mode=item.mode,
                was_modified_ns=item.modified_ns,
            )
        )
    if displaced is not None and displaced.kind is Kind.FILE:
        kept_as = displaced.content_version or ""
        steps.append(Keep(place=target, ino=evidence_of(displaced).ino, content_version=kept_as))
    if source != target:
        replaces = None if displaced is None else evidence_of(displaced).ino
        steps.append(Move(source=source, target=target, ino=ino, replaces=replaces))
    return tuple(steps)
