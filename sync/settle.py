"""What the conflict table does to the local tree; each function is part of a transaction.

Nothing is thrown away here: the side that does not keep the name gets another one, in the same folder.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cache import activity, contents, items, journal, tree, xattrs
from cache.activity import What
from cache.edits import journal_place
from cache.errors import NotFound
from cache.model import (
    LOCAL_KINDS,
    ROOT_INO,
    Aspect,
    Capability,
    ChangeState,
    ContentId,
    EntryChanged,
    Ino,
    Item,
    Kind,
    News,
    Node,
    NodeChanged,
)
from cache.placeholders import item_size, reveal
from sync import echoes
from sync.conflict import conflict_name

if TYPE_CHECKING:
    import sqlite3

    from cache.changing import Clock
    from sync.placing import Placing


def merge_folder(placing: Placing, mine: Node, told: Item) -> None:
    """A folder made on both sides is one folder, with the remote's mode; its remote children are still to be listed."""
    connection, clock = placing.connection, placing.clock
    held = is_held(connection, mine.ino, Aspect.CREATE)
    take_over(placing, mine.ino, told)
    items.put(connection, told)
    sent = journal.get(connection, mine.ino, Aspect.CREATE)
    if sent is not None and sent.in_doubt and (sent.sent_parent_id, sent.sent_name) != (told.parent_id, told.name):
        journal.create_to_removal(connection, mine.ino, told.parent_id, told.name, tree.spare_ino(connection))
    tree.set_item(connection, mine.ino, told.item_id)
    tree.set_listed(connection, mine.ino, listed=False)
    tree.set_attributes(connection, mine.ino, told.mode, told.mtime_ns, clock.now_ns)
    tree.set_writable(connection, mine.ino, writable=Capability.WRITE in told.capabilities)
    journal.drop(connection, mine.ino, Aspect.CREATE, Aspect.ATTRIBUTES)
    journal.rebase(connection, mine.ino, told)
    journal_place(connection, mine.ino, clock, held=held)
    placing.note(mine.ino, What.MERGED, "folder made on both sides")
    placing.after.news.append(NodeChanged(mine.ino))


def step_aside(
    connection: sqlite3.Connection, mine: Node, clock: Clock, host: str, *, rival: str | None = None
) -> list[News]:  # fmt: skip
    """A local node whose name the remote holds for another item (`rival`, where the name does not tell which) takes a
    conflict name; the remote's is shown."""
    if mine.parent is None:
        return []
    name = _free_name(connection, mine.parent, mine.name, clock, host)
    tree.place(connection, mine.ino, mine.parent, name)
    journal_place(connection, mine.ino, clock, held=is_held(connection, mine.ino, Aspect.PLACE))
    occupant = rival or _occupant_id(connection, mine)
    if occupant is not None and mine.kind not in LOCAL_KINDS:
        _remember(connection, mine.ino, occupant, clock)
    activity.note(connection, clock.now_s, mine.ino, What.CONFLICT_COPY, f"{mine.name} is taken on the server")
    news = reveal(connection, mine.parent, mine.name)
    return [EntryChanged(mine.parent, mine.name), EntryChanged(mine.parent, name), *news]


def conflict_copy(connection: sqlite3.Connection, node: Node, told: Item, clock: Clock, host: str) -> list[News]:
    """Content changed on both sides: the remote keeps item, name and inode; the local bytes become a new item beside
    it."""
    if node.parent is None or node.content_id is None:
        return []
    name = _free_name(connection, node.parent, node.name, clock, host)
    tree.set_content(connection, node.ino, None, item_size(told))
    copy = replace(node, name=name, item_id=None, ctime_ns=clock.now_ns)
    ino = tree.insert(connection, copy)
    contents.set_owner(connection, node.content_id, ino)
    journal.drop(connection, node.ino, Aspect.CONTENT, Aspect.ATTRIBUTES)
    journal.record(connection, ino, Aspect.CREATE, None, clock.now_s, held=False)  # it was being sent
    xattrs.keep(connection, node, told, heir=ino)
    xattrs.record(connection, ino, None, clock, held=False)
    tree.set_attributes(connection, node.ino, told.mode, told.mtime_ns, clock.now_ns)
    _remember(connection, ino, told.item_id, clock)
    activity.note(connection, clock.now_s, ino, What.CONFLICT_COPY, f"{node.name} was changed on the server too")
    return [NodeChanged(node.ino, content=True), EntryChanged(node.parent, name)]


