"""Conflicts under the policies `server-wins` and `client-wins`: what becomes of the side that loses.

Each function is part of a transaction. Local bytes that lose are put aside (`cache.aside`) before the node lets go of
them; remote ones stay in the item's history, or go to the remote's trash. The record of activity tells of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import contents, items, journal, tree, xattrs
from cache.activity import What
from cache.failpoints import reached
from cache.model import Aspect, ChangeState, Item, Kind, LocalChange, Node, NodeChanged
from cache.placeholders import item_size
from sync import settle

if TYPE_CHECKING:
    from sync.placing import Placing


def server_wins(placing: Placing, node: Node, told: Item, row: LocalChange) -> None:
    """The local change is undone; what it made is put aside."""
    if row.aspect is Aspect.PLACE:
        _undo_move(placing, node)
        return
    where = put_aside(placing, node)
    placing.note(node.ino, What.SERVER_WINS, f"the version from here is kept in {where}")
    if row.aspect is Aspect.CONTENT:
        drop_content(placing, node, told)
    else:
        drop_creation(placing, node)


def client_wins(placing: Placing, node: Node, told: Item, row: LocalChange) -> None:
    """The local change is made to what the server has now; pushing goes on from there."""
    connection = placing.connection
    placing.note(node.ino, What.CLIENT_WINS, "the server's version is in its history or in its trash")
    if row.aspect is Aspect.CONTENT:
        journal.rebase_content(connection, node.ino, told.content_version)
        journal.reopen(connection, node.ino, Aspect.CONTENT, approved=True)
    elif row.aspect is Aspect.CREATE and node.kind is Kind.FILE and told.kind is Kind.FILE:
        _become_version(placing, node, told, row)
    else:
        _overrule(placing, told, row)


def put_aside(placing: Placing, node: Node) -> str:
    """Keep the bytes, or the target, that a node shows; returns where, for people."""
    path = tree.path_of(placing.connection, node.ino)
    if node.kind is Kind.SYMLINK:
        return str(placing.aside.keep_link(node.symlink_target or "", path, placing.clock.now_s))
    content = None if node.content_id is None else contents.get(placing.connection, node.content_id)
    if content is None:
        return "no place: nothing of it was here"
    kept = placing.aside.keep_bytes(content, path, placing.clock.now_s)
    reached("put-aside")
    return str(kept)


def drop_content(placing: Placing, node: Node, told: Item) -> None:
    """Show the remote's content and attributes in the place of local ones, which were put aside."""
    connection = placing.connection
    journal.drop(connection, node.ino, Aspect.CONTENT, Aspect.ATTRIBUTES)
    tree.set_content(connection, node.ino, None, item_size(told))
    tree.set_attributes(connection, node.ino, told.mode, told.mtime_ns, placing.clock.now_ns)
    if node.content_id is not None:
        contents.give_up(connection, node.content_id)
        placing.after.released.add(node.content_id)
    placing.after.news.append(NodeChanged(node.ino, content=True))


def drop_creation(placing: Placing, node: Node) -> None:
    """Take out what is only here, and which was put aside; what an attempt to make it may have left at the remote is
    an item like any other then."""
    creation = journal.get(placing.connection, node.ino, Aspect.CREATE)
    placing.clear_of_local_kinds(node)
    placing.take_out(node)
    journal.drop(placing.connection, node.ino)
    if creation is not None and creation.sent_name is not None:
        placing.show_hidden(creation.sent_parent_id, creation.sent_name)
    placing.after.nameless.add(node.ino)


def _undo_move(placing: Placing, node: Node) -> None:
    known = None if node.item_id is None else items.get(placing.connection, node.item_id)
    home = None if known is None else placing.home(known)
    if known is None or home is None or tree.is_below(placing.connection, home.ino, node.ino):
        placing.after.news += settle.step_aside(placing.connection, node, placing.clock, placing.host)
        return
    journal.drop(placing.connection, node.ino, Aspect.PLACE)
    placing.note(node.ino, What.SERVER_WINS, f"the name is taken on the server: back to {known.name}")
    placing.move(node, home, known)


def _become_version(placing: Placing, node: Node, told: Item, row: LocalChange) -> None:
    """A file made here takes over the item that holds its name, as its next content."""
    connection, clock = placing.connection, placing.clock
    before = tree.by_item(connection, told.item_id)
    theirs = xattrs.names(connection, None if before is None else before.ino, told)
    settle.take_over(placing, node.ino, told)
    items.put(connection, told)
    tree.set_item(connection, node.ino, told.item_id)
    journal.drop(connection, node.ino, Aspect.CREATE, Aspect.XATTRS)
    xattrs.hide(connection, node.ino, told, theirs, clock, held=_is_held(row))
    journal.record(connection, node.ino, Aspect.CONTENT, told, clock.now_s, held=_is_held(row))
    if node.content_id is not None and told.content_version is not None:
        contents.set_version(connection, node.content_id, told.content_version)


def _overrule(placing: Placing, told: Item, row: LocalChange) -> None:
    """The item goes to the trash, so that its name is free for ours."""
    number = tree.spare_ino(placing.connection)
    settle.take_over(placing, number, told)
    items.put(placing.connection, told)
    journal.record(placing.connection, number, Aspect.REMOVE, told, placing.clock.now_s, held=_is_held(row))


def _is_held(row: LocalChange) -> bool:
    """What follows from a change goes when it goes."""
    return row.state is ChangeState.HELD
