"""Local changes: each function is one transaction's whole work, the tree and the outbox together.

They return what the kernel cannot know by itself (`News`); a plain success of its own request it does know. Every
check is made here, inside the transaction that acts. Never called with a folder whose children are not all here
(`listed`), where emptiness matters: the caller lists it first.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cache import contents, heirs, holding, items, journal, names, tree, xattrs
from cache.changing import Clock, existing, permit
from cache.content_edits import journal_content
from cache.errors import Exists, IsAFolder, NotAFolder, NotEmpty, NotFound, WouldCycle
from cache.model import (
    LOCAL_KINDS,
    ROOT_INO,
    Aspect,
    Capability,
    ChangeState,
    ContentId,
    Ino,
    Item,
    ItemId,
    Kind,
    LocalChange,
    News,
    Node,
    Version,
)
from cache.placeholders import reveal

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a rename did: the node moved, the one whose name it took, and news."""

    node: Node
    replaced: Node | None
    news: list[News]


def make(
    connection: sqlite3.Connection,
    parent: Ino,
    name: str,
    kind: Kind,
    clock: Clock,
    *,
    mode: int,
    target: str = "",
    owner: tuple[int | None, int | None] = (None, None),
    device: int = 0,
) -> Node:
    """Create what `kind` says; raises Exists, NotFound, NotAFolder, NotPermitted, Name….

    `owner`: uid and gid, None as in a node. In a folder with the set-group-ID bit all is of its group, as on Linux.
    """
    names.check(name)
    folder = _folder(connection, parent, Capability.ADD_CHILDREN if kind not in LOCAL_KINDS else None)
    if tree.child(connection, parent, name) is not None:
        raise Exists(name=name)
    uid, gid = owner
    if folder.mode & stat.S_ISGID:
        gid, mode = folder.gid, mode | (stat.S_ISGID if kind is Kind.FOLDER else 0)
    blank = Node(
        ino=Ino(0), parent=parent, name=name, kind=kind, size=len(target.encode()), mode=mode, mtime_ns=clock.now_ns,
        ctime_ns=clock.now_ns, item_id=None, content_id=None, symlink_target=target or None,
        listed=kind is Kind.FOLDER, writable=True, held_bytes=0, uid=uid, gid=gid, atime_ns=clock.now_ns, device=device,
    )  # fmt: skip
    ino = tree.insert(connection, blank)
    content_id: ContentId | None = None
    if kind is Kind.FILE:
        content_id = contents.insert(connection, ino, None, 0, clock.now_s, dirty=True)
        tree.set_content(connection, ino, content_id, 0)
    if kind not in LOCAL_KINDS:
        journal.record(connection, ino, Aspect.CREATE, None, clock.now_s, not_before_ms=clock.push_after_ms)
    tree.touch(connection, parent, clock.now_ns)
    return replace(blank, ino=ino, content_id=content_id)


def remove(
    connection: sqlite3.Connection, parent: Ino, name: str, clock: Clock, *, folder: bool
) -> tuple[Node, list[News]]:
    """Take a name out of the tree (unlink, or rmdir with `folder`); the node stays, nameless, for open handles."""
    names.check(name)
    node = tree.child(connection, parent, name)
    if node is None:
        raise NotFound(name=name)
    if folder and node.kind is not Kind.FOLDER:
        raise NotAFolder(name=name)
    if not folder and node.kind is Kind.FOLDER:
        raise IsAFolder(name=name)
    if folder and tree.has_children(connection, node.ino):
        raise NotEmpty(ino=node.ino)
    permit(connection, node, Capability.DELETE)
    _detach(connection, node, clock)
    tree.touch(connection, parent, clock.now_ns)
    return node, reveal(connection, parent, name)


def rename(  # noqa: PLR0917
    connection: sqlite3.Connection, parent: Ino, name: str, new_parent: Ino, new_name: str, clock: Clock,
    *, no_replace: bool = False,
) -> Renamed:  # fmt: skip
    """POSIX rename: atomic here, and one atomic request at the remote."""
    names.check(new_name)
    node = tree.child(connection, parent, name)
    if node is None:
        raise NotFound(name=name)
    folder = _folder(connection, new_parent, Capability.ADD_CHILDREN if parent != new_parent else None)
    target = tree.child(connection, new_parent, new_name)
    if target is not None and no_replace:
        raise Exists(name=new_name)
    if target is not None and target.ino == node.ino:
        return Renamed(node, None, [])
    _check_rename(connection, node, target, new_parent)
    if target is not None:
        if _becomes_version_of(connection, node, target):
            _adopt(connection, node, target, clock)
        else:
            _detach(connection, target, clock)
        node = existing(connection, node.ino)  # it may be that item by now
    tree.rename(connection, node.ino, new_parent, new_name, clock.now_ns)
    _journal_place(connection, node, folder.item_id, new_name, clock)
    journal.retry_parked(connection, node.ino)  # what was refused there may be taken here
    for touched in {parent, new_parent}:
        tree.touch(connection, touched, clock.now_ns)
    return Renamed(node, target, reveal(connection, parent, name))


