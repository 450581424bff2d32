"""Rows of `content`: which bytes of which version are in the blob store. The bytes themselves: `cache.blobs`.

Residency may be told late but never early: a row claims a range only after its bytes were written to the blob.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import ranges
from cache.model import Bundled, BundleId, Content, ContentId, Ino, Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Usage:
    """What all contents take together."""

    contents: int
    held_bytes: int
    dirty_bytes: int


_COLUMNS = "content_id, ino, version, size, resident, dirty, durable, last_use_s, bundle, bundle_at"


def _content(row: tuple[object, ...]) -> Content:
    content_id, ino, version, size, resident, dirty, durable, last_use_s, bundle, bundle_at = row
    try:
        held = ranges.decode(resident)  # type: ignore[arg-type]  # the STRICT schema guarantees the types of the row
    except ValueError:  # damaged: what is clean is fetched again, what is dirty is whole
        held = ((0, size),) if dirty == 1 and size else ()  # type: ignore[assignment]
    return Content(
        content_id=content_id,  # type: ignore[arg-type]
        ino=ino,  # type: ignore[arg-type]
        version=version,  # type: ignore[arg-type]
        size=size,  # type: ignore[arg-type]
        resident=held,
        dirty=dirty == 1,
        durable=durable == 1,
        last_use_s=last_use_s,  # type: ignore[arg-type]
        bundled=bundled_at(bundle, bundle_at),  # type: ignore[arg-type]
    )


def bundled_at(bundle: int | None, bundle_at: int | None) -> Bundled | None:
    """Two columns as a place; None for a content with a blob of its own."""
    if bundle is None or bundle_at is None:
        return None
    return Bundled(bundle_id=BundleId(bundle), start=bundle_at)


def get(connection: sqlite3.Connection, content_id: ContentId) -> Content | None:
    """One row."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM content WHERE content_id = ?", (content_id,)).fetchone()  # noqa: S608
    return None if row is None else _content(row)


def insert(
    connection: sqlite3.Connection, ino: Ino, version: Version | None, size: int, now_s: int, *, dirty: bool
) -> ContentId:
    """A new content: empty of bytes, or dirty and thus whole by definition."""
    resident: ranges.Ranges = ((0, size),) if dirty and size else ()
    cursor = connection.execute(
        """INSERT INTO content (ino, version, size, resident, held_bytes, dirty, durable, last_use_s)
           VALUES (?, ?, ?, ?, ?, ?, 0, ?)""",
        (ino, version, size, ranges.encode(resident), ranges.total(resident), dirty, now_s),
    )
    assert cursor.lastrowid is not None  # noqa: S101  # an INSERT that did not raise has a row id
    return ContentId(cursor.lastrowid)


def set_resident(connection: sqlite3.Connection, content_id: ContentId, resident: ranges.Ranges, now_s: int) -> None:
    """Say which ranges are held; they are not yet known to be on the disk."""
    connection.execute(
        "UPDATE content SET resident = ?, held_bytes = ?, durable = 0, last_use_s = ? WHERE content_id = ?",
        (ranges.encode(resident), ranges.total(resident), now_s, content_id),
    )


def shed(connection: sqlite3.Connection, content_id: ContentId, left: ranges.Ranges) -> None:
    """Of a clean content only these ranges are held from here on: told before the others are given back."""
    connection.execute(
        "UPDATE content SET resident = ?, held_bytes = ? WHERE content_id = ? AND dirty = 0",
        (ranges.encode(left), ranges.total(left), content_id),
    )


def set_dirty(connection: sqlite3.Connection, content_id: ContentId) -> None:
    """From here on the content holds bytes that exist nowhere else. All of it is here, though the row may not have
    been told so yet."""
    row = connection.execute("SELECT size FROM content WHERE content_id = ?", (content_id,)).fetchone()
    resident: ranges.Ranges = ((0, row[0]),) if row is not None and row[0] else ()
    connection.execute(
        """UPDATE content SET dirty = 1, durable = 0, was_durable = iif(dirty, was_durable, 0), resident = ?
           WHERE content_id = ?""",
        (ranges.encode(resident), content_id),
    )


