"""New folders, symlinks and empty files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from server_stub.intents import Intent, Put
from server_stub.names import check_target, numbered
from server_stub.plans.common import name_taken, place_in, require_folder, require_writer
from server_stub.problems import Problem
from server_stub.values import Item, Kind, Principal, new_id, new_version
from server_stub.wire import item_answer

if TYPE_CHECKING:
    from server_stub.store import View
    from server_stub.vault import Staged

Conflict = Literal["fail", "rename"]  # what a taken name does to a request
DEFAULT_MODE = {Kind.FILE: 0o644, Kind.FOLDER: 0o755, Kind.SYMLINK: 0o777}
_NUMBERS_MAX = 1000


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be created; checked by `check_shape` before anything is staged."""

    parent_id: str
    name: str
    kind: Kind
    mode: int
    modified_ns: int
    symlink_target: str | None = None
    xattrs: dict[str, bytes] = {}
    conflict: Conflict = "fail"


def check_shape(new: NewItem) -> None:
    """A symlink has a target, nothing else has. Problem invalid_request."""
    if (new.kind is Kind.SYMLINK) != (new.symlink_target is not None):
        raise Problem("invalid_request", "symlink_target belongs to symlinks, and to them only", status=422)
    if new.symlink_target is not None:
        check_target(new.symlink_target)


def plan_create(view: View, principal: Principal, new: NewItem, staged: Staged, now_ns: int) -> Intent:
    """Create it under its name, or under the next free number of that name when asked to."""
    parent = require_folder(view, principal, new.parent_id)
    require_writer(principal)
    name = free_name(view, principal, parent, new.name, new.conflict)
    place = place_in(view, parent, name)
    item = Item(
        item_id=new_id(now_ns),
        parent_id=parent.item_id,
        name=name,
        kind=new.kind,
        size=staged.size,
        mode=new.mode,
        created_ns=now_ns,
        modified_ns=new.modified_ns,
        metadata_version=new_version(),
        content_version=None if new.kind is Kind.FOLDER else new_version(),
        digest=staged.digest,
        symlink_target=new.symlink_target,
        xattrs=new.xattrs,
    )
    return Intent(
        steps=(Put(staged=staged.name, ino=staged.ino, place=place),),
        puts=(item,),
        places={item.item_id: place},
        answer=item_answer(item, principal, status=201),
        now_ns=now_ns,
    )


def free_name(view: View, principal: Principal, parent: Item, name: str, conflict: Conflict) -> str:
    """The name, or with `rename` its next free number; Problem name_taken."""
    place_in(view, parent, name)
    existing = view.holder(parent.item_id, name)
    if existing is None:
        return name
    if conflict == "rename":
        for number in range(2, _NUMBERS_MAX):
            following = numbered(name, number)
            if view.holder(parent.item_id, following) is None:
                return following
    raise name_taken(existing, principal)
