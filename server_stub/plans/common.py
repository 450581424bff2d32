"""What every decision needs: who may see and change what, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.names import HIDDEN_FOLDER, check_name
from server_stub.problems import Problem
from server_stub.tree import Place
from server_stub.wire import item_json, tombstone_json

if TYPE_CHECKING:
    from server_stub.store import View
    from server_stub.values import Evidence, Item, Principal, Tombstone


def visible(view: View, principal: Principal, item: Item) -> bool:
    """Whether the token's root is the item or above it."""
    if principal.whole_drive or item.item_id == principal.root_id:
        return True
    return any(item_id == principal.root_id for item_id, _ in view.lineage(item.item_id))


def was_visible(principal: Principal, tombstone: Tombstone) -> bool:
    """The same for what was deleted, by where it lay then."""
    return principal.whole_drive or principal.root_id in tombstone.lineage


def require_item(view: View, principal: Principal, item_id: str) -> Item:
    """The live item; Problem deleted with its tombstone, or not_found, which is also the answer outside the
    root.
    """
    item = view.item(item_id)
    if item is not None and visible(view, principal, item):
        return item
    tombstone = None if item is not None else view.tombstone(item_id)
    if tombstone is not None and was_visible(principal, tombstone):
        raise Problem("deleted", "the item was deleted", item=tombstone_json(tombstone))
    raise Problem("not_found", "no such item")


def require_folder(view: View, principal: Principal, item_id: str) -> Item:
    """A live folder; Problem not_a_folder."""
    item = require_item(view, principal, item_id)
    if not item.is_folder:
        raise Problem("not_a_folder", "the item is not a folder")
    return item


def require_file(view: View, principal: Principal, item_id: str) -> Item:
    """A live item with content; Problem is_a_folder."""
    item = require_item(view, principal, item_id)
    if item.content_version is None:
        raise Problem("is_a_folder", "a folder has no content")
    return item


def require_writer(principal: Principal) -> None:
    """Problem forbidden for a token that may only read."""
    if principal.read_only:
        raise Problem("forbidden", "this token may only read")


def require_movable(principal: Principal, item: Item) -> None:
    """Problem forbidden for a root: it is neither moved nor deleted."""
    if item.item_id == principal.root_id or item.parent_id is None:
        raise Problem("forbidden", "the root cannot be moved, changed or deleted")


def failed_precondition(current: Item | None, principal: Principal, detail: str) -> Problem:
    """412 with what stands there now."""
    told = None if current is None else item_json(current, principal)
    return Problem("precondition_failed", detail, current=told)


def name_taken(existing: Item, principal: Principal) -> Problem:
    """409 with what holds the name."""
    return Problem(
        "name_taken",
        "the folder holds another item of this name",
        existing_id=existing.item_id,
        current=item_json(existing, principal),
    )


def place_of(view: View, item: Item) -> Place:
    """Where the item lies."""
    names = folder_names(view, item)
    return Place(names[:-1], names[-1])


def folder_names(view: View, folder: Item) -> tuple[str, ...]:
    """The names from the drive's root down to the item; empty for the root."""
    return tuple(name for _, name in view.lineage(folder.item_id)[1:])


def place_in(view: View, folder: Item, name: str) -> Place:
    """A place for a name in a folder; Problem for names that the drive cannot hold there."""
    check_name(name)
    if folder.parent_id is None and name == HIDDEN_FOLDER:
        raise Problem("name_invalid", f"{HIDDEN_FOLDER} at the top is the server's own room")
    return Place(folder_names(view, folder), name)


def evidence_of(item: Item) -> Evidence:
    """The evidence of a row. Every live row but one of a damaged state has it."""
    if item.evidence is None:
        raise Problem("unavailable", "the item was never seen on disk", headers={"retry-after": "1"})
    return item.evidence
