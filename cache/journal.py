"""The outbox: how each node differs from the remote because of a local change.

It is a set of differences, not a log of calls: at most one row per node and aspect, so a burst of writes is one upload,
a chain of renames one move, and a file created and deleted again is nothing. A row remembers the remote state that
the change was made on; it goes only when the remote has it, when it became void, or when the remote won by the
conflict table. Every function belongs inside the transaction that makes the change visible.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from cache import sent_moves
from cache.holding import review_wanted
from cache.model import Aspect, ChangeState, Ino, Item, ItemId, LocalChange, Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

SENT_DIGESTS_KEPT = 16  # unanswered states of one file; an older one that arrives late is taken for a foreign edit

_COLUMNS = """seq, ino, aspect, state, item_id, base_content, base_metadata, base_parent_id, base_name, generation, key,
    sent_generation, sent_parent_id, sent_name, sent_digest, attempts, reason, not_before_ms, queued_at_s"""
_NAMES = _COLUMNS.replace("\n", "").replace(" ", "").split(",")


def _change(row: tuple[object, ...]) -> LocalChange:
    values = dict(zip(_NAMES, row, strict=True))
    values["aspect"] = Aspect(str(values["aspect"]))
    values["state"] = ChangeState(str(values["state"]))
    return LocalChange(**values)  # type: ignore[arg-type]  # the STRICT schema guarantees the types of the row


def select(connection: sqlite3.Connection, where: str, arguments: Iterable[object] = ()) -> list[LocalChange]:
    """Rows by a condition on the table."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM journal WHERE {where}", tuple(arguments))  # noqa: S608
    return [_change(row) for row in rows.fetchall()]


def all_changes(connection: sqlite3.Connection, limit: int = -1) -> list[LocalChange]:
    """The whole outbox in order."""
    return select(connection, "1 ORDER BY seq LIMIT ?", (limit,))


def next_due_ms(connection: sqlite3.Connection, now_ms: int) -> int | None:
    """When the next row that is delayed now may be tried."""
    (when,) = connection.execute(
        "SELECT min(not_before_ms) FROM journal WHERE state = 'pending' AND not_before_ms > ?", (now_ms,)
    ).fetchone()
    return None if when is None else int(when)


def count(connection: sqlite3.Connection, state: ChangeState | None = None) -> int:
    """How many rows there are."""
    query = "SELECT count(*) FROM journal WHERE ?1 IS NULL OR state = ?1"
    (number,) = connection.execute(query, (state,)).fetchone()
    return int(number)


def get(connection: sqlite3.Connection, ino: Ino, aspect: Aspect) -> LocalChange | None:
    """The row of a node's aspect."""
    rows = select(connection, "ino = ? AND aspect = ?", (ino, aspect))
    return rows[0] if rows else None


def of_node(connection: sqlite3.Connection, ino: Ino) -> dict[Aspect, LocalChange]:
    """All rows of a node."""
    return {change.aspect: change for change in select(connection, "ino = ?", (ino,))}


def removal_of(connection: sqlite3.Connection, item_id: ItemId) -> LocalChange | None:
    """The pending removal of an item, which has no node any more."""
    rows = select(connection, "item_id = ? AND aspect = 'remove'", (item_id,))
    return rows[0] if rows else None


def unanswered_removals(connection: sqlite3.Connection, parent_id: ItemId | None, name: str) -> list[LocalChange]:
    """Removals of what a creation without a known answer may have made under that name."""
    return select(
        connection,
        "aspect = 'remove' AND item_id IS NULL AND base_parent_id = ? AND base_name = ?",
        (parent_id, name),
    )


def unanswered_at(
    connection: sqlite3.Connection, parent_id: ItemId | None, name: str, ino: Ino
) -> list[LocalChange]:  # fmt: skip
    """Creations that other rows sent to that place, and that may still turn out to have happened."""
    return select(
        connection,
        """(base_parent_id = ?1 AND base_name = ?2 AND aspect = 'remove' AND item_id IS NULL)
           OR (sent_parent_id = ?1 AND sent_name = ?2 AND aspect = 'create' AND sent_generation >= 0
               AND state <> 'parked' AND ino <> ?3)""",
        (parent_id, name, ino),
    )


def creations_sent_to(connection: sqlite3.Connection, parent_id: ItemId | None, name: str) -> list[LocalChange]:
    """Creations whose answer is not known, by where they were sent: what appears there may be their own doing."""
    return select(
        connection,
        "sent_parent_id = ? AND sent_name = ? AND aspect = 'create' AND sent_generation >= 0",
        (parent_id, name),
    )