def put_back(connection: sqlite3.Connection, node: Node, known: Item | None, clock: Clock, host: str) -> list[News]:
    """A node that must not go, and has no place: where it last was, in the root if that is gone, by another name if
    it is taken."""
    if node.parent is not None:
        return []
    folder = None if known is None or known.parent_id is None else tree.by_item(connection, known.parent_id)
    parent = ROOT_INO if folder is None or tree.is_below(connection, folder.ino, node.ino) else folder.ino
    name = node.name
    if tree.child(connection, parent, name) is not None:
        name = _free_name(connection, parent, name, clock, host)
    tree.place(connection, node.ino, parent, name)
    return [EntryChanged(parent, name)]


def remember_place(connection: sqlite3.Connection, node: Node, known: Item | None) -> None:
    """A file that is to go; if somebody has it open for writing, an edit may still bring it back. It may have lost its
    name a moment ago, to the item that took its place."""
    parent = node.parent
    if parent is None and known is not None and known.parent_id is not None:
        folder = tree.by_item(connection, known.parent_id)
        parent = None if folder is None else folder.ino
    if node.kind is Kind.FILE and parent is not None:
        connection.execute("INSERT OR REPLACE INTO departed VALUES (?, ?, ?)", (node.ino, parent, node.name))


def bring_back(connection: sqlite3.Connection, ino: Ino, clock: Clock, host: str) -> list[News]:
    """Before the first write to a file that the remote deleted meanwhile: the edit wins, the file is back."""
    row = connection.execute("SELECT parent, name FROM departed WHERE ino = ?", (ino,)).fetchone()
    node = tree.by_ino(connection, ino)
    if row is None or node is None or node.parent is not None:
        return []
    folder = tree.by_ino(connection, row[0])
    gone = folder is None or (folder.parent is None and folder.ino != ROOT_INO)
    parent, name = ROOT_INO if gone else Ino(row[0]), str(row[1])
    if tree.child(connection, parent, name) is not None:
        name = _free_name(connection, parent, name, clock, host)
    tree.place(connection, ino, parent, name)
    connection.execute("DELETE FROM departed WHERE ino = ?", (ino,))
    xattrs.record(connection, ino, None, clock)
    activity.note(connection, clock.now_s, ino, What.EDIT_WINS, "deleted on the server, written here since")
    return [EntryChanged(parent, name)]


def edit_beside(connection: sqlite3.Connection, content_id: ContentId, clock: Clock, host: str) -> list[News]:
    """An older version, still open, is edited while its file holds other unsent bytes: from here on a conflict copy."""
    content = contents.get(connection, content_id)
    node = None if content is None else tree.by_ino(connection, content.ino)
    if content is None or node is None or node.parent is None:
        return []
    name = _free_name(connection, node.parent, node.name, clock, host)
    copy = replace(node, name=name, item_id=None, content_id=None, size=content.size, ctime_ns=clock.now_ns)
    ino = tree.insert(connection, copy)
    contents.set_owner(connection, content_id, ino)
    contents.set_dirty(connection, content_id)
    tree.set_content(connection, ino, content_id, content.size)
    journal.record(connection, ino, Aspect.CREATE, None, clock.now_s, not_before_ms=clock.push_after_ms)
    xattrs.keep(connection, node, None if node.item_id is None else items.get(connection, node.item_id), heir=ino)
    xattrs.record(connection, ino, None, clock)
    if node.item_id is not None:
        _remember(connection, ino, node.item_id, clock)
    activity.note(connection, clock.now_s, ino, What.CONFLICT_COPY, f"{node.name} has newer unsent changes")
    return [EntryChanged(node.parent, name)]


def empty_beside(
    connection: sqlite3.Connection, content_id: ContentId, clock: Clock, host: str
) -> tuple[Ino, list[News]]:  # fmt: skip
    """The same of one that is emptied, whose bytes need not be here: nobody's from here on. Returns the copy, too."""
    news = edit_beside(connection, content_id, clock, host)
    content = contents.get(connection, content_id)
    if content is None:
        raise NotFound(content_id=content_id)
    contents.give_up(connection, content_id)
    return content.ino, news


def is_held(connection: sqlite3.Connection, ino: Ino, aspect: Aspect) -> bool | None:
    """Whether a change waits for approval; what follows from it goes when it goes. None: there is no such change."""
    row = journal.get(connection, ino, aspect)
    return None if row is None else row.state is ChangeState.HELD


def adopt(placing: Placing, node: Node, told: Item, *, clean: bool) -> None:
    """The remote holds these very bytes: the node is that item from here on. `clean`: no byte changed since."""
    connection, clock = placing.connection, placing.clock
    held = is_held(connection, node.ino, Aspect.CREATE)
    told = echoes.become_one(placing, node, told)
    take_over(placing, node.ino, told)
    items.put(connection, told)
    tree.set_item(connection, node.ino, told.item_id)
    journal.drop(connection, node.ino, Aspect.CREATE, Aspect.CONTENT)
    if node.content_id is not None and told.content_version is not None:
        if clean:
            contents.set_clean(connection, node.content_id, told.content_version)
        else:
            contents.set_version(connection, node.content_id, told.content_version)
            journal.record(connection, node.ino, Aspect.CONTENT, told, clock.now_s, not_before_ms=clock.push_after_ms)
    journal.rebase(connection, node.ino, told)
    _journal_attributes(connection, node.ino, told, clock)
    journal_place(connection, node.ino, clock, held=held)


