"""The trash and the older contents in the SQLite index.

What was deleted together lies under one `top_id`, and is dropped from the trash together when a content that it
needs is dropped: nothing is ever restored in part without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from server_stub.values import Item, Kept, Kind, Trashed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_TRASHED: Final = "SELECT item, top_id, deleted_ns, seq FROM trash "
_KEPT: Final = "SELECT content_version, item_id, size, digest, modified_ns, kept_ns FROM kept "
_LINEAGE: Final = """
WITH RECURSIVE up (item_id, parent_id, name, depth) AS (
    SELECT item_id, parent_id, item ->> 'name', 0 FROM trash WHERE item_id = :id
    UNION ALL
    SELECT up.parent_id,
        CASE WHEN i.item_id IS NOT NULL THEN i.parent_id
             WHEN t.item_id IS NOT NULL THEN t.parent_id ELSE b.parent_id END,
        coalesce(i.name, t.item ->> 'name', b.item ->> 'name'),
        up.depth + 1
    FROM up LEFT JOIN items i ON i.item_id = up.parent_id LEFT JOIN trash t ON t.item_id = up.parent_id
        LEFT JOIN tombstones b ON b.item_id = up.parent_id
    WHERE coalesce(i.item_id, t.item_id, b.item_id) IS NOT NULL AND up.depth < 4096
) SELECT item_id, name FROM up ORDER BY depth DESC
"""
_IN_MAX: Final = 500


def _trashed_of(row: tuple[Any, ...]) -> Trashed:
    item, top_id, deleted_ns, seq = row
    return Trashed(item=msgspec.json.decode(item, type=Item), top_id=top_id, deleted_ns=deleted_ns, seq=seq)


def _kept_of(row: tuple[Any, ...]) -> Kept:
    content_version, item_id, size, digest, modified_ns, kept_ns = row
    return Kept(
        content_version=content_version,
        item_id=item_id,
        size=size,
        digest=digest,
        modified_ns=modified_ns,
        kept_ns=kept_ns,
    )


class TrashRows:
    """The part of `store.View` that knows the trash."""

    connection: sqlite3.Connection

    def trashed(self, item_id: str) -> Trashed | None:
        """Something in the trash."""
        row = self.connection.execute(_TRASHED + "WHERE item_id = ?", (item_id,)).fetchone()
        return None if row is None else _trashed_of(row)

    def trash_tops(self, before_seq: int, limit: int) -> list[Trashed]:
        """What was deleted by itself, with all below it; the newest first, from before a sequence number."""
        query = _TRASHED + "WHERE item_id = top_id AND seq < ? ORDER BY seq DESC LIMIT ?"
        return [_trashed_of(row) for row in self.connection.execute(query, (before_seq, limit)).fetchall()]

    def trash_members(self, top_id: str, limit: int) -> list[Trashed]:
        """The top and everything that was deleted with it."""
        query = _TRASHED + "WHERE top_id = ? LIMIT ?"
        return [_trashed_of(row) for row in self.connection.execute(query, (top_id, limit)).fetchall()]

    def trash_lineage(self, item_id: str) -> list[tuple[str, str]]:
        """(item_id, name) down to something in the trash, through folders that live or do not."""
        return [(row[0], row[1]) for row in self.connection.execute(_LINEAGE, {"id": item_id}).fetchall()]

    def trash_past(self, before_ns: int, limit: int) -> list[str]:
        """Ids of what is in the trash since before; the oldest first."""
        query = "SELECT item_id FROM trash WHERE deleted_ns < ? ORDER BY deleted_ns LIMIT ?"
        return [row[0] for row in self.connection.execute(query, (before_ns, limit)).fetchall()]

    def kept_of_items(self, item_ids: Sequence[str]) -> list[str]:
        """Every older content_version of these items."""
        found: list[str] = []
        for start in range(0, len(item_ids), _IN_MAX):
            part = item_ids[start : start + _IN_MAX]
            marks = ",".join("?" * len(part))
            query = f"SELECT content_version FROM kept WHERE item_id IN ({marks})"  # noqa: S608 only question marks
            found += [row[0] for row in self.connection.execute(query, part).fetchall()]
        return found

    def versions(self, item_id: str, before: tuple[int, str] | None, limit: int) -> list[Kept]:
        """Older contents of an item, the newest first, from before (kept_ns, content_version)."""
        kept_ns, version = before or (1 << 62, "")
        query = (
            _KEPT + "WHERE item_id = ? AND (kept_ns, content_version) < (?, ?) "
            "ORDER BY kept_ns DESC, content_version DESC LIMIT ?"
        )
        return [_kept_of(row) for row in self.connection.execute(query, (item_id, kept_ns, version, limit)).fetchall()]


class TrashWrites:
    """The part of `store.Tx` that knows the trash."""

    connection: sqlite3.Connection

    def throw_away(self, trashed: Trashed) -> None:
        """What was buried can be restored until it is dropped."""
        item = trashed.item
        content = item.content_version if item.kind is Kind.FILE else None
        self.connection.execute(
            "INSERT OR REPLACE INTO trash VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                item.item_id,
                trashed.top_id,
                item.parent_id,
                content,
                msgspec.json.encode(item),
                trashed.deleted_ns,
                trashed.seq,
            ),
        )

    def drop_trash(self, item_ids: Iterable[str]) -> None:
        """Out of the trash: restored, or gone for good. What lay below is dropped by its own id."""
        self.connection.executemany("DELETE FROM trash WHERE item_id = ?", ((item_id,) for item_id in item_ids))

    def drop_trash_needing(self, content_versions: Iterable[str]) -> None:
        """The contents are about to be dropped: what was deleted together with them cannot come back whole."""
        self.connection.executemany(
            "DELETE FROM trash WHERE top_id IN (SELECT top_id FROM trash WHERE content_version = ?)",
            ((version,) for version in content_versions),
        )
