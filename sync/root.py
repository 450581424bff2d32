"""The item that the mount point shows, whatever its id: a server that lost its index tells its root under another one.

But not that of a folder below: then another part of the drive is exported. What is known would lie in itself, and what
is not in that part would seem to be gone: nothing is taken in, and the connection counts as lost until it is put right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import folder_ids, items, tree
from cache.model import ROOT_INO
from cache.placeholders import materialise
from sync.remote import ProtocolViolation

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Item


def take(connection: sqlite3.Connection, told: Item) -> None:
    """Part of a transaction; the node is made at the first contact. Raises ProtocolViolation."""
    node = tree.by_ino(connection, ROOT_INO)
    if node is None:
        materialise(connection, None, told)
    elif node.item_id is not None and node.item_id != told.item_id:
        if tree.by_item(connection, told.item_id) is not None:
            raise ProtocolViolation("the server shows a folder of this drive as all of it; nothing is synced with that")
        folder_ids.change(connection, node.item_id, told.item_id)
    tree.set_item(connection, ROOT_INO, told.item_id)
    items.put(connection, told)
