"""What lies below an item: collected within a limit, and whether any of it changed since an anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.duplicating import Member
from server_stub.problems import Problem

if TYPE_CHECKING:
    from server_stub.store import View
    from server_stub.values import Item


def tree_of(view: View, top: Item, limit: int) -> list[Member]:
    """The item and all below it, folders before what they hold; Problem too_large beyond the limit."""
    members = [Member(item=top, path=())]
    for member in members:
        if not member.item.is_folder:
            continue
        room = limit - len(members)
        children = view.children(member.item.item_id, limit=room + 1)
        if len(children) > room:
            raise Problem("too_large", f"the folder holds more than the {limit} items that one request changes")
        members += [Member(item=child, path=(*member.path, child.name)) for child in children]
    return members


def changed_since(view: View, members: list[Member], after_seq: int) -> bool:
    """Whether anything below the top was added, changed, removed or moved in or out."""
    if any(member.item.seq > after_seq for member in members[1:]):
        return True
    return any(view.left_since(member.item.item_id, after_seq) for member in members if member.item.is_folder)
