"""The change feed: per item its newest state, in feed order, for the drive or for a scope of it.

Law: a page is read from one snapshot and costs what it examines; an item inside the scope is told as it is now, a
departure from the scope as deleted, an arrival as changed. A folder takes along what lies below it, both ways: its
departure stands for all that the reader holds below it, and of its arrival the reader lists the folder. A folder
that left and came back is told both ways, because what lay below it may have changed outside.
A token with a root of its own has that root as its scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub.anchors import decode_anchor
from server_stub.instants import format_instant
from server_stub.plans.common import visible
from server_stub.values import Departure, Item, Kind, Principal, Reason, Tombstone
from server_stub.wire import Json, item_json, tombstone_json

if TYPE_CHECKING:
    from server_stub.epochs import Epochs
    from server_stub.store import View

Row = Item | Tombstone | Departure


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The folder itself and what lies in it, or, when deep, anywhere below it."""

    folder_id: str
    deep: bool


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Changes after an anchor; `seq` is where the next page begins."""

    changes: list[Json]
    seq: int
    has_more: bool


def position(text: str, *, epochs: Epochs, floor: int, newest: int) -> int | None:
    """The sequence number of an anchor; None when it cannot be served: foreign, too old, or of changes that this
    state does not have.
    """
    decoded = decode_anchor(text)
    if decoded is None or not floor <= decoded[1] <= epochs.reached(decoded[0], newest):
        return None
    return decoded[1]


def is_lost(text: str, *, epochs: Epochs, newest: int) -> bool:
    """Whether an anchor was told by a state that went on from here to something else, or by another one."""
    decoded = decode_anchor(text)
    return decoded is not None and epochs.lacks(*decoded, newest)


def read_page(
    view: View, principal: Principal, after: int, limit: int, scope: Scope | None = None, *, examine: int = 0
) -> Page:
    """At most `limit` changes after the sequence number (one more where a folder left and came back in one change).

    Examines at most `examine` rows (at least `limit`): a page of a scope where little happened may hold less, even
    nothing, and have more behind it.
    """
    reader = _Reader(view, principal, scope or Scope(folder_id=principal.root_id, deep=True))
    changes: list[Json] = []
    left = max(examine, limit)
    while left > 0 and len(changes) < limit:
        rows, more = reader.window(after, min(left, max(limit - len(changes), 64)))
        for index, row in enumerate(rows):
            told = reader.tell(row)
            if told is not None:
                changes.append(told)
            ends_change = index + 1 == len(rows) or rows[index + 1].seq != row.seq
            if ends_change:
                after = row.seq
                if len(changes) >= limit:
                    more = more or index + 1 < len(rows)
                    break
        if not more:
            return Page(changes=changes, seq=view.newest_seq(), has_more=False)
        left -= len(rows)
    return Page(changes=changes, seq=after, has_more=True)


class _Reader:
    """One scope over one snapshot."""

    def __init__(self, view: View, principal: Principal, scope: Scope) -> None:
        self._view = view
        self._principal = principal
        self._scope = scope
        self._everything = scope.deep and principal.whole_drive and scope.folder_id == principal.root_id
        self._inside: dict[str, bool] = {scope.folder_id: True}

    def window(self, after: int, room: int) -> tuple[list[Row], bool]:
        """About `room` rows in feed order, whole changes only, and whether there are more."""
        view, folder_id = self._view, None if self._scope.deep else self._scope.folder_id
        rows: list[Row] = [] if self._everything else [*view.departures(after, room + 1, folder_id)]
        rows += view.changed_items(after, room + 1, folder_id)
        rows += view.changed_tombstones(after, room + 1, folder_id)
        if not self._scope.deep:
            own = view.item(self._scope.folder_id)
            rows += [own] if own is not None and own.seq > after else []
        rows.sort(key=_feed_order)
        end = room
        if len(rows) > room and rows[room].seq == rows[room - 1].seq:
            end += 1  # a departure and the state of its item are one change
        return rows[:end], len(rows) > end

    def tell(self, row: Row) -> Json | None:
        """The row as this reader is told of it; None when it is no news in the scope."""
        if isinstance(row, Departure):
            return self._departed(row)
        if isinstance(row, Tombstone):
            return _deleted(tombstone_json(row)) if self._held(row) else None
        return self._changed(row) if self._holds(row) else None

    def _holds(self, item: Item) -> bool:
        """Whether the item lies in the scope now."""
        if self._everything or item.item_id == self._scope.folder_id:
            return True
        if not self._scope.deep:
            return item.parent_id == self._scope.folder_id
        return item.parent_id is not None and self._is_inside(item.parent_id)

    def _held(self, tombstone: Tombstone) -> bool:
        """Whether it lay in the scope when it was deleted."""
        if self._scope.deep:
            return self._everything or self._scope.folder_id in tombstone.lineage
        return tombstone.item.parent_id == self._scope.folder_id

    def _is_inside(self, folder_id: str) -> bool:
        known = self._inside.get(folder_id)
        if known is None:
            lineage = self._view.lineage(folder_id)
            known = self._inside[folder_id] = any(item_id == self._scope.folder_id for item_id, _ in lineage)
        return known

    def _came_from_inside(self, departure: Departure) -> bool:
        """Whether the item lay in the scope before this move."""
        if not self._scope.deep:
            return departure.parent_id == self._scope.folder_id
        return self._scope.folder_id in departure.lineage

    def _led_outside(self, departure: Departure) -> bool:
        """Whether this move itself led out of the scope."""
        return self._came_from_inside(departure) and self._scope.folder_id not in departure.target_lineage

    def _departed(self, departure: Departure) -> Json | None:
        """News of a move by its item's state now. Nothing is left for a later page to tell that a later move, of a
        folder above, could take back.
        """
        if not self._came_from_inside(departure):
            return None
        takes_along = departure.kind is Kind.FOLDER and self._scope.deep
        item = self._view.item(departure.item_id)
        tombstone = self._view.tombstone(departure.item_id) if item is None else None
        if not (takes_along and self._led_outside(departure)):
            if item is not None and self._holds(item):
                is_next = not self._scope.deep or item.seq == departure.seq
                return None if is_next else self._changed(item)
            if tombstone is not None and self._held(tombstone):
                return None
        is_news = self._led_outside if takes_along else self._came_from_inside
        if any(is_news(later) for later in self._view.departures_of(departure.item_id, departure.seq)):
            return None
        return _deleted(
            {
                "item_id": departure.item_id,
                "parent_id": departure.parent_id,
                "deleted_at": format_instant(departure.left_ns),
                "reason": self._reason(departure, item, tombstone).value,
            }
        )

    def _changed(self, item: Item) -> Json:
        return {"type": "changed", "item": item_json(item, self._principal)}

    def _reason(self, departure: Departure, item: Item | None, tombstone: Tombstone | None) -> Reason:
        """What this token may know of where it went."""
        root_id = self._principal.root_id
        if item is not None:
            seen = root_id in departure.target_lineage and visible(self._view, self._principal, item)
            return Reason.MOVED_OUT if seen else Reason.NOT_VISIBLE
        seen = tombstone is not None and root_id in tombstone.lineage
        return Reason.DELETED if seen else Reason.NOT_VISIBLE


def _feed_order(row: Row) -> tuple[int, bool]:
    return row.seq, not isinstance(row, Departure)


def _deleted(told: Json) -> Json:
    return {"type": "deleted", **{name: value for name, value in told.items() if name != "deleted"}}
