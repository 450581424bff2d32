"""How items, tombstones and their requests look on the wire. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from server_stub.conditions import quote
from server_stub.digests import wire_digest
from server_stub.instants import format_instant
from server_stub.keys import Answer
from server_stub.values import Capability, Item, Kind, Principal, Tombstone, Trashed

if TYPE_CHECKING:
    from server_stub.problems import Problem

Json = dict[str, Any]

_READ = [Capability.READ.value]
_FILE = [Capability.READ.value, Capability.WRITE.value, Capability.DELETE.value, Capability.RENAME.value]
_FOLDER = [*_FILE, Capability.ADD_CHILDREN.value]
_ROOT = [Capability.READ.value, Capability.WRITE.value, Capability.ADD_CHILDREN.value]


def capabilities(item: Item, principal: Principal) -> list[str]:
    """What this token may do with this item."""
    if principal.read_only:
        return _READ
    if item.item_id == principal.root_id:
        return _ROOT
    return _FOLDER if item.is_folder else _FILE


def item_json(item: Item, principal: Principal) -> Json:
    """The whole item, as this token sees it: its root has neither parent nor name."""
    is_root = item.item_id == principal.root_id
    return {
        "item_id": item.item_id,
        "parent_id": None if is_root else item.parent_id,
        "name": "" if is_root else item.name,
        "kind": item.kind.value,
        "is_folder": item.kind is Kind.FOLDER,
        "size": item.size,
        "created_at": format_instant(item.created_ns),
        "modified_at": format_instant(item.modified_ns),
        "content_version": item.content_version,
        "metadata_version": item.metadata_version,
        "digest": wire_digest(item.digest),
        "mode": item.mode,
        "symlink_target": item.symlink_target,
        "capabilities": capabilities(item, principal),
        "deleted": False,
        "xattrs": item.xattrs,
    }


def tombstone_json(tombstone: Tombstone) -> Json:
    """A tombstone in an item's place."""
    return {
        "item_id": tombstone.item.item_id,
        "parent_id": tombstone.item.parent_id,
        "deleted": True,
        "deleted_at": format_instant(tombstone.deleted_ns),
        "reason": tombstone.reason.value,
    }


def trashed_json(trashed: Trashed, principal: Principal) -> Json:
    """The whole item as it was when it was deleted; it can be read by version, restored and dropped."""
    gone = {"capabilities": _READ, "deleted": True, "deleted_at": format_instant(trashed.deleted_ns)}
    return item_json(trashed.item, principal) | gone | {"reason": "deleted", "top_id": trashed.top_id}


def item_answer(item: Item, principal: Principal, *, status: int = 200) -> Answer:
    """An answer that is one item; its ETag is the metadata_version, a new item has a Location."""
    headers = {"content-type": "application/json", "etag": quote(item.metadata_version)}
    if status == 201:
        headers["location"] = f"/v1/items/{item.item_id}"
    return Answer(status=status, headers=headers, body=msgspec.json.encode(item_json(item, principal)))


def problem_answer(problem: Problem) -> Answer:
    """A problem as an answer that can be stored under a key."""
    headers = {"content-type": "application/problem+json", **problem.headers}
    return Answer(status=problem.status, headers=headers, body=problem.body())
