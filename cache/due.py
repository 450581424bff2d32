"""Which rows of the outbox may be tried, a page at a time.

A row whose own node, or whose folder, the remote has yet to make waits for that (`sync.push`): it is left out here, for
a hundredth of what planning it costs. So 100,000 files behind one folder that cannot be made are cheap. What was sent
once is never left out: its answer may be told before its folder's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import journal

if TYPE_CHECKING:
    import sqlite3

    from cache.model import LocalChange

PAGE_ROWS = 64
SEEN_ROWS = 4096  # gone through for a page: 4 ms, when all of them are left out
_LAST = (1 << 63) - 1

_WAITS = """aspect <> 'remove' AND sent_generation < 0 AND EXISTS (
    SELECT 1 FROM node n JOIN node folder ON folder.ino = n.parent WHERE n.ino = journal.ino
    AND ((aspect IN ('create', 'place') AND folder.item_id IS NULL) OR (aspect <> 'create' AND n.item_id IS NULL)))"""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order; `last`: the number of the last one that was gone through, None when that was the outbox's end."""

    rows: list[LocalChange]
    last: int | None


def page(connection: sqlite3.Connection, now_ms: int, after_seq: int) -> Page:
    """The rows beyond `after_seq` that may be tried now, oldest first, as far as one page goes."""
    beyond = "SELECT seq FROM journal WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?"
    end = connection.execute(beyond, (after_seq, SEEN_ROWS - 1)).fetchone()
    last = None if end is None else int(end[0])
    stop = _LAST if last is None else last
    rows = journal.select(
        connection,
        f"""state = 'pending' AND +not_before_ms <= ?1 AND seq > ?2 AND seq <= ?3 AND NOT ({_WAITS})
            ORDER BY seq LIMIT ?4""",  # +: in order of seq
        (now_ms, after_seq, stop, PAGE_ROWS),
    )
    return Page(rows, rows[-1].seq if len(rows) == PAGE_ROWS else last)