def leaving(connection: sqlite3.Connection, parent_id: ItemId, limit: int = -1) -> list[LocalChange]:
    """Removals of what a folder of the remote holds, or may hold by a request without a known answer, and moves out of
    it."""
    return select(
        connection,
        """(base_parent_id = ?1 AND aspect IN ('remove', 'place'))
           OR (sent_parent_id = ?1 AND aspect = 'create' AND sent_generation >= 0)
           OR seq IN (SELECT seq FROM sent_move WHERE parent_id = ?1) LIMIT ?2""",
        (parent_id, limit),
    )


def new_key() -> str:
    """A fresh idempotency key."""
    return secrets.token_hex(16)


def record(
    connection: sqlite3.Connection, ino: Ino, aspect: Aspect, item: Item | None, now_s: int,
    *, not_before_ms: int = 0, held: bool | None = None,
) -> None:  # fmt: skip
    """Note a local change; `item` is the remote state that it is based on (kept from the first change on).

    A further change of a row only raises its generation: a request under way goes on and the row stays behind it.
    A parked row becomes pending again: the person changed something. `held`: whether it waits for approval; as
    review is asked for, when not told. What is held stays held: only approval sends it.
    """
    hold = review_wanted(connection) if held is None else held
    connection.execute(
        """INSERT INTO journal (ino, aspect, state, item_id, base_content, base_metadata, base_parent_id, base_name,
               generation, key, sent_generation, attempts, not_before_ms, queued_at_s)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, -1, 0, ?, ?)
           ON CONFLICT (ino, aspect) DO UPDATE SET generation = generation + 1, not_before_ms = excluded.not_before_ms,
               state = CASE
                   WHEN journal.state = 'held' OR excluded.state = 'held' THEN 'held'
                   WHEN journal.state = 'running' THEN 'running' ELSE 'pending' END""",
        (
            ino, aspect, ChangeState.HELD if hold else ChangeState.PENDING,
            None if item is None else item.item_id,
            None if item is None else item.content_version,
            None if item is None else item.metadata_version,
            None if item is None else item.parent_id,
            None if item is None else item.name,
            new_key(), not_before_ms, now_s,
        ),
    )  # fmt: skip


def drop(connection: sqlite3.Connection, ino: Ino, *aspects: Aspect) -> None:
    """Forget rows of a node (all of them when no aspect is named)."""
    if aspects:
        connection.executemany("DELETE FROM journal WHERE ino = ? AND aspect = ?", [(ino, a) for a in aspects])
    else:
        connection.execute("DELETE FROM journal WHERE ino = ?", (ino,))


def sending(connection: sqlite3.Connection, change: LocalChange, request: object, digest: str | None) -> str:
    """Mark a row as sent and return the key to send it under.

    The key is derived from the row's and from all that the request tells: the same request has the same key, also
    after a restart; another one has another, also when only its base has moved on.
    """
    sent = (change.sent_digest or "").split()
    if digest is not None:
        sent = [*(each for each in sent if each != digest), digest][-SENT_DIGESTS_KEPT:]
    connection.execute(
        "UPDATE journal SET state = 'running', sent_generation = generation, sent_digest = ? WHERE seq = ?",
        (" ".join(sent) or None, change.seq),
    )
    return hashlib.sha256(f"{change.key} {request!r}".encode()).hexdigest()[:32]


def sent_to(connection: sqlite3.Connection, change: LocalChange, parent_id: ItemId, name: str) -> None:
    """Where a creation or move was sent: as long as its answer is not known, what appears there is our own."""
    connection.execute(
        "UPDATE journal SET sent_parent_id = ?, sent_name = ? WHERE seq = ?", (parent_id, name, change.seq)
    )
    if change.aspect is Aspect.PLACE:
        sent_moves.note(connection, change, parent_id, name)


def not_sent(connection: sqlite3.Connection, change: LocalChange) -> None:
    """It is known that what was sent did nothing."""
    connection.execute(
        "UPDATE journal SET key = ?, sent_generation = -1, state = 'pending' WHERE seq = ?", (new_key(), change.seq)
    )


