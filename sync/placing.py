"""Names given and taken within one transaction of remote news, and what is left to do after its commit.

Two nodes cannot have one name, and no folder lies below itself. When news says otherwise, one of two things is true:
what we know of the other item is old (a *doubt*: it is asked for again), or a local change stands in the way (the
conflict table decides, in `sync.settle`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache import activity, bulk, items, journal, tree
from cache.activity import What, Who
from cache.model import (
    LOCAL_KINDS,
    Aspect,
    ChangeState,
    ContentId,
    EntryChanged,
    Ino,
    Item,
    ItemId,
    Kind,
    LocalChange,
    News,
    Node,
)
from cache.names import shown
from cache.placeholders import is_own_creation, reveal
from sync import deciding, settle

if TYPE_CHECKING:
    import sqlite3

    from cache.aside import Aside
    from cache.changing import Clock
    from sync.planner import Conflicts


@dataclass(slots=True)
class Aftermath:
    """What is left to do once the transaction is committed."""

    news: list[News] = field(default_factory=list)
    doubts: set[ItemId] = field(default_factory=set)  # ask for these again
    wanted_parents: set[ItemId] = field(default_factory=set)  # folders to be known before an item can be placed
    nameless: set[Ino] = field(default_factory=set)  # nodes without a name: forget them unless they are open
    released: set[ContentId] = field(default_factory=set)  # contents without a node: delete them unless they are open
    touched: dict[ItemId, ItemId | None] = field(default_factory=dict)  # every item told of, and its folder
    owners: dict[ContentId, Ino] = field(default_factory=dict)  # contents that went over to another node


@dataclass(slots=True)
class Placing:
    """The part of an `Absorber` that moves nodes."""

    connection: sqlite3.Connection
    clock: Clock
    host: str
    conflicts: Conflicts
    aside: Aside
    after: Aftermath = field(default_factory=Aftermath)
    freed: list[tuple[Ino, str]] = field(default_factory=list)  # names that a node left in this transaction

    def finish(self) -> None:
        """The last thing in the transaction: a name that stayed free shows the remote item that it hid."""
        for parent, name in sorted(bulk.hidden(self.connection, self.freed)) if self.freed else ():
            self.after.news += reveal(self.connection, parent, name)

    def move(self, node: Node, parent: Node, told: Item) -> bool:
        """Put a node where the remote has it; who stands there gives way. False: a local change won, and the item has
        no node any more."""
        if not self.clears_way(node, parent):
            self.after.doubts.add(told.item_id)
            return True
        name = shown(told.name)
        # One gives way after the other: a name that was given up may show an item that it hid, old news as well.
        while (other := tree.child(self.connection, parent.ino, name)) is not None and other.ino != node.ino:
            claim = journal.get(self.connection, other.ino, Aspect.CREATE if other.item_id is None else Aspect.PLACE)
            if other.kind in LOCAL_KINDS:
                self.after.news += settle.step_aside(self.connection, other, self.clock, self.host)
            elif claim is None:
                self.doubt(other)
            elif not self._take_name(node, told, other, claim):
                return False
        self.take_out(node)
        tree.place(self.connection, node.ino, parent.ino, name)
        self.after.news.append(EntryChanged(parent.ino, name))
        return True

    def clears_way(self, node: Node, parent: Node) -> bool:
        """Whether `node` can go into `parent`: that is not below it, or was only by a local move, undone for it."""
        return not tree.is_below(self.connection, parent.ino, node.ino) or self._undo_cycle(node, parent)

    def _take_name(self, node: Node, told: Item, other: Node, claim: LocalChange) -> bool:
        """Whether `other`, whose local change claims the name, gives way to `node`."""
        if journal.of_node(self.connection, node.ino):  # it holds local changes, too: nobody loses
            self.after.news += settle.step_aside(self.connection, other, self.clock, self.host)
            return True
        return deciding.lose_name(self, other, told, claim)

    def meet(self, mine: Node, told: Item) -> None:
        """A local creation and a remote item have one name: what is of this machine only gives way, folders merge,
        files are settled when ours is pushed."""
        if mine.kind in LOCAL_KINDS:
            self.after.news += settle.step_aside(self.connection, mine, self.clock, self.host)  # shows the item
            return
        create = journal.get(self.connection, mine.ino, Aspect.CREATE)
        under_way = create is not None and create.state is ChangeState.RUNNING
        others = told.parent_id is not None and journal.unanswered_at(
            self.connection, told.parent_id, told.name, mine.ino
        )
        if mine.kind is Kind.FOLDER and told.kind is Kind.FOLDER and not (under_way or others):
            settle.merge_folder(self, mine, told)

    def doubt(self, node: Node) -> None:
        """Two items cannot have one name: what we know of this one is old. Out of the way until asked again."""
        self.take_out(node)
        if node.item_id is not None:
            self.after.doubts.add(node.item_id)

    def show_wanted(self, told: Item) -> None:
        """A folder that something known here went into is shown: a local change that claims its name loses it now, as
        it would when it is pushed, because nothing of what is below can be told before."""
        parent = self.home(told)
        other = None if parent is None else tree.child(self.connection, parent.ino, shown(told.name))
        if parent is None or other is None or tree.by_item(self.connection, told.item_id) is not None:
            return
        if journal.removal_of(self.connection, told.item_id) is not None:
            return
        claim = journal.get(self.connection, other.ino, Aspect.CREATE if other.item_id is None else Aspect.PLACE)
        if claim is not None and not is_own_creation(self.connection, parent.ino, told):
            deciding.lose_name(self, other, told, claim)

    def leave_unshown(self, told: Item) -> None:
        """Nobody looked where it is, and a listing will tell it. Only what a creation without a known answer may have
        made there, in a folder that is removed here since perhaps, is known until that creation is settled."""
        if journal.creations_sent_to(self.connection, told.parent_id, told.name):
            items.put(self.connection, told)
        else:
            items.delete(self.connection, told.item_id)

    def show_hidden(self, folder: ItemId | None, name: str) -> None:
        """What was hidden at a place, as long as it might have been our own, is shown if it is still there; in a folder
        that is not shown itself it is known no more."""
        parent = None if folder is None else tree.by_item(self.connection, folder)
        item = None if folder is None else items.at_place(self.connection, folder, shown(name))
        if parent is not None:
            self.freed.append((parent.ino, shown(name)))
        elif item is not None and not self._is_placed(item):
            self.leave_unshown(item)

    def _is_placed(self, item: Item) -> bool:
        """Whether an item has a node, or had one that is removed here."""
        removal = journal.removal_of(self.connection, item.item_id)
        return removal is not None or tree.by_item(self.connection, item.item_id) is not None

    def take_out(self, node: Node) -> None:
        """Take a node's name away."""
        if node.parent is not None:
            tree.place(self.connection, node.ino, None, node.name)
            self.freed.append((node.parent, node.name))
            self.after.news.append(EntryChanged(node.parent, node.name, deleted=node.ino))

    def clear_of_local_kinds(self, folder: Node) -> None:
        """Pipes, sockets and devices go with their folder if they are all that is left in it: they hold no bytes."""
        children = list(tree.children(self.connection, folder.ino))
        for child in children if all(each.kind in LOCAL_KINDS for each in children) else ():
            self.take_out(child)
            self.after.nameless.add(child.ino)

    def came_here(self, child: Node, folder: Node) -> bool:
        """Whether a local move brought a node into a folder that is gone: then it goes back, if its old folder is
        still there; if not, the folder survives for it."""
        known = None if child.item_id is None else items.get(self.connection, child.item_id)
        moving = journal.get(self.connection, child.ino, Aspect.PLACE) is not None
        if known is None or known.parent_id == folder.item_id or not moving:
            return False
        home = self.home(known)
        if home is not None and not tree.is_below(self.connection, home.ino, folder.ino):
            journal.drop(self.connection, child.ino, Aspect.PLACE)
            self.move(child, home, known)
            self.note(child.ino, What.SERVER_PLACE_WINS, f"{folder.name} was deleted on the server")
        return True

    def note(
        self, ino: Ino, what: What, detail: str = "", *, who: Who = Who.ENGINE, path: str | None = None
    ) -> None:  # fmt: skip
        """For the record of activity."""
        activity.note(self.connection, self.clock.now_s, ino, what, detail, who=who, path=path)

    def home(self, known: Item) -> Node | None:
        """The folder in which the remote has an item. What is no folder here, or no more there, is none: it is asked
        for."""
        node = None if known.parent_id is None else tree.by_item(self.connection, known.parent_id)
        return node if node is not None and node.kind is Kind.FOLDER else None

    def _undo_cycle(self, node: Node, parent: Node) -> bool:
        """Remote moved `node` below `parent`, which a local move put below `node`: the local one is undone."""
        current: Node | None = parent
        while current is not None and current.ino != node.ino:
            if journal.get(self.connection, current.ino, Aspect.PLACE) is not None and current.item_id is not None:
                known = items.get(self.connection, current.item_id)
                home = None if known is None else self.home(known)
                if known is not None and home is not None and not tree.is_below(self.connection, home.ino, node.ino):
                    journal.drop(self.connection, current.ino, Aspect.PLACE)
                    self.move(current, home, known)
                    self.note(current.ino, What.CYCLE_UNDONE)
                    return True
            if current.item_id is not None:
                self.after.doubts.add(current.item_id)
            current = None if current.parent is None else tree.by_ino(self.connection, current.parent)
        return False