def take_over(placing: Placing, ino: Ino, told: Item) -> None:
    """What shows an item that is another node's from here on makes room, as a placeholder does that the feed's echo of
    our creation brought in meanwhile, wherever it was moved since; one that holds an edit goes on by itself."""
    connection, clock = placing.connection, placing.clock
    other = tree.by_item(connection, told.item_id)
    if other is None or other.ino == ino:
        return
    xattrs.keep(connection, other, told)
    tree.set_item(connection, other.ino, None)
    held = is_held(connection, other.ino, Aspect.CONTENT)
    journal.drop(connection, other.ino)
    if held is not None:
        journal.record(connection, other.ino, Aspect.CREATE, None, clock.now_s, held=held)  # an item of its own
        xattrs.record(connection, other.ino, None, clock, held=held)
        return
    for child in tree.children(connection, other.ino):
        _go_over(placing, child, ino)
    remember_place(connection, other, told)
    placing.take_out(other)
    placing.after.nameless.add(other.ino)


def unite(placing: Placing, gone: Node, known: Item | None) -> None:
    """What is left in a folder that is gone, and whose name another folder has by now, is in that one."""
    home = None if known is None or known.parent_id is None else tree.by_item(placing.connection, known.parent_id)
    other = None if home is None or gone.parent is not None else tree.child(placing.connection, home.ino, gone.name)
    if other is not None and {gone.kind, other.kind} == {Kind.FOLDER}:
        for child in tree.children(placing.connection, gone.ino):
            _go_over(placing, child, other.ino)


def _go_over(placing: Placing, child: Node, folder: Ino) -> None:
    """Into another folder that is the same item, or has its name; where the child's name is taken there an item is
    asked for again, and what is only here takes a conflict name."""
    connection, name = placing.connection, child.name
    if tree.child(connection, folder, name) is not None:
        if child.item_id is not None:
            placing.doubt(child)
            return
        name = _free_name(connection, folder, name, placing.clock, placing.host)
    tree.place(connection, child.ino, folder, name)
    placing.after.news.append(EntryChanged(folder, name))


def _journal_attributes(connection: sqlite3.Connection, ino: Ino, told: Item, clock: Clock) -> None:
    node = tree.by_ino(connection, ino)
    if node is None or Aspect.CONTENT in journal.of_node(connection, ino):
        return
    same = node.mode == told.mode and (node.kind is not Kind.FILE or node.mtime_ns == told.mtime_ns)
    if same:
        journal.drop(connection, ino, Aspect.ATTRIBUTES)
    elif node.kind is not Kind.SYMLINK:
        journal.record(connection, ino, Aspect.ATTRIBUTES, told, clock.now_s)


def _free_name(connection: sqlite3.Connection, parent: Ino, name: str, clock: Clock, host: str) -> str:
    folder = tree.by_ino(connection, parent)

    def taken(candidate: str) -> bool:
        if tree.child(connection, parent, candidate) is not None:
            return True
        if folder is None or folder.item_id is None:
            return False
        return items.at_place(connection, folder.item_id, candidate) is not None

    date = datetime.fromtimestamp(clock.now_s, tz=UTC).astimezone().date().isoformat()
    return conflict_name(name, host, date, taken)


def _occupant_id(connection: sqlite3.Connection, mine: Node) -> str | None:
    folder = None if mine.parent is None else tree.by_ino(connection, mine.parent)
    if folder is None or folder.item_id is None:
        return None
    occupant = items.at_place(connection, folder.item_id, mine.name)
    return None if occupant is None else occupant.item_id


def _remember(connection: sqlite3.Connection, ino: Ino, item_id: str, clock: Clock) -> None:
    connection.execute("INSERT OR REPLACE INTO conflict VALUES (?, ?, ?)", (ino, item_id, clock.now_s))


def reunite(connection: sqlite3.Connection, ino: Ino, folder: Ino) -> None:
    """What goes into the folder that had taken its name is no conflict copy of that any more."""
    row = connection.execute("SELECT item_id FROM conflict WHERE ino = ?", (ino,)).fetchone()
    rival = None if row is None else tree.by_item(connection, row[0])
    if rival is not None and tree.is_below(connection, folder, rival.ino):
        connection.execute("DELETE FROM conflict WHERE ino = ?", (ino,))