def exchange(  # noqa: PLR0917
    connection: sqlite3.Connection, parent: Ino, name: str, new_parent: Ino, new_name: str, clock: Clock
) -> None:
    """RENAME_EXCHANGE: two names swap what they bear."""
    one, other = tree.child(connection, parent, name), tree.child(connection, new_parent, new_name)
    if one is None or other is None:
        raise NotFound(name=name if one is None else new_name)
    for node, folder in ((one, new_parent), (other, parent)):
        permit(connection, node, Capability.RENAME)
        if tree.is_below(connection, folder, node.ino):
            raise WouldCycle(ino=node.ino)
    tree.place(connection, one.ino, None, name)
    tree.place(connection, other.ino, parent, name)
    tree.place(connection, one.ino, new_parent, new_name)
    for ino in (one.ino, other.ino):
        tree.stamp(connection, ino, clock.now_ns)
        journal_place(connection, ino, clock)
        journal.retry_parked(connection, ino)
    for folder in {parent, new_parent}:
        tree.touch(connection, folder, clock.now_ns)


def set_attributes(
    connection: sqlite3.Connection, ino: Ino, clock: Clock, *, mode: int | None = None, mtime_ns: int | None = None
) -> Node:
    """chmod and utimens: what travels of them; not from the root, which is where this machine mounted the drive."""
    node = existing(connection, ino)
    permit(connection, node, Capability.WRITE)
    new_mode = node.mode if mode is None else mode
    new_mtime = node.mtime_ns if mtime_ns is None else mtime_ns
    tree.set_attributes(connection, ino, new_mode, new_mtime, clock.now_ns)
    if node.item_id is not None and ino != ROOT_INO and (new_mode, new_mtime) != (node.mode, node.mtime_ns):
        item = items.get(connection, node.item_id)
        journal.record(connection, ino, Aspect.ATTRIBUTES, item, clock.now_s, not_before_ms=clock.push_after_ms)
    return replace(node, mode=new_mode, mtime_ns=new_mtime, ctime_ns=clock.now_ns)


def set_local_attributes(
    connection: sqlite3.Connection, node: Node, clock: Clock,
    *, uid: int | None = None, gid: int | None = None, atime_ns: int | None = None,
) -> None:  # fmt: skip
    """chown, and the time of last access: these stay on this machine."""
    if uid is not None or gid is not None:
        tree.set_owner(connection, node.ino, node.uid if uid is None else uid, node.gid if gid is None else gid)
    if atime_ns is not None:
        tree.set_atime(connection, node.ino, atime_ns)
    tree.stamp(connection, node.ino, clock.now_ns)


def _folder(connection: sqlite3.Connection, ino: Ino, needs: Capability | None) -> Node:
    node = existing(connection, ino)
    if node.kind is not Kind.FOLDER:
        raise NotAFolder(ino=ino)
    if node.parent is None and ino != ROOT_INO:
        raise NotFound(ino=ino)  # removed while somebody still stands in it
    if needs is not None:
        permit(connection, node, needs)
    return node


def _check_rename(connection: sqlite3.Connection, node: Node, target: Node | None, new_parent: Ino) -> None:
    permit(connection, node, Capability.RENAME)
    if node.kind is Kind.FOLDER and tree.is_below(connection, new_parent, node.ino):
        raise WouldCycle(ino=node.ino)
    if target is None:
        return
    permit(connection, target, Capability.DELETE)
    if node.kind is Kind.FOLDER and target.kind is not Kind.FOLDER:
        raise NotAFolder(ino=target.ino)
    if target.kind is Kind.FOLDER:
        if node.kind is not Kind.FOLDER:
            raise IsAFolder(ino=target.ino)
        if tree.has_children(connection, target.ino):
            raise NotEmpty(ino=target.ino)


