"""Remote news into the local tree: the transaction's side of pulling, listing, and hearing answers to our own pushes.

`Absorber` lives for one transaction. It applies items and tombstones in any order and any number of times with the same
result, and collects what the caller must do after the commit: news for the kernel, content that lost its node, and
*doubts*: items about which two pieces of news contradict each other, to be asked for again. It never deletes a node
without a tombstone of its own, and never touches a pending local change but by the table in `sync.planner`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import bulk, items, journal, paths, sent_moves, tree, xattrs
from cache.activity import What, Who
from cache.model import (
    ROOT_INO,
    Aspect,
    ChangeState,
    EntryChanged,
    Ino,
    Item,
    ItemId,
    Kind,
    LocalChange,
    Node,
    NodeChanged,
)
from cache.names import shown
from cache.placeholders import is_own_creation, materialise, removal_of_unanswered
from sync import first_listing, root, settle
from sync.plain import Plain
from sync.planner import Decision, Merge, merge, removal_stands
from sync.remote import Tombstone
from sync.showing import Showing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet


@dataclass(slots=True)
class Absorber(Showing):
    """Applies remote news inside one transaction."""

    def items(self, told: Sequence[Item], *, unlisted_parent: bool = False) -> None:
        """Many at once, as a page or a listing tells them."""
        outbox = self.outbox()
        plain = None if outbox is None else Plain(self, outbox, listing=unlisted_parent)
        for each in told if plain is None else plain.take(told):
            self.item(each, unlisted_parent=unlisted_parent)

    def all_gone(self, told: Sequence[Tombstone]) -> None:
        """Many tombstones at once."""
        outbox = self.outbox()
        for each in told if outbox is None else Plain(self, outbox).bury(told):
            self.gone(each)

    def item(self, told: Item, *, unlisted_parent: bool = False) -> None:
        """An item as it is now; `unlisted_parent`: show it even if its folder was never listed."""
        self.after.touched[told.item_id] = told.parent_id
        node = tree.by_item(self.connection, told.item_id)
        if node is not None:
            self._known(node, told)
            return
        removal = journal.removal_of(self.connection, told.item_id) or self._unanswered_removal(told)
        if removal is not None:
            self._removed_here(told, removal)
            return
        parent = self.home(told)
        if parent is None or not (parent.listed or unlisted_parent):
            self.leave_unshown(told)
            return
        items.put(self.connection, told)
        self._show(parent, told)
        if not unlisted_parent:  # told by the feed: what a listing tells is not new
            path = paths.in_folder(self.connection, told.parent_id, shown(told.name))
            self.note(parent.ino, What.CREATED, who=Who.SERVER, path=path)

    def gone(self, told: Tombstone, *, kept: bool = False) -> None:
        """Proof that an item is gone for us. `kept`: what was held of it was put aside."""
        self.after.touched[told.item_id] = told.parent_id
        self.after.doubts.discard(told.item_id)
        node = tree.by_item(self.connection, told.item_id)
        if node is None:
            removal = journal.removal_of(self.connection, told.item_id)
            if removal is not None:
                journal.drop(self.connection, removal.ino)
            items.delete(self.connection, told.item_id)
            return
        if node.ino == ROOT_INO:
            return  # the account lost its root: requests will say so; nothing here is deleted for it
        if node.kind is Kind.FOLDER and self._has_unsettled_children(node):
            return
        known = items.get(self.connection, told.item_id)
        labelled = xattrs.keep(self.connection, node, known)
        items.delete(self.connection, told.item_id)
        self.after.doubts.update(items.below(self.connection, told.item_id))  # what a name here hides goes with it
        self.clear_of_local_kinds(node)
        settle.unite(self, node, known)
        if self._survives(node):
            self.after.news += settle.put_back(self.connection, node, known, self.clock, self.host)
            held = any(row.state is ChangeState.HELD for row in journal.of_node(self.connection, node.ino).values())
            tree.set_item(self.connection, node.ino, None)
            journal.drop(self.connection, node.ino)
            journal.record(self.connection, node.ino, Aspect.CREATE, None, self.clock.now_s, held=held or None)
            if labelled:
                xattrs.record(self.connection, node.ino, None, self.clock, held=held or None)
            self.note(node.ino, What.EDIT_WINS, "deleted on the server, changed here: uploaded again")
            return
        if not kept:
            self.keep_forgotten(node)
        self.note(node.ino, What.REMOVED, told.reason, who=Who.SERVER)
        settle.remember_place(self.connection, node, known)
        self.take_out(node)
        tree.set_item(self.connection, node.ino, None)
        journal.drop(self.connection, node.ino)
        self.after.nameless.add(node.ino)

    def unknown(self, item_id: ItemId) -> None:
        """The remote answers that it knows no such item. That is no proof of a deletion (it may have been restored from
        a backup), and these may be the last bytes of it: they are kept."""
        node = tree.by_item(self.connection, item_id)
        if node is not None:
            self.keep_whole(node, "the server does not know it any more")
        self.gone(Tombstone(item_id=item_id, parent_id=None, reason="not_visible"), kept=node is not None)

    def overwritten(self, node: Node, told: Item) -> tuple[Node, Item]:
        """The answer to new content: its place is news like any other. Returns the node, and the item as far as its
        place could be taken in: the rest is asked for again."""
        self.item(told)
        known = items.get(self.connection, told.item_id)
        if known is not None and (known.parent_id, known.name) != (told.parent_id, told.name):
            told = items.placed_as(told, known)
        return tree.by_ino(self.connection, node.ino) or node, told

    def root(self, told: Item) -> None:
        """The item that the mount point shows, whatever its id. Raises ProtocolViolation for that of a folder below."""
        root.take(self.connection, told)

    def listing(self, folder: Ino, told: Iterable[Item], overtaken: AbstractSet[ItemId] = frozenset()) -> None:
        """All children of a folder; a known item that is missing here, shown or hidden by a local name, is asked about,
        never deleted for it.

        `overtaken`: items about which newer news may have been applied: asked for again.
        """
        node = tree.by_ino(self.connection, folder)
        if node is None or node.item_id is None:
            return
        told = list(told)
        if not overtaken and first_listing.is_first(self.connection, node, told):
            first_listing.take(self.connection, node, told, self.after)
            tree.set_listed(self.connection, folder, listed=True)
            return
        self.after.doubts |= overtaken
        present = {item.item_id for item in told} | overtaken
        self.items([item for item in told if item.item_id not in overtaken], unlisted_parent=True)
        missing = bulk.items_in(self.connection, folder) - present
        self.after.doubts.update(missing - bulk.told(self.connection, missing))
        self.after.doubts.update(set(items.below(self.connection, node.item_id)) - present)
        tree.set_listed(self.connection, folder, listed=True)

    # An item without a node ------------------------------------------------------------------------------------

    def _removed_here(self, told: Item, removal: LocalChange) -> None:
        items.put(self.connection, told)
        if removal_stands(told, removal):
            journal.rebase(self.connection, removal.ino, told)
            return
        journal.drop(self.connection, removal.ino)
        self.after.nameless.add(removal.ino)
        parent = self.home(told)
        if parent is None:
            items.delete(self.connection, told.item_id)
            return
        self._show(parent, told)
        path = paths.in_folder(self.connection, told.parent_id, shown(told.name))
        self.note(removal.ino, What.EDIT_WINS, "removed here, edited on the server: it is back", path=path)

    def _unanswered_removal(self, told: Item) -> LocalChange | None:
        """Of our own creation, its answer lost, that was deleted here before we heard of it or of its new place."""
        for made in (told, items.get(self.connection, told.item_id)):
            row = None if made is None else removal_of_unanswered(self.connection, made)
            if made is not None and row is not None:
                journal.rebase(self.connection, row.ino, made)
                journal.rebase_content(self.connection, row.ino, made.content_version)
                return journal.removal_of(self.connection, made.item_id)
        return None

    def _show(self, parent: Node, told: Item) -> None:
        """Give an item a node, unless a local node that the remote does not know holds the name, or it is what one of
        them was sent as: then it stays hidden until that is settled."""
        if is_own_creation(self.connection, parent.ino, told):
            return
        other = tree.child(self.connection, parent.ino, shown(told.name))
        if other is None:
            materialise(self.connection, parent.ino, told)
            self.after.news.append(EntryChanged(parent.ino, shown(told.name), appeared=True))
            if told.kind is Kind.FOLDER:
                self.after.news.append(NodeChanged(parent.ino))  # its link count
        elif other.item_id is None:
            self.meet(other, told)
        elif journal.get(self.connection, other.ino, Aspect.PLACE) is None:
            self.doubt(other)
            self._show(parent, told)

    # An item that has a node -----------------------------------------------------------------------------------

    def _known(self, node: Node, told: Item) -> None:
        old = items.get(self.connection, told.item_id)
        if old == told and node.parent is not None:
            return  # our own echo, or news told twice
        if node.ino == ROOT_INO:
            items.put(self.connection, told)
            return
        if old is not None and old.kind is not told.kind:
            self.gone(Tombstone(item_id=told.item_id, parent_id=old.parent_id))
            if tree.by_item(self.connection, told.item_id) is None:  # else what it holds is asked about first
                self.item(told)
            return
        parent = self.home(told)
        if parent is None:
            pending = journal.of_node(self.connection, node.ino)
            if old is not None and node.parent is not None and self._leaves(old, told, pending.get(Aspect.PLACE)):
                items.put(self.connection, told)  # where the remote has it may be being removed here
                self._merge_rest(node, told, old, merge(told, pending, same_place=False, moved=False))
            elif told.parent_id is not None:
                self.after.wanted_parents.add(told.parent_id)
                self.after.doubts.add(told.item_id)
            return
        self._merge(node, parent, told, old)

    def _leaves(self, old: Item, told: Item, move: LocalChange | None) -> bool:
        """Whether a local move takes it away from where the remote has it, which is no news or our own doing."""
        known = (old.parent_id, old.name) == (told.parent_id, told.name)
        return move is not None and (known or sent_moves.led_to(self.connection, move, told))

    def _merge(self, node: Node, parent: Node, told: Item, old: Item | None) -> None:
        pending = journal.of_node(self.connection, node.ino)
        same_place = node.parent == parent.ino and node.name == shown(told.name)
        moved = old is None or (old.parent_id, old.name) != (told.parent_id, told.name)
        ours = sent_moves.led_to(self.connection, pending.get(Aspect.PLACE), told)
        decision = merge(told, pending, same_place=same_place, moved=moved, ours=ours)
        stays = same_place or decision.place is Decision.KEEP
        if not (stays or self.clears_way(node, parent)):
            self.after.doubts.add(told.item_id)  # as if not told: its folder, still below it here, is asked for as well
            return
        items.put(self.connection, told)
        if not self._place(node, parent, told, decision.place, same_place=same_place):
            return
        self._merge_rest(node, told, old, decision)

    def _merge_rest(self, node: Node, told: Item, old: Item | None, decision: Merge) -> None:
        """All but the place."""
        if decision.content is Decision.TAKE and self.take_content(node, told, old):
            self.note(node.ino, What.CHANGED, who=Who.SERVER)
        if decision.attributes is Decision.TAKE:
            self.take_attributes(node, told)
        if old is not None and xattrs.differ(self.connection, node.ino, old, told):
            self.stamp(node)
        journal.rebase(self.connection, node.ino, told)

    def _place(self, node: Node, parent: Node, told: Item, decision: Decision, *, same_place: bool) -> bool:
        """False: the node is this item's no more."""
        if decision is Decision.KEEP:
            return True
        if decision is not Decision.TAKE:
            journal.drop(self.connection, node.ino, Aspect.PLACE)
        if decision is Decision.YIELD:
            self.note(node.ino, What.SERVER_PLACE_WINS, f"moved to {told.name} on the server")
            settle.reunite(self.connection, node.ino, parent.ino)
        if same_place:
            return True
        before = None if node.parent is None else tree.path_of(self.connection, node.ino)
        stays = self.move(node, parent, told)
        if decision is Decision.TAKE and before is not None and stays:
            self.note(node.ino, What.MOVED, f"from {before}", who=Who.SERVER)
        return stays

    # Parts -----------------------------------------------------------------------------------------------------

    def _survives(self, node: Node) -> bool:
        """Whether something here exists nowhere else: an unsent edit, or a folder of unsent creations."""
        if node.kind is Kind.FOLDER:
            return tree.has_children(self.connection, node.ino)
        return journal.get(self.connection, node.ino, Aspect.CONTENT) is not None

    def _has_unsettled_children(self, folder: Node) -> bool:
        """Children without a tombstone of their own are asked about first; the folder's comes again after them."""
        children = [c for c in tree.children(self.connection, folder.ino) if c.item_id is not None]
        unsettled = [c.item_id for c in children if c.item_id is not None and not self.came_here(c, folder)]
        if unsettled and folder.item_id is not None:
            self.after.doubts.update([*unsettled, folder.item_id])
        return bool(unsettled)
