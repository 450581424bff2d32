"""Paths below the mount point, as people name things: also of what was removed, and of where things were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import journal, tree
from cache.model import Aspect

if TYPE_CHECKING:
    import sqlite3

    from cache.model import ItemId, LocalChange

DEEPEST = 512  # folders removed within removed folders: beyond it only the end of the path is told


def of_change(connection: sqlite3.Connection, change: LocalChange) -> str:
    """Where what a row of the outbox is about is, or was."""
    return before(connection, change) if change.aspect is Aspect.REMOVE else tree.path_of(connection, change.ino)


def before(connection: sqlite3.Connection, change: LocalChange) -> str:
    """Where the remote has what a row is about."""
    return in_folder(connection, change.base_parent_id, change.base_name or "?")


def in_folder(connection: sqlite3.Connection, folder: ItemId | None, name: str) -> str:
    """The path of a name in a folder of the remote, which may have been removed here."""
    names = [name]
    for _ in range(DEEPEST):
        node = None if folder is None else tree.by_item(connection, folder)
        removal = journal.removal_of(connection, folder) if folder is not None and node is None else None
        if node is not None or removal is None:
            return "/".join(["?" if node is None else tree.path_of(connection, node.ino), *reversed(names)])
        names.append(removal.base_name or "?")
        folder = removal.base_parent_id
    return "/".join(["?", *reversed(names)])
