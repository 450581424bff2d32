"""A folder that the remote knows under another id from here on, as one that lost its index knows its root.

What was told of it, and what was changed in it or sent to it, is so of the same folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from cache.model import ItemId


def change(connection: sqlite3.Connection, before: ItemId, now: ItemId) -> None:
    """Part of the transaction in which its node becomes the item `now`."""
    connection.execute("DELETE FROM item WHERE item_id = ?", (before,))
    connection.execute("UPDATE item SET parent_id = ? WHERE parent_id = ?", (now, before))
    connection.execute("UPDATE journal SET base_parent_id = ? WHERE base_parent_id = ?", (now, before))
    connection.execute("UPDATE journal SET sent_parent_id = ? WHERE sent_parent_id = ?", (now, before))
    connection.execute("UPDATE OR REPLACE sent_move SET parent_id = ? WHERE parent_id = ?", (now, before))