def _becomes_version_of(connection: sqlite3.Connection, node: Node, target: Node) -> bool:
    """Whether `node` was never uploaded and takes an item's place: how editors save."""
    if node.item_id is not None or target.item_id is None or {node.kind, target.kind} != {Kind.FILE}:
        return False
    create = journal.get(connection, node.ino, Aspect.CREATE)
    return create is not None and create.state is not ChangeState.RUNNING and create.sent_generation < 0


def _adopt(connection: sqlite3.Connection, node: Node, target: Node, clock: Clock) -> None:
    """The new file becomes the item's next content_version: its id, history and pins go on."""
    assert target.item_id is not None and node.content_id is not None  # noqa: S101, PT018  # by _becomes_version_of
    rows = journal.of_node(connection, target.ino)
    item = items.get(connection, target.item_id)
    base = _seen_version(rows, item)
    theirs = set() if item is None else xattrs.names(connection, target.ino, item)
    xattrs.keep(connection, target, item)
    tree.take_out(connection, target.ino, clock.now_ns)
    heirs.take_row(connection, target.ino, node.ino, Aspect.PLACE)  # with where it was sent without an answer
    journal.drop(connection, target.ino)
    held = any(row.state is ChangeState.HELD for row in journal.of_node(connection, node.ino).values())
    journal.drop(connection, node.ino, Aspect.CREATE, Aspect.XATTRS)
    tree.set_item(connection, node.ino, target.item_id)
    if item is not None:
        xattrs.hide(connection, node.ino, item, theirs, clock)
    if base is not None:
        contents.set_version(connection, node.content_id, base)
    journal_content(connection, replace(node, item_id=target.item_id), node.content_id, clock)
    journal.inherit_sent(connection, node.ino, Aspect.CONTENT, rows.get(Aspect.CONTENT))
    if held:
        holding.hold(connection, node.ino)


def _seen_version(rows: dict[Aspect, LocalChange], item: Item | None) -> Version | None:
    """The remote content that the person at this machine has seen: what pending content is based on, or the item's."""
    if Aspect.CONTENT in rows:
        return rows[Aspect.CONTENT].base_content
    return None if item is None else item.content_version


def _detach(connection: sqlite3.Connection, node: Node, clock: Clock) -> None:
    """Take a node out of the tree and note that the remote must drop the item."""
    rows = journal.of_node(connection, node.ino)
    item = None if node.item_id is None else items.get(connection, node.item_id)
    xattrs.keep(connection, node, item)
    tree.take_out(connection, node.ino, clock.now_ns)
    create = rows.get(Aspect.CREATE)
    if create is not None and (create.state is ChangeState.RUNNING or create.sent_generation >= 0):
        journal.drop(connection, node.ino, Aspect.XATTRS)
        parent = None if node.parent is None else tree.by_ino(connection, node.parent)
        journal.create_to_removal(connection, node.ino, None if parent is None else parent.item_id, node.name)
        return
    journal.drop(connection, node.ino)
    if item is not None:
        journal.record(connection, node.ino, Aspect.REMOVE, item, clock.now_s)
        if Aspect.CONTENT in rows:
            journal.rebase_content(connection, node.ino, _seen_version(rows, item))
            journal.inherit_sent(connection, node.ino, Aspect.REMOVE, rows[Aspect.CONTENT])


def journal_place(connection: sqlite3.Connection, ino: Ino, clock: Clock, *, held: bool | None = None) -> None:
    """Compare a node's place with the remote's and note the difference, or that there is none any more: as long as an
    earlier move may have been applied, nobody knows that.

    `held`: as `journal.record`.
    """
    node = existing(connection, ino)
    if node.parent is not None:
        folder = existing(connection, node.parent)
        _journal_place(connection, node, folder.item_id, node.name, clock, held)


def _journal_place(  # noqa: PLR0917
    connection: sqlite3.Connection, node: Node, folder: ItemId | None, name: str, clock: Clock, held: bool | None = None
) -> None:
    item = None if node.item_id is None else items.get(connection, node.item_id)
    if item is None:
        return  # a creation takes the place it finds when it is sent
    row = journal.get(connection, node.ino, Aspect.PLACE)
    same = folder == item.parent_id and names.shown(item.name) == name
    if same and not (row is not None and row.in_doubt):
        journal.drop(connection, node.ino, Aspect.PLACE)
    else:
        journal.record(connection, node.ino, Aspect.PLACE, item, clock.now_s, held=held)