def set_size(connection: sqlite3.Connection, content_id: ContentId, size: int, disk_bytes: int) -> None:
    """Size of a dirty content, which is whole by definition, and the room that it takes (less, where it has holes)."""
    resident: ranges.Ranges = ((0, size),) if size else ()
    connection.execute(
        "UPDATE content SET size = ?, resident = ?, held_bytes = ?, durable = 0 WHERE content_id = ?",
        (size, ranges.encode(resident), min(size, disk_bytes), content_id),
    )


def set_clean(connection: sqlite3.Connection, content_id: ContentId, version: Version) -> None:
    """The remote holds exactly these bytes as `version`."""
    connection.execute("UPDATE content SET dirty = 0, version = ? WHERE content_id = ?", (version, content_id))


def give_up(connection: sqlite3.Connection, content_id: ContentId) -> None:
    """These bytes, no version of the remote's, are kept elsewhere or not wanted: nobody's, and deleted once closed.

    Until then nothing may take them for the version that they were an edit of.
    """
    connection.execute(
        "UPDATE content SET dirty = 0, resident = ?, held_bytes = 0, durable = 0 WHERE content_id = ?",
        (ranges.encode(()), content_id),
    )


def set_version(connection: sqlite3.Connection, content_id: ContentId, version: Version) -> None:
    """The remote's version that these bytes are equal to or based on."""
    connection.execute("UPDATE content SET version = ? WHERE content_id = ?", (version, content_id))


def leave_bundle(connection: sqlite3.Connection, content_id: ContentId) -> None:
    """These bytes are in a blob of their own from here on, not yet known to be on the disk."""
    connection.execute(
        "UPDATE content SET bundle = NULL, bundle_at = NULL, durable = 0 WHERE content_id = ?", (content_id,)
    )


def bundles_of(connection: sqlite3.Connection, content_ids: Iterable[ContentId]) -> dict[ContentId, Bundled]:
    """Where those of these lie that share a file."""
    rows = connection.execute(
        """SELECT content_id, bundle, bundle_at FROM content
           WHERE content_id IN (SELECT value FROM json_each(?)) AND bundle IS NOT NULL""",
        (json.dumps(sorted(content_ids)),),
    ).fetchall()
    return {
        ContentId(content_id): Bundled(bundle_id=BundleId(bundle), start=start) for content_id, bundle, start in rows
    }


def set_owner(connection: sqlite3.Connection, content_id: ContentId, ino: Ino) -> None:
    """Give the bytes to another node (a conflict copy)."""
    connection.execute("UPDATE content SET ino = ? WHERE content_id = ?", (ino, content_id))


def without_node(connection: sqlite3.Connection, content_ids: Iterable[ContentId]) -> list[ContentId]:
    """Those of these that no node has."""
    rows = connection.execute(
        """SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM node WHERE content_id = value)""",
        (json.dumps(sorted(content_ids)),),
    ).fetchall()
    return [ContentId(row[0]) for row in rows]


def delete(connection: sqlite3.Connection, content_id: ContentId) -> None:
    """Forget a content; its blob is deleted after the commit."""
    connection.execute("UPDATE node SET content_id = NULL WHERE content_id = ?", (content_id,))
    connection.execute("DELETE FROM content WHERE content_id = ?", (content_id,))


def usage(connection: sqlite3.Connection) -> Usage:
    """What all contents take together: one row, however many there are."""
    return Usage(*connection.execute("SELECT contents, held_bytes, dirty_bytes FROM usage").fetchone())


def count_usage(connection: sqlite3.Connection) -> None:
    """Sum up anew what all contents take; reads every row."""
    connection.execute(
        """UPDATE usage SET (contents, held_bytes, dirty_bytes) = (SELECT count(*), coalesce(sum(held_bytes), 0),
           coalesce(sum(dirty * held_bytes), 0) FROM content)"""
    )