def refused(connection: sqlite3.Connection, change: LocalChange, *, in_doubt: bool = False) -> None:
    """The remote answered no: it did nothing, and would repeat that answer under the same key for ever.

    `change`: the row before this attempt; `in_doubt`: an earlier one may still have been applied.
    """
    if change.aspect is Aspect.PLACE and not change.in_doubt:
        sent_moves.forget(connection, change.ino)
    connection.execute(
        """UPDATE journal SET key = ?, sent_generation = iif(?, sent_generation, -1)
           WHERE seq = ? AND state IN ('running', 'held')""",
        (new_key(), in_doubt, change.seq),
    )


def rebase(connection: sqlite3.Connection, ino: Ino, item: Item) -> None:
    """The remote confirmed a state of ours: what is still pending is now based on it."""
    connection.execute(
        "UPDATE journal SET item_id = ?, base_metadata = ?, base_parent_id = ?, base_name = ? WHERE ino = ?",
        (item.item_id, item.metadata_version, item.parent_id, item.name, ino),
    )


def rebase_content(connection: sqlite3.Connection, ino: Ino, version: Version | None) -> None:
    """Pending content, or a pending removal, is based on this version of the remote."""
    connection.execute(
        "UPDATE journal SET base_content = ? WHERE ino = ? AND aspect IN ('content', 'remove')",
        (version, ino),
    )


def inherit_sent(connection: sqlite3.Connection, ino: Ino, aspect: Aspect, earlier: LocalChange | None) -> None:
    """What was sent for an earlier change of the same item may still arrive: it is no stranger's edit then."""
    if earlier is not None and earlier.sent_digest is not None:
        connection.execute(
            "UPDATE journal SET sent_digest = ? WHERE ino = ? AND aspect = ?", (earlier.sent_digest, ino, aspect)
        )


def create_to_removal(
    connection: sqlite3.Connection, ino: Ino, parent_id: ItemId | None, name: str, heir: Ino | None = None
) -> None:
    """A creation that was sent, its answer unknown, of something deleted meanwhile: what it made must go again.

    `heir`: the number of that removal, when the node itself goes on without it.
    """
    connection.execute(
        """UPDATE journal SET aspect = 'remove', ino = coalesce(?, ino), base_parent_id = coalesce(sent_parent_id, ?),
               base_name = coalesce(sent_name, ?), generation = generation + 1,
               state = CASE WHEN ? THEN 'held' WHEN state = 'parked' THEN 'pending' ELSE state END
           WHERE ino = ? AND aspect = 'create'""",
        (heir, parent_id, name, review_wanted(connection), ino),
    )


def failed(connection: sqlite3.Connection, change: LocalChange, reason: str, not_before_ms: int) -> None:
    """Try again later; `attempts` counts those that failed for this reason in a row."""
    connection.execute(
        """UPDATE journal SET state = 'pending', attempts = iif(reason IS ?1, attempts, 0) + 1, reason = ?1,
               not_before_ms = ?2
           WHERE seq = ?3 AND state NOT IN ('parked', 'held')""",
        (reason, not_before_ms, change.seq),
    )


def park(connection: sqlite3.Connection, change: LocalChange, reason: str) -> None:
    """Keep it, show it, and wait for a person or a change."""
    connection.execute(
        "UPDATE journal SET state = 'parked', attempts = attempts + 1, reason = ? WHERE seq = ? AND state <> 'held'",
        (reason, change.seq),
    )


def retry_parked(connection: sqlite3.Connection, ino: Ino | None = None) -> int:
    """Everything parked, or what is parked of a node, becomes pending again; returns how many."""
    change = "UPDATE journal SET state = 'pending', not_before_ms = 0 WHERE state = 'parked'"
    if ino is None:
        return connection.execute(change).rowcount
    return connection.execute(f"{change} AND ino = ?", (ino,)).rowcount  # by its index, however long the outbox is


def reopen(connection: sqlite3.Connection, ino: Ino, aspect: Aspect, *, approved: bool = False) -> None:
    """What was sent has arrived, and the node went on since: the row is to be pushed again, as a new request.

    `approved`: it is what a person wanted to be sent, also where changes wait for approval.
    """
    if aspect is Aspect.PLACE:
        sent_moves.forget(connection, ino)
    state = ChangeState.HELD if review_wanted(connection) and not approved else ChangeState.PENDING
    connection.execute(
        """UPDATE journal SET state = ?, attempts = 0, sent_generation = -1, sent_digest = NULL
           WHERE ino = ? AND aspect = ?""",
        (state, ino, aspect),
    )
