"""New content: over an item that is still at the version it was based on, or under a name that is still
free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub.intents import Intent, Keep, Put
from server_stub.plans.common import (
    evidence_of,
    failed_precondition,
    place_in,
    place_of,
    require_file,
    require_folder,
    require_writer,
)
from server_stub.problems import Problem
from server_stub.values import Item, Kept, Kind, Principal, new_id, new_version
from server_stub.wire import item_answer

if TYPE_CHECKING:
    from server_stub.store import View
    from server_stub.vault import Staged

FILE_MODE = 0o644


class NewContent(msgspec.Struct, frozen=True, kw_only=True):
    """What came with the bytes; None: as it was, or by default."""

    modified_ns: int
    mode: int | None = None


def plan_overwrite(
    view: View,
    principal: Principal,
    *,
    item_id: str,
    base: str,
    content: NewContent,
    staged: Staged,
    now_ns: int,
) -> Intent:
    """Replace the content of `item_id`, still at content_version `base`; the old content is kept."""
    item = check_overwrite(view, principal, item_id, base)
    place, evidence = place_of(view, item), evidence_of(item)
    version = item.content_version or ""
    changed = msgspec.structs.replace(
        item,
        size=staged.size,
        digest=staged.digest,
        modified_ns=content.modified_ns,
        mode=item.mode if content.mode is None else content.mode,
        content_version=new_version(),
        metadata_version=new_version(),
    )
    return Intent(
        checks=((place, evidence),),
        steps=(
            Keep(place=place, ino=evidence.ino, content_version=version),
            Put(staged=staged.name, ino=staged.ino, place=place, mode=changed.mode, replaces=evidence.ino),
        ),
        puts=(changed,),
        places={item_id: place},
        kept=(kept_of(item, now_ns),),
        answer=item_answer(changed, principal),
        now_ns=now_ns,
    )


def check_overwrite(view: View, principal: Principal, item_id: str, base: str) -> Item:
    """The item, when it may be overwritten on this base; also asked before a body is taken in."""
    item = require_file(view, principal, item_id)
    require_writer(principal)
    if item.kind is not Kind.FILE:
        raise Problem("forbidden", "a symlink's content is its target; it cannot be overwritten")
    if item.content_version != base:
        raise failed_precondition(item, principal, "the content has another version by now")
    return item


def plan_new_file(
    view: View,
    principal: Principal,
    *,
    parent_id: str,
    name: str,
    content: NewContent,
    staged: Staged,
    now_ns: int,
) -> Intent:
    """A file with its content, under a name that must be free."""
    parent = check_new_file(view, principal, parent_id, name)
    item = Item(
        item_id=new_id(now_ns),
        parent_id=parent.item_id,
        name=name,
        kind=Kind.FILE,
        size=staged.size,
        mode=FILE_MODE if content.mode is None else content.mode,
        created_ns=now_ns,
        modified_ns=content.modified_ns,
        metadata_version=new_version(),
        content_version=new_version(),
        digest=staged.digest,
    )
    place = place_in(view, parent, name)
    return Intent(
        steps=(Put(staged=staged.name, ino=staged.ino, place=place, mode=item.mode),),
        puts=(item,),
        places={item.item_id: place},
        answer=item_answer(item, principal, status=201),
        now_ns=now_ns,
    )


def check_new_file(view: View, principal: Principal, parent_id: str, name: str) -> Item:
    """The folder, when the name is free in it; also asked before a body is taken in."""
    parent = require_folder(view, principal, parent_id)
    require_writer(principal)
    place_in(view, parent, name)
    existing = view.holder(parent.item_id, name)
    if existing is not None:
        raise failed_precondition(existing, principal, "the folder holds an item of this name")
    return parent


def kept_of(item: Item, now_ns: int) -> Kept:
    """The row of a content that goes into the vault."""
    return Kept(
        content_version=item.content_version or "",
        item_id=item.item_id,
        size=item.size,
        digest=item.digest,
        modified_ns=item.modified_ns,
        kept_ns=now_ns,
    )