def held_bytes(connection: sqlite3.Connection, content_id: ContentId) -> int:
    """Room that a content takes, as far as the catalog was told; 0 for none."""
    row = connection.execute("SELECT held_bytes FROM content WHERE content_id = ?", (content_id,)).fetchone()
    return 0 if row is None else int(row[0])


def unsynced(connection: sqlite3.Connection, limit: int, *, after: int, dirty_only: bool) -> list[ContentId]:
    """Contents beyond `after` whose bytes are not yet known to be on the disk, in the order of their ids."""
    kind = "AND dirty = 1" if dirty_only else ""
    rows = connection.execute(
        f"SELECT content_id FROM content WHERE durable = 0 {kind} AND content_id > ? ORDER BY content_id LIMIT ?",  # noqa: S608
        (after, limit),
    ).fetchall()
    return [ContentId(row[0]) for row in rows]


def set_durable(connection: sqlite3.Connection, content_id: ContentId, *, unchanged: bool) -> None:
    """A state of these bytes was synced; `unchanged`: it is the one that the row tells of."""
    connection.execute(
        "UPDATE content SET durable = max(durable, ?), was_durable = 1 WHERE content_id = ?", (unchanged, content_id)
    )


def set_not_resident(connection: sqlite3.Connection, content_ids: list[ContentId]) -> None:
    """The disk did not keep these clean bytes: what reads as them now may be gone tomorrow. Fetch them again."""
    connection.executemany(
        "UPDATE content SET resident = ?, held_bytes = 0, durable = 0 WHERE content_id = ? AND dirty = 0",
        [(ranges.encode(()), content_id) for content_id in content_ids],
    )


def dirty(connection: sqlite3.Connection) -> list[ContentId]:
    """Contents that hold bytes which exist nowhere else."""
    rows = connection.execute("SELECT content_id FROM content WHERE dirty = 1").fetchall()
    return [ContentId(row[0]) for row in rows]


def orphans(connection: sqlite3.Connection, after: int, limit: int) -> tuple[list[ContentId], int | None]:
    """Among the next `limit` contents behind `after`, those that no node has; and where to go on (None: at the end)."""
    rows = connection.execute(
        """SELECT c.content_id, n.ino IS NULL FROM content c LEFT JOIN node n ON n.content_id = c.content_id
           WHERE c.content_id > ? ORDER BY c.content_id LIMIT ?""",
        (after, limit),
    ).fetchall()
    found = [ContentId(content_id) for content_id, alone in rows if alone]
    return found, rows[-1][0] if len(rows) == limit else None


def newest(connection: sqlite3.Connection) -> ContentId:
    """The highest number that was ever given to a content by a transaction that was committed."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'content'").fetchone()
    return ContentId(0 if row is None else row[0])


def exists(connection: sqlite3.Connection, content_id: ContentId) -> bool:
    """Whether there is such a row."""
    return connection.execute("SELECT 1 FROM content WHERE content_id = ?", (content_id,)).fetchone() is not None


def of_node(connection: sqlite3.Connection, ino: Ino) -> list[tuple[ContentId, Ino, int]]:
    """(content, ino, held bytes) of what a node has now: one, or none for a placeholder."""
    rows = connection.execute(
        """SELECT c.content_id, n.ino, c.held_bytes FROM node n JOIN content c ON c.content_id = n.content_id
           WHERE n.ino = ?""",
        (ino,),
    ).fetchall()
    return [(ContentId(content_id), Ino(owner), int(held)) for content_id, owner, held in rows]


def detach_clean(connection: sqlite3.Connection, content_ids: list[ContentId]) -> list[ContentId]:
    """Make the nodes of these contents placeholders, unless a byte became dirty; returns those that lost their node."""
    clean = [
        content_id
        for content_id in content_ids
        if connection.execute("SELECT 1 FROM content WHERE content_id = ? AND dirty = 0", (content_id,)).fetchone()
    ]
    connection.executemany("UPDATE node SET content_id = NULL WHERE content_id = ?", [(each,) for each in clean])
    return clean
