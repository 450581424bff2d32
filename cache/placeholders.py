"""From items to nodes: how what the remote holds gets its place in the local tree.

A remote item whose name is held by a local node that the remote does not know yet stays *shadowed*: it is in `item`,
it has no node. Whoever frees the name calls `reveal`. Who wins is decided when the local one is pushed
(`sync.settle`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import contents, items, journal, tree
from cache.model import Capability, EntryChanged, Ino, Item, Kind, LocalChange, News, Node
from cache.names import shown

if TYPE_CHECKING:
    import sqlite3


def materialise(connection: sqlite3.Connection, parent: Ino | None, item: Item) -> Ino:
    """Give an item a node in a folder where its name is free (parent None: the root); no byte of it is fetched."""
    return tree.insert(connection, node_of(parent, item))


def node_of(parent: Ino | None, item: Item) -> Node:
    """How an item looks in a folder; it has no inode number yet."""
    return Node(
        ino=Ino(0),
        parent=parent,
        name="" if parent is None else shown(item.name),
        kind=item.kind,
        size=item_size(item),
        mode=item.mode,
        mtime_ns=item.mtime_ns,
        ctime_ns=item.mtime_ns,
        item_id=item.item_id,
        content_id=None,
        symlink_target=item.symlink_target,
        listed=False,
        writable=Capability.WRITE in item.capabilities,
        held_bytes=0,
    )


def item_size(item: Item) -> int:
    """st_size of an item: a symlink's is the length of its target."""
    if item.kind is Kind.SYMLINK:
        return len((item.symlink_target or "").encode())
    return item.size


def reveal(connection: sqlite3.Connection, parent: Ino, name: str) -> list[News]:
    """The name became free here: show the remote item that it hid, if there is one."""
    item = _hidden(connection, parent, name)
    if item is None or tree.child(connection, parent, name) is not None or is_own_creation(connection, parent, item):
        return []
    materialise(connection, parent, item)
    return [EntryChanged(parent, name)]


def _hidden(connection: sqlite3.Connection, parent: Ino, name: str) -> Item | None:
    """The item at a place that no node shows, and that is not to be removed. There is none almost always, and every
    rename and removal asks: one question."""
    row = connection.execute(
        """SELECT i.item_id FROM node f JOIN item i ON i.parent_id = f.item_id AND i.shown_name = ?
           WHERE f.ino = ? AND NOT EXISTS (SELECT 1 FROM node n WHERE n.item_id = i.item_id)
             AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.item_id = i.item_id AND j.aspect = 'remove')""",
        (name, parent),
    ).fetchone()
    return None if row is None else items.get(connection, row[0])


def is_own_creation(connection: sqlite3.Connection, parent: Ino, item: Item) -> bool:
    """Whether an item in a folder is what a node, renamed or removed since, was sent as: its answer is not known yet,
    and until then the item is not shown, or one file would have two names, and a removed one would be back."""
    renamed = any(
        node is not None and node.parent is not None and node.kind is item.kind
        and (node.parent, node.name) != (parent, shown(item.name))
        and (row.may_have_sent(item.digest) if item.kind is Kind.FILE else node.symlink_target == item.symlink_target)
        for row in journal.creations_sent_to(connection, item.parent_id, item.name)
        for node in (tree.by_ino(connection, row.ino),)
    )  # fmt: skip
    return renamed or removal_of_unanswered(connection, item) is not None


def removal_of_unanswered(connection: sqlite3.Connection, item: Item) -> LocalChange | None:
    """The removal of our own creation, whose answer was lost, if this may be what it made."""
    for row in journal.unanswered_removals(connection, item.parent_id, item.name):
        if item.kind is not Kind.FILE or row.may_have_sent(item.digest):
            return row
    return None


def forget_node(connection: sqlite3.Connection, node: Node) -> None:
    """Delete the row of a node that has no name any more, and its content's row (the blob goes after the commit)."""
    tree.delete(connection, node.ino)
    if node.content_id is not None:
        contents.delete(connection, node.content_id)
