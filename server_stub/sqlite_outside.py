"""What looking for outside changes needs of the SQLite index: items by inode, folders to look at, items that are
missing at their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from server_stub.sqlite_rows import SELECT_ITEM, item_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from server_stub.values import Evidence, Item, Trace

_LINKS_MAX: Final = 64  # items that share one inode; more hard links of one file than this are not told apart
_NOTE: Final = (
    "UPDATE items SET disk_ino = ?, disk_mtime_ns = ?, disk_ctime_ns = ?, disk_size = ?, "
    "disk_birth_ns = ?, disk_marked = ?, disk_listed = ? WHERE item_id = ?"
)
_MISSING: Final = SELECT_ITEM + "JOIN missing USING (item_id) WHERE due AND item_id > ? ORDER BY item_id LIMIT ?"
_BELOW: Final = """
WITH RECURSIVE down (item_id) AS (
    VALUES (?) UNION ALL SELECT i.item_id FROM down JOIN items i ON i.parent_id = down.item_id LIMIT ?
) SELECT count(*) FROM down
"""


class OutsideRows:
    """The part of `store.View` that outside changes are found with."""

    connection: sqlite3.Connection

    def by_ino(self, ino: int) -> list[Item]:
        """Items whose file had this inode number; several: hard links."""
        query = SELECT_ITEM + "WHERE disk_ino = ? LIMIT ?"
        return [item_of(row) for row in self.connection.execute(query, (ino, _LINKS_MAX)).fetchall()]

    def folders(self, after: str, limit: int) -> list[str]:
        """Ids of folders from behind `after`."""
        query = "SELECT item_id FROM items WHERE item_id > ? AND kind = 'folder' ORDER BY item_id LIMIT ?"
        return [row[0] for row in self.connection.execute(query, (after, limit)).fetchall()]

    def unlisted(self, after: str, limit: int) -> list[str]:
        """Ids, from behind `after`, of folders whose names were not compared since they came here."""
        query = "SELECT item_id FROM items WHERE item_id > ? AND kind = 'folder' AND disk_listed = 0 ORDER BY 1 LIMIT ?"
        return [row[0] for row in self.connection.execute(query, (after, limit)).fetchall()]

    def missing(self, after: str, limit: int) -> list[Item]:
        """Items, from behind `after`, that are not at their place and are to be decided about."""
        return [item_of(row) for row in self.connection.execute(_MISSING, (after, limit)).fetchall()]

    def missing_where(self, found_ino: int) -> list[Item]:
        """Missing items whose place holds this inode instead."""
        query = SELECT_ITEM + "JOIN missing USING (item_id) WHERE found_ino = ? LIMIT ?"
        return [item_of(row) for row in self.connection.execute(query, (found_ino, _LINKS_MAX)).fetchall()]

    def missing_ino(self, item_id: str) -> int | None:
        """What lies at the place of a missing item; None: nothing."""
        query = "SELECT found_ino FROM missing WHERE item_id = ?"
        row = self.connection.execute(query, (item_id,)).fetchone()
        return None if row is None else row[0]

    def items_below(self, item_id: str, limit: int) -> int:
        """How many items this one and all below it are; counts no further than `limit`."""
        return int(self.connection.execute(_BELOW, (item_id, limit)).fetchone()[0])


class OutsideWrites:
    """The same of `store.Tx`."""

    connection: sqlite3.Connection

    def note_disk(self, item_id: str, evidence: Evidence, trace: Trace) -> None:
        """Row and tree agree again; nothing that a client sees has changed."""
        seen = (evidence.ino, evidence.mtime_ns, evidence.ctime_ns, evidence.size)
        self.connection.execute(_NOTE, (*seen, trace.birth_ns, trace.marked, trace.listed, item_id))

    def set_aside(self, item_ids: Iterable[str]) -> None:
        """Free the names of items that are moved or buried later in this transaction; no name holds a '/'."""
        query = "UPDATE items SET name = '/' || item_id WHERE item_id = ?"
        self.connection.executemany(query, ((item_id,) for item_id in item_ids))

    def miss(self, item_id: str, found_ino: int | None, *, due: bool) -> None:
        """The item is not at its place; `found_ino` lies there. `due`: the walk that runs now will decide."""
        query = (
            "INSERT INTO missing VALUES (?, ?, ?) ON CONFLICT (item_id) "
            "DO UPDATE SET found_ino = excluded.found_ino, due = max(due, excluded.due)"
        )
        self.connection.execute(query, (item_id, found_ino, due))

    def found_again(self, item_ids: Iterable[str]) -> None:
        """It was decided what became of them."""
        self.connection.executemany("DELETE FROM missing WHERE item_id = ?", ((item_id,) for item_id in item_ids))

    def all_due(self) -> None:
        """A walk that begins now decides about all that is missing, and about what it misses itself."""
        self.connection.execute("DELETE FROM missing WHERE item_id NOT IN (SELECT item_id FROM items)")
        self.connection.execute("UPDATE missing SET due = 1")
