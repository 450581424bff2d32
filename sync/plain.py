"""The short way into the tree for news that no local change and no other news stands against: nearly all of it.

An edit of an item that stays where it is, a new item with a free name, the deletion of a file, and whatever happens in
folders that were never listed here: their rows are read and written by the hundreds. Everything else is handed back,
and `Absorber` decides about it one by one. Both ways leave the same rows and tell the same news; a test compares them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache import activity, bulk, items, tree
from cache.activity import What, Who
from cache.model import ROOT_INO, Capability, EntryChanged, Ino, Item, ItemId, Kind, NodeChanged
from cache.placeholders import item_size, node_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cache.bulk import Outbox, Standing
    from sync.placing import Placing
    from sync.remote import Tombstone

_Note = tuple[Ino, Ino, str, What, str]  # node, folder, name in it, what, detail

_PARENT, _NAME, _KIND, _CONTENT, _XATTRS, _SHOWN = 1, 2, 3, 8, 13, 14  # columns of `items.row_of`


@dataclass(slots=True)
class Plain:
    """Part of one transaction. `listing`: the news is a listing, whose folder counts as listed, and is no activity."""

    placing: Placing
    outbox: Outbox
    listing: bool = False
    _noted: list[_Note] = field(default_factory=list)

    def take(self, told: Sequence[Item]) -> list[Item]:
        """Take in what is plain; returns the others, in their order."""
        after = self.placing.after
        after.touched.update({item.item_id: item.parent_id for item in told})
        rows = [items.row_of(item) for item in told]
        ids = [item.item_id for item in told]
        standing = bulk.standing(self.placing.connection, ids)
        placed = standing.keys() if len(standing) == len(ids) else bulk.placed(self.placing.connection, ids)
        folders = bulk.folders(self.placing.connection, {item.parent_id for item in told if item.parent_id is not None})
        twice = {each for each, count in Counter(ids).items() if count > 1}
        news = _Sorted()
        for item, row in zip(told, rows, strict=True):
            parent = None if item.parent_id is None else folders.get(item.parent_id)
            here = standing.get(item.item_id)
            if item.item_id in twice or item.parent_id is None:
                news.others.append(item)
            elif here is not None and parent is not None and self._stays(here, row, parent[0]):
                news.edits.append((item, row, here))
            elif item.item_id in placed or self.outbox.concerns(item.item_id, item.parent_id, item.name):
                news.others.append(item)
            elif parent is not None and (parent[1] or self.listing):
                news.arrivals.append((parent[0], item, row))
            else:
                news.unseen.append(item.item_id)
        self._edit(news.edits)
        news.others += self._arrive(news.arrivals)
        bulk.forget(self.placing.connection, bulk.told(self.placing.connection, news.unseen))
        self._write_notes()
        order = {id(item): at for at, item in enumerate(told)}
        return sorted(news.others, key=lambda item: order[id(item)])

    def _stays(self, here: Standing, row: tuple[object, ...], parent: Ino) -> bool:
        """Whether an item is shown where the remote has it, is what it was, and nothing is pending for it. Where
        extended attributes changed this is no edit: what is shown of them is not in these rows alone."""
        told, outbox = here.told, self.outbox
        return (
            told[_NAME] == row[_NAME]
            and told[_PARENT] == row[_PARENT]
            and told[_KIND] == row[_KIND]
            and told[_XATTRS] == row[_XATTRS]
            and here.name == row[_SHOWN]
            and here.parent == parent
            and here.ino not in outbox.inos
            and row[0] not in outbox.item_ids
            and here.ino != ROOT_INO
        )

    def _edit(self, edits: list[tuple[Item, tuple[object, ...], Standing]]) -> None:
        now_ns, told = self.placing.clock.now_ns, self.placing.after
        changed = [(item, row, here) for item, row, here in edits if here.told != row]
        nodes: list[tuple[object, ...]] = []
        dropped: list[Ino] = []
        for item, _, here in changed:
            version = here.told[_CONTENT] if here.content_id is None else here.version
            content = version != item.content_version or here.symlink_target != item.symlink_target
            writable = Capability.WRITE in item.capabilities
            attributes = (here.mode, here.mtime_ns, here.writable == 1) != (item.mode, item.mtime_ns, writable)
            if not (content or attributes):
                continue
            size = item_size(item) if content else here.size
            ctime_ns = now_ns if attributes else here.ctime_ns
            nodes.append((size, item.symlink_target, item.mode, item.mtime_ns, ctime_ns, writable, here.ino))
            told.news.append(NodeChanged(here.ino, content=content))
            if content:
                self._note(here.ino, What.CHANGED, here.parent, here.name)
            if content and here.content_id is not None:
                dropped.append(here.ino)
                told.released.add(here.content_id)
        bulk.change_items(self.placing.connection, [row for _, row, _ in changed])
        bulk.change_nodes(self.placing.connection, nodes)
        bulk.drop_contents(self.placing.connection, dropped)

    def _arrive(self, arrivals: list[tuple[Ino, Item, tuple[object, ...]]]) -> list[Item]:
        """Show new items where their names are free; returns the others."""
        places = [(folder, str(row[_SHOWN])) for folder, _, row in arrivals]
        taken = bulk.taken(self.placing.connection, places) if places else set()
        taken |= {place for place, count in Counter(places).items() if count > 1}
        free = [arrival for arrival, place in zip(arrivals, places, strict=True) if place not in taken]
        items.put_rows(self.placing.connection, [row for _, _, row in free])
        tree.insert_all(self.placing.connection, (node_of(folder, item) for folder, item, _ in free))
        told = self.placing.after.news
        told += [EntryChanged(folder, str(row[_SHOWN]), appeared=True) for folder, _, row in free]
        told += [NodeChanged(each) for each in {folder for folder, item, _ in free if item.kind is Kind.FOLDER}]
        if not self.listing:  # a folder's link count, above, is one of its attributes
            for folder, _, row in free:
                self._note(folder, What.CREATED, folder, str(row[_SHOWN]))
        return [item for (_, item, _), place in zip(arrivals, places, strict=True) if place in taken]

    def bury(self, told: Sequence[Tombstone]) -> list[Tombstone]:
        """Take in deletions of files that nothing is pending for, and of what nobody looked at; returns the others."""
        connection, after = self.placing.connection, self.placing.after
        ids = [each.item_id for each in told]
        after.touched.update({each.item_id: each.parent_id for each in told})
        after.doubts.difference_update(ids)
        standing, placed = bulk.standing(connection, ids), bulk.placed(connection, ids)
        others: list[Tombstone] = []
        files: list[tuple[Standing, Tombstone]] = []
        unseen: list[ItemId] = []
        for each in told:
            here = standing.get(each.item_id)
            if each.item_id not in placed and each.item_id not in self.outbox.item_ids:
                unseen.append(each.item_id)
            elif here is None or not self._is_plain_file(here):
                others.append(each)
            else:
                files.append((here, each))
        bulk.forget(connection, bulk.told(connection, unseen))
        self._take_out(files)
        self._write_notes()
        return others

    def _is_plain_file(self, here: Standing) -> bool:
        """Not a folder, with nothing pending, and without attributes that a node takes along when its item goes."""
        free = here.parent is not None and here.ino not in self.outbox.inos
        return free and here.told[_KIND] != Kind.FOLDER and here.told[_XATTRS] in items.WITHOUT_XATTRS

    def _take_out(self, files: list[tuple[Standing, Tombstone]]) -> None:
        after = self.placing.after
        departed: list[tuple[Ino, Ino, str]] = []
        for here, told in files:
            assert here.parent is not None  # noqa: S101  # by _is_plain_file
            self._note(here.ino, What.REMOVED, here.parent, here.name, told.reason)
            self.placing.freed.append((here.parent, here.name))
            after.news.append(EntryChanged(here.parent, here.name, deleted=here.ino))
            after.nameless.add(here.ino)
            if here.told[_KIND] == Kind.FILE:
                departed.append((here.ino, here.parent, here.name))
        bulk.depart(self.placing.connection, departed)
        bulk.take_out(self.placing.connection, [(here.ino, told.item_id) for here, told in files])

    def _note(self, ino: Ino, what: What, folder: Ino | None, name: str, detail: str = "") -> None:
        if folder is not None:
            self._noted.append((ino, folder, name, what, detail))

    def _write_notes(self) -> None:
        """With paths as they are now: what is taken in one by one may move folders."""
        connection, noted = self.placing.connection, self._noted[-activity.KEPT_ROWS :]
        paths = bulk.paths(connection, {folder for _, folder, *_ in noted})
        rows = [(ino, f"{paths.get(folder, '?')}/{name}", what, detail) for ino, folder, name, what, detail in noted]
        activity.note_many(connection, self.placing.clock.now_s, rows, who=Who.SERVER)
        self._noted = []


@dataclass(slots=True)
class _Sorted:
    """News by what is to be done with it."""

    edits: list[tuple[Item, tuple[object, ...], Standing]] = field(default_factory=list)
    arrivals: list[tuple[Ino, Item, tuple[object, ...]]] = field(default_factory=list)
    unseen: list[ItemId] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)
