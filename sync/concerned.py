"""Which items decide about a row of the outbox: what is asked for again when the remote refuses it. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import items, tree

if TYPE_CHECKING:
    import sqlite3

    from cache.model import ItemId, LocalChange


def concerned_by(reader: sqlite3.Connection, change: LocalChange) -> list[ItemId]:
    """The item itself, its folder, and what holds the name."""
    node = tree.by_ino(reader, change.ino)
    parent = None if node is None or node.parent is None else tree.by_ino(reader, node.parent)
    known = [
        change.item_id,
        None if node is None else node.item_id,
        None if parent is None else parent.item_id,
    ]
    if parent is not None and node is not None and parent.item_id is not None:
        occupant = items.at_place(reader, parent.item_id, node.name)
        known.append(None if occupant is None else occupant.item_id)
    return sorted({each for each in known if each is not None})


def folders_above(reader: sqlite3.Connection, change: LocalChange) -> list[ItemId]:
    """Every folder on the way to the root."""
    node = tree.by_ino(reader, change.ino)
    found: list[ItemId] = []
    while node is not None and node.parent is not None:
        node = tree.by_ino(reader, node.parent)
        found += [] if node is None or node.item_id is None else [node.item_id]
    return found
