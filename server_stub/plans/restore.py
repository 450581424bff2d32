"""The trash: what may be seen of it, bringing things back under their ids, and letting go of them for good."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from server_stub.duplicating import Member, folder_attributes
from server_stub.intents import AnyStep, Fetch, Intent, Put, Seal
from server_stub.keys import Answer
from server_stub.plans.common import place_in, require_folder, require_item, require_writer
from server_stub.plans.create import free_name
from server_stub.problems import Problem
from server_stub.tree import Place
from server_stub.values import Item, Kind, Principal, Trashed, new_version
from server_stub.wire import item_answer, item_json, trashed_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server_stub.plans.copy import Target
    from server_stub.store import View
    from server_stub.vault import Staged


def trash_path(view: View, principal: Principal, item_id: str) -> tuple[str, ...] | None:
    """Names below the token's root of something in the trash; None when it did not lie there. A token for the whole
    drive sees it also when the proofs of its folders are forgotten.
    """
    lineage = view.trash_lineage(item_id)
    ids = [each for each, _ in lineage]
    if principal.root_id in ids[:-1]:
        return tuple(name for _, name in lineage[ids.index(principal.root_id) + 1 :])
    return tuple(name for _, name in lineage) if principal.whole_drive else None


def require_trashed(view: View, principal: Principal, item_id: str) -> Trashed:
    """What lies in the trash under this id; Problem not_deleted, deleted (gone for good) or not_found."""
    trashed = view.trashed(item_id)
    if trashed is not None:
        if trash_path(view, principal, item_id) is None:
            raise Problem("not_found", "no such item")
        return trashed
    item = require_item(view, principal, item_id)
    raise Problem("not_deleted", "the item is not in the trash", current=item_json(item, principal))


def trashed_tree(view: View, trashed: Trashed, limit: int) -> list[Member]:
    """What was deleted together with it and lay below it, folders first. Problem too_large."""
    found = view.trash_members(trashed.top_id, limit + 1)
    if len(found) > limit:
        raise Problem("too_large", f"more than the {limit} items that one request changes were deleted together")
    below: defaultdict[str | None, list[Item]] = defaultdict(list)
    for each in found:
        below[each.item.parent_id].append(each.item)
    members = [Member(item=trashed.item, path=())]
    for member in members:
        children = below.get(member.item.item_id, [])
        members += [Member(item=child, path=(*member.path, child.name)) for child in children]
    return members


def contents_of(members: list[Member]) -> list[str]:
    """The content_versions that lie in the vault."""
    return [member.item.content_version or "" for member in members if member.item.kind is Kind.FILE]


def check_restore(view: View, principal: Principal, trashed: Item, target: Target) -> tuple[Item, str]:
    """(folder, name) to bring it back to; Problem parent_gone when its folder is no more."""
    require_writer(principal)
    parent_id = target.parent_id or trashed.parent_id or ""
    try:
        parent = require_folder(view, principal, parent_id)
    except Problem as problem:
        if target.parent_id is not None:
            raise
        raise Problem("parent_gone", "its folder is no more: name another parent_id", parent_id=parent_id) from problem
    name = trashed.name if target.name is None else target.name
    return parent, free_name(view, principal, parent, name, target.conflict)


def plan_restore(
    view: View,
    principal: Principal,
    *,
    item_id: str,
    expected: list[Member],
    target: Target,
    staged: Staged,
    inos: Mapping[str, int],
    limit: int,
    now_ns: int,
) -> Intent:
    """Bring `expected` back, the tree in the trash for which `staged` was prepared. `inos` tell the vault's files."""
    trashed = require_trashed(view, principal, item_id)
    members = trashed_tree(view, trashed, limit)
    if members != expected:
        raise Problem("unavailable", "the trash is being changed by others", headers={"retry-after": "1"})
    parent, name = check_restore(view, principal, trashed.item, target)
    place = place_in(view, parent, name)
    revivals = [msgspec.structs.replace(member.item, metadata_version=new_version()) for member in members]
    revivals[0] = msgspec.structs.replace(revivals[0], parent_id=parent.item_id, name=name)
    return Intent(
        steps=_steps(members, staged, inos, place),
        revivals=tuple(revivals),
        places={member.item.item_id: _below(place, member) for member in members},
        released=tuple(contents_of(members)),
        answer=item_answer(revivals[0], principal),
        now_ns=now_ns,
    )


def _steps(members: list[Member], staged: Staged, inos: Mapping[str, int], place: Place) -> tuple[AnyStep, ...]:
    top = members[0].item
    steps: list[AnyStep] = []
    for member in members:
        version = member.item.content_version or ""
        if member.item.kind is Kind.FILE:
            steps.append(Fetch(content_version=version, ino=inos[version], staged=(staged.name, *member.path)))
    if top.is_folder:
        steps.append(Seal(staged=staged.name, folders=tuple(folder_attributes(members))))
    ino = inos[top.content_version or ""] if top.kind is Kind.FILE else staged.ino
    return (*steps, Put(staged=staged.name, ino=ino, place=place))


def _below(place: Place, member: Member) -> Place:
    names = (*place.names, *member.path)
    return Place(names[:-1], names[-1])


def plan_purge(view: View, principal: Principal, *, item_id: str, base: str, limit: int, now_ns: int) -> Intent:
    """Let go of something in the trash with all below it, and of every content that the items ever had."""
    trashed = require_trashed(view, principal, item_id)
    require_writer(principal)
    if trashed.item.metadata_version != base:
        current = trashed_json(trashed, principal)
        raise Problem("precondition_failed", "it was restored and deleted again since", current=current)
    ids = [member.item.item_id for member in trashed_tree(view, trashed, limit)]
    return Intent(dropped=tuple(ids), released=tuple(view.kept_of_items(ids)), answer=Answer(status=204), now_ns=now_ns)
