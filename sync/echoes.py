"""What was done here to the feed's echo of our own creation, before its answer came.

Somebody renamed on the server what was just made here: until the answer tells that it is ours, it is shown as a file of
its own, under its new name. Then the two are one, and what was changed of the echo is a change of what made it. The
place at which the feed told it is newer than the answer's: a rename of the echo is one from there. A folder put into
its own echo has that one's place. Of two names that one thing has here for a while a program may take away one: it
keeps the other, unless that removal was carried out before the answer came: then the file is in the server's trash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import heirs, items, journal, tree
from cache.model import Aspect, EntryChanged, Item, Node

if TYPE_CHECKING:
    import sqlite3

    from sync.placing import Placing


def become_one(placing: Placing, node: Node, told: Item) -> Item:
    """Before `node` becomes `told`: the changes of its echo go over to it. Returns the item, at its newer place where
    these are based on that."""
    connection = placing.connection
    known, echo = items.get(connection, told.item_id), tree.by_item(connection, told.item_id)
    removal = journal.removal_of(connection, told.item_id)
    if echo is not None and echo.ino != node.ino:
        placed = _go_over(placing, node, echo)
    elif echo is None and removal is not None:
        journal.drop(connection, removal.ino)
        placed = True
    else:
        placed = False
    return items.placed_as(told, known) if placed and known is not None else told


def _go_over(placing: Placing, node: Node, echo: Node) -> bool:
    """Whether the node takes over the echo's place."""
    connection = placing.connection
    pending = journal.of_node(connection, echo.ino)
    if Aspect.CONTENT in pending:
        return False  # it goes on by itself, with all that is its own
    heirs.take_xattrs(connection, echo.ino, node.ino)
    if Aspect.ATTRIBUTES in pending:
        tree.set_attributes(connection, node.ino, echo.mode, echo.mtime_ns, placing.clock.now_ns)
        heirs.take_row(connection, echo.ino, node.ino, Aspect.ATTRIBUTES)
    if not (_holds(connection, echo, node) or (Aspect.PLACE in pending and _may_follow(connection, node, echo))):
        return False
    heirs.take_row(connection, echo.ino, node.ino, Aspect.PLACE)
    placing.take_out(echo)
    placing.take_out(node)
    tree.place(connection, node.ino, echo.parent, echo.name)
    if echo.parent is not None:
        placing.after.news.append(EntryChanged(echo.parent, echo.name))
    return True


def _holds(connection: sqlite3.Connection, echo: Node, node: Node) -> bool:
    """Whether a folder was put into what turned out to be itself: its echo's children are its own from here on."""
    return tree.is_below(connection, node.ino, echo.ino)


def _may_follow(connection: sqlite3.Connection, node: Node, echo: Node) -> bool:
    """Whether the echo has a place that does not lie in the node."""
    return echo.parent is not None and not tree.is_below(connection, echo.parent, node.ino)
