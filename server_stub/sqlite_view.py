"""Reading from the SQLite index: rows to values, one statement per method.

Runs on the thread of the connection it was given, never anywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.keys import Answer, Keyed
from server_stub.names import FOLD_NAMES, folded
from server_stub.sqlite_activity import ActivityRows
from server_stub.sqlite_feed import FeedRows
from server_stub.sqlite_outside import OutsideRows
from server_stub.sqlite_rows import SELECT_ITEM, SELECT_TOMBSTONE, Row, item_of, tombstone_of
from server_stub.sqlite_trash import TrashRows
from server_stub.sqlite_uploads import UploadRows
from server_stub.sqlite_walks import WalkRows
from server_stub.sqlite_webhooks import WebhookRows
from server_stub.values import Kept

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from server_stub.values import Item, Tombstone

_IN_MAX: Final = 500  # parameters per statement, below SQLite's oldest limit of 999

_BY_ID: Final = SELECT_ITEM + "WHERE item_id = ?"
_BY_NAME: Final = SELECT_ITEM + "WHERE parent_id = ? AND name = ?"
_BY_FOLDED_NAME: Final = SELECT_ITEM + "WHERE parent_id = ? AND folded(name) = ? ORDER BY name LIMIT 1"
_CHILDREN: Final = SELECT_ITEM + "WHERE parent_id = ? AND name > ? ORDER BY name LIMIT ?"
_LINEAGE: Final = """
WITH RECURSIVE up (item_id, parent_id, name, depth) AS (
    SELECT item_id, parent_id, name, 0 FROM items WHERE item_id = ?
    UNION ALL
    SELECT i.item_id, i.parent_id, i.name, up.depth + 1 FROM up JOIN items i ON i.item_id = up.parent_id
    WHERE up.depth < 4096
) SELECT item_id, name FROM up ORDER BY depth DESC
"""
_BURIED_LINEAGE: Final = """
WITH RECURSIVE up (item_id, parent_id, depth) AS (
    SELECT :id, coalesce(:parent, (SELECT parent_id FROM tombstones WHERE item_id = :id)), 0
    UNION ALL
    SELECT up.parent_id, CASE WHEN i.item_id IS NULL THEN t.parent_id ELSE i.parent_id END, up.depth + 1
    FROM up LEFT JOIN items i ON i.item_id = up.parent_id LEFT JOIN tombstones t ON t.item_id = up.parent_id
    WHERE (i.item_id IS NOT NULL OR t.item_id IS NOT NULL) AND up.depth < 4096
) SELECT item_id FROM up
"""


class SqliteView(FeedRows, ActivityRows, WebhookRows, UploadRows, TrashRows, WalkRows, OutsideRows):
    """`store.View` over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def _one(self, query: str, parameters: Sequence[object]) -> Row | None:
        row: Row | None = self.connection.execute(query, parameters).fetchone()
        return row

    def _all(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        return self.connection.execute(query, parameters).fetchall()

    def note(self, key: str) -> str | None:
        """A value of the meta table."""
        row = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def newest_seq(self) -> int:
        """The newest committed change."""
        return int(self.note("seq") or 0)

    def floor_seq(self) -> int:
        """Anchors below it are expired."""
        return int(self.note("floor") or 0)

    def root_id(self) -> str | None:
        """The drive's root; None before the first import."""
        return self.note("root_id")

    def item(self, item_id: str) -> Item | None:
        """A live item."""
        row = self._one(_BY_ID, (item_id,))
        return None if row is None else item_of(row)

    def tombstone(self, item_id: str) -> Tombstone | None:
        """Proof that an item was deleted."""
        row = self._one(f"{SELECT_TOMBSTONE} WHERE item_id = ?", (item_id,))
        return None if row is None else tombstone_of(row)

    def items(self, item_ids: Sequence[str]) -> dict[str, Item]:
        """The live ones among the ids."""
        query = SELECT_ITEM + "WHERE item_id IN"
        return {row[0]: item_of(row) for row in self._among(query, item_ids)}

    def tombstones(self, item_ids: Sequence[str]) -> dict[str, Tombstone]:
        """The deleted ones among the ids."""
        found = (tombstone_of(row) for row in self._among(f"{SELECT_TOMBSTONE} WHERE item_id IN", item_ids))
        return {tombstone.item.item_id: tombstone for tombstone in found}

    def _among(self, query: str, item_ids: Sequence[str]) -> Iterable[Row]:
        for start in range(0, len(item_ids), _IN_MAX):
            part = item_ids[start : start + _IN_MAX]
            yield from self._all(f"{query} ({','.join('?' * len(part))})", part)

    def child(self, parent_id: str, name: str) -> Item | None:
        """The item of that name in the folder."""
        row = self._one(_BY_NAME, (parent_id, name))
        return None if row is None else item_of(row)

    def holder(self, parent_id: str, name: str) -> Item | None:
        """The item that keeps others from having that name in the folder: where the drive folds names, one whose name
        differs in letter case or Unicode form only (found by looking at every name in the folder)."""
        found = self.child(parent_id, name)
        if found is not None or self.note(FOLD_NAMES) != "1":
            return found
        self.connection.create_function("folded", 1, folded, deterministic=True)
        row = self._one(_BY_FOLDED_NAME, (parent_id, folded(name)))
        return None if row is None else item_of(row)

    def children(self, parent_id: str, *, after: str | None = None, limit: int = -1) -> list[Item]:
        """A folder's children by name, from behind `after`."""
        return [item_of(row) for row in self._all(_CHILDREN, (parent_id, after or "", limit))]

    def has_children(self, item_id: str) -> bool:
        """Whether any item lies in the folder."""
        return self._one("SELECT 1 FROM items WHERE parent_id = ? LIMIT 1", (item_id,)) is not None

    def lineage(self, item_id: str) -> list[tuple[str, str]]:
        """(item_id, name) from the root down to the item; empty when it does not live."""
        return [(row[0], row[1]) for row in self._all(_LINEAGE, (item_id,))]

    def buried_lineage(self, item_id: str, parent_id: str | None = None) -> list[str]:
        """Ids from a deleted item up through its folders, living or deleted too; `parent_id` for one that is about
        to be deleted.
        """
        rows = self.connection.execute(_BURIED_LINEAGE, {"id": item_id, "parent": parent_id}).fetchall()
        return [row[0] for row in rows]

    def kept(self, content_version: str) -> Kept | None:
        """An older content that is still there."""
        row = self._one(
            "SELECT item_id, size, digest, modified_ns, kept_ns FROM kept WHERE content_version = ?",
            (content_version,),
        )
        if row is None:
            return None
        item_id, size, digest, modified_ns, kept_ns = row
        return Kept(
            content_version=content_version,
            item_id=item_id,
            size=size,
            digest=digest,
            modified_ns=modified_ns,
            kept_ns=kept_ns,
        )

    def kept_versions(self) -> set[str]:
        """Every version that the vault should hold."""
        return {row[0] for row in self._all("SELECT content_version FROM kept")}

    def kept_surplus(self, *, before_ns: int, max_bytes: int, limit: int) -> list[str]:
        """Older contents that are past their time, or beyond the room for them; the oldest first."""
        rows = self._all(
            "SELECT content_version FROM (SELECT content_version, kept_ns, "
            "sum(size) OVER (ORDER BY kept_ns DESC, content_version) AS newer_bytes FROM kept) "
            "WHERE kept_ns < ? OR newer_bytes > ? ORDER BY kept_ns LIMIT ?",
            (before_ns, max_bytes, limit),
        )
        return [row[0] for row in rows]

    def undigested(self, after: str, limit: int) -> list[Item]:
        """Files whose digest is not known yet, by id from behind `after`."""
        query = SELECT_ITEM + "WHERE item_id > ? AND kind = 'file' AND digest IS NULL ORDER BY item_id LIMIT ?"
        return [item_of(row) for row in self._all(query, (after, limit))]

    def answer(self, keyed: Keyed) -> tuple[str, Answer] | None:
        """(fingerprint, answer) stored under the key."""
        row = self._one(
            "SELECT fingerprint, answer FROM answers WHERE token_id = ? AND key = ?",
            (keyed.token_id, keyed.key),
        )
        return None if row is None else (row[0], msgspec.json.decode(row[1], type=Answer))

    def intents(self) -> list[tuple[int, bytes]]:
        """Redo records in the order they were made."""
        return [(row[0], row[1]) for row in self._all("SELECT intent_id, body FROM intents ORDER BY intent_id")]

    def token_root(self, token_id: str) -> str | None:
        """What the token's root path meant when it was first used."""
        row = self._one("SELECT item_id FROM token_roots WHERE token_id = ?", (token_id,))
        return None if row is None else str(row[0])

    def counts(self) -> tuple[int, int]:
        """(live items, tombstones)."""
        row = self._one("SELECT items, tombstones FROM counts", ())
        return (0, 0) if row is None else (int(row[0]), int(row[1]))
