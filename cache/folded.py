"""Names that the remote takes for one (letter case, Unicode forms), as far as a refusal told of them.

A row of the outbox that wants such a name waits for the item that has it, if that is about to leave. No lookup by name
in the catalog would find it. Rows go with their row of the outbox; every function belongs inside a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import items

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Item, ItemId, LocalChange


def note(connection: sqlite3.Connection, change: LocalChange, wanted: str, told: Item) -> None:
    """The remote refused a name for what stands there under another one."""
    connection.execute(
        "INSERT OR REPLACE INTO folded VALUES (?, ?, ?, ?)", (change.seq, wanted, told.item_id, told.name)
    )


def occupant(connection: sqlite3.Connection, change: LocalChange, parent_id: ItemId, wanted: str) -> Item | None:
    """What was told to stand in the way of a name, if it still does as far as is known."""
    if change.sent_name is None:  # never refused
        return None
    query = "SELECT item_id, name FROM folded WHERE seq = ? AND wanted = ?"
    row = connection.execute(query, (change.seq, wanted)).fetchone()
    item = None if row is None else items.get(connection, row[0])
    return item if item is not None and (item.parent_id, item.name) == (parent_id, row[1]) else None
