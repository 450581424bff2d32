"""Copies made on the server: new items with the same contents, modes and times, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub.intents import Intent, Put
from server_stub.plans.common import failed_precondition, place_in, require_folder, require_item, require_writer
from server_stub.plans.create import Conflict, free_name
from server_stub.plans.trees import tree_of
from server_stub.problems import Problem
from server_stub.tree import Place
from server_stub.values import Item, Principal, new_id, new_version
from server_stub.wire import item_answer

if TYPE_CHECKING:
    from server_stub.duplicating import Member
    from server_stub.store import View
    from server_stub.vault import Staged


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where something goes; None: as the source has it."""

    parent_id: str | None = None
    name: str | None = None
    conflict: Conflict = "fail"


def copy_source(view: View, principal: Principal, item_id: str, base: str | None, limit: int) -> list[Member]:
    """The tree to be copied, as it stands now; still at metadata_version `base` when that is given."""
    item = require_item(view, principal, item_id)
    require_writer(principal)
    if base is not None and item.metadata_version != base:
        raise failed_precondition(item, principal, "the item has another metadata_version by now")
    return tree_of(view, item, limit)


def check_copy(view: View, principal: Principal, source: Item, target: Target) -> tuple[Item, str]:
    """(folder, name) for the copy; also asked before anything is copied."""
    require_writer(principal)
    parent_id = target.parent_id
    if parent_id is None:
        parent_id = principal.root_id if source.item_id == principal.root_id else source.parent_id
    parent = require_folder(view, principal, parent_id or "")
    if any(above == source.item_id for above, _ in view.lineage(parent.item_id)):
        raise Problem("would_cycle", "a folder cannot be copied into itself")
    name = source.name if target.name is None else target.name
    return parent, free_name(view, principal, parent, name, target.conflict)


def plan_copy(
    view: View, principal: Principal, *, source: list[Member], target: Target, staged: Staged, now_ns: int
) -> Intent:
    """Place the staged copy of `source`, a tree as it stood when the copying began."""
    parent, name = check_copy(view, principal, source[0].item, target)
    place = place_in(view, parent, name)
    ids = {source[0].item.parent_id: parent.item_id}
    puts: list[Item] = []
    places: dict[str, Place] = {}
    for member in source:
        copied = _copied(member.item, ids[member.item.parent_id], now_ns)
        ids[member.item.item_id] = copied.item_id
        names = (*place.names, *member.path)
        places[copied.item_id] = Place(names[:-1], names[-1])
        puts.append(copied)
    puts[0] = msgspec.structs.replace(puts[0], name=name)
    return Intent(
        steps=(Put(staged=staged.name, ino=staged.ino, place=place),),
        puts=tuple(puts),
        places=places,
        answer=item_answer(puts[0], principal, status=201),
        now_ns=now_ns,
    )


def _copied(item: Item, parent_id: str, now_ns: int) -> Item:
    return msgspec.structs.replace(
        item,
        item_id=new_id(now_ns),
        parent_id=parent_id,
        created_ns=now_ns,
        metadata_version=new_version(),
        content_version=None if item.content_version is None else new_version(),
        evidence=None,
    )
