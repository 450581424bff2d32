"""What the change feed reads: items, tombstones and departures later than a sequence number, of the whole drive or
of one folder.

Law: every statement finds its first row by an index and reads on in feed order, so that its cost is the number of
rows told, whatever the drive holds. A test reads the query plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from server_stub.sqlite_rows import (
    SELECT_DEPARTURE,
    SELECT_ITEM,
    SELECT_TOMBSTONE,
    departure_of,
    item_of,
    tombstone_of,
)

if TYPE_CHECKING:
    import sqlite3

    from server_stub.sqlite_rows import Row
    from server_stub.values import Departure, Item, Tombstone

_LATER: Final = "WHERE seq > ? ORDER BY seq LIMIT ?"
_LATER_IN_FOLDER: Final = "WHERE parent_id = ? AND seq > ? ORDER BY seq LIMIT ?"

# Named, so that a test can ask how SQLite would run each of them.
STATEMENTS: Final = {
    "items": f"{SELECT_ITEM}{_LATER}",
    "items of a folder": f"{SELECT_ITEM}{_LATER_IN_FOLDER}",
    "tombstones": f"{SELECT_TOMBSTONE} {_LATER}",
    "tombstones of a folder": f"{SELECT_TOMBSTONE} {_LATER_IN_FOLDER}",
    "departures": f"{SELECT_DEPARTURE}{_LATER}",
    "departures of a folder": f"{SELECT_DEPARTURE}{_LATER_IN_FOLDER}",
    "departures of an item": f"{SELECT_DEPARTURE}WHERE item_id = ? AND seq > ? ORDER BY seq LIMIT ?",
}


class FeedRows:
    """The feed's part of `store.View`. `parent_id` narrows to what lies, was deleted or left there."""

    connection: sqlite3.Connection

    def _later(self, statement: str, *parameters: object) -> list[Row]:
        return self.connection.execute(STATEMENTS[statement], parameters).fetchall()

    def changed_items(self, after: int, limit: int, parent_id: str | None = None) -> list[Item]:
        """Live items whose newest change is later, in feed order."""
        if parent_id is None:
            return [item_of(row) for row in self._later("items", after, limit)]
        return [item_of(row) for row in self._later("items of a folder", parent_id, after, limit)]

    def changed_tombstones(self, after: int, limit: int, parent_id: str | None = None) -> list[Tombstone]:
        """Tombstones later in the feed, in feed order."""
        if parent_id is None:
            return [tombstone_of(row) for row in self._later("tombstones", after, limit)]
        return [tombstone_of(row) for row in self._later("tombstones of a folder", parent_id, after, limit)]

    def departures(self, after: int, limit: int, parent_id: str | None = None) -> list[Departure]:
        """Moves from folder to folder, in feed order; `parent_id` is the folder that was left."""
        if parent_id is None:
            return [departure_of(row) for row in self._later("departures", after, limit)]
        return [departure_of(row) for row in self._later("departures of a folder", parent_id, after, limit)]

    def departures_of(self, item_id: str, after: int) -> list[Departure]:
        """Later moves of one item, in feed order."""
        return [departure_of(row) for row in self._later("departures of an item", item_id, after, -1)]

    def feed_surplus(self, *, before_ns: int, max_rows: int) -> int:
        """The newest sequence number among tombstones and departures that are past their time or their count; 0: none.

        Ages are looked up by index; the count walks `max_rows` index entries.
        """
        found = [0]
        for table, age in (("tombstones", "deleted_ns"), ("departures", "left_ns")):
            for query, parameter in (
                (f"SELECT max(seq) FROM {table} WHERE {age} < ?", before_ns),  # noqa: S608 - both are literals above
                (f"SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?", max_rows),  # noqa: S608
            ):
                row = self.connection.execute(query, (parameter,)).fetchone()
                found.append(int(row[0]) if row is not None and row[0] is not None else 0)
        return max(found)
