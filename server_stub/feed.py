"""The change feed: per item only its newest state, in feed order. Pure reading; cost is the number of
changes.

A token with a root of its own sees what lies below it; what left it is told as deleted: nothing else is
told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub.anchors import decode_anchor
from server_stub.plans.common import visible, was_visible
from server_stub.values import Item, Principal, Reason, Tombstone
from server_stub.wire import Json, item_json, tombstone_json

if TYPE_CHECKING:
    from server_stub.store import View


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Changes after an anchor; `seq` is where the next page begins."""

    changes: list[Json]
    seq: int
    has_more: bool


def position(text: str, *, epoch: bytes, floor: int, newest: int) -> int | None:
    """The sequence number of an anchor; None when it cannot be served: foreign, too old, or ahead of this
    state.
    """
    decoded = decode_anchor(text)
    if decoded is None or decoded[0] != epoch or not floor <= decoded[1] <= newest:
        return None
    return decoded[1]


def read_page(view: View, principal: Principal, after: int, limit: int) -> Page:
    """At most `limit` changes after the sequence number."""
    rows: list[Item | Tombstone] = [
        *view.changed_items(after, limit + 1),
        *view.changed_tombstones(after, limit + 1),
    ]
    rows.sort(key=lambda row: row.seq)
    page = rows[:limit]
    told = (_tell(view, principal, row, after) for row in page)
    has_more = len(rows) > limit
    return Page(
        changes=[change for change in told if change is not None],
        seq=page[-1].seq if has_more else view.newest_seq(),
        has_more=has_more,
    )


def _tell(view: View, principal: Principal, row: Item | Tombstone, after: int) -> Json | None:
    if isinstance(row, Tombstone):
        return _deleted(row) if was_visible(view, principal, row) else None
    if visible(view, principal, row):
        return {"type": "changed", "item": item_json(row, principal)}
    return _departed(view, principal, row, after)


def _deleted(tombstone: Tombstone) -> Json:
    told = tombstone_json(tombstone)
    del told["deleted"]
    return {"type": "deleted", **told}


def _departed(view: View, principal: Principal, item: Item, after: int) -> Json | None:
    """An item outside the token's root that was inside when the anchor was made."""
    for parent_id in view.departures(item.item_id, after):
        parent = view.item(parent_id)
        if parent is not None and visible(view, principal, parent):
            left = msgspec.structs.replace(item, parent_id=parent_id)
            return _deleted(Tombstone(item=left, deleted_ns=item.modified_ns, reason=Reason.NOT_VISIBLE))
    return None
