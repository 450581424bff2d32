"""Puts a breadth-first stream of descendants together, and tells which folders it has told whole. Pure.

Children of a folder come in one group; a folder is whole when the stream has gone past its place. What breaks that
order (folders that move meanwhile) makes the folders concerned unsure, and they are never told as whole. Whether
anything moved unseen is not known here: that is what the change feed after the stream's anchor says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import Item, ItemId, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.batches import Descendants

Whole = tuple[ItemId, list[Item]]  # a folder, and all its children


class Subtree:
    """What was told below `scope`."""

    def __init__(self, scope: ItemId) -> None:
        self.scope = scope
        self.folders: dict[ItemId, Item] = {}  # every folder told, as it was told last
        self._levels: dict[ItemId, int] = {scope: 0}
        self._children: dict[ItemId, dict[ItemId, Item]] = {scope: {}}  # of folders that are not whole yet
        self._level = 1  # of the items that are being told
        self._group: ItemId | None = None  # whose children are being told
        self._passed: set[ItemId] = set()  # whose group is over
        self._unsure: set[ItemId] = set()

    def take(self, page: Descendants) -> list[Whole]:
        """The folders that are whole with this page, parents before their children."""
        for item in page.items:
            self._take(item)
        return list(self._whole(finished=page.cursor is None))

    def lineage(self, folder: ItemId) -> Iterator[Item]:
        """A folder below the scope and those above it, up to the scope, as they were told."""
        current: ItemId | None = folder
        for _ in range(len(self.folders) + 1):  # a hostile stream may tell a ring
            if current is None or current == self.scope or current not in self.folders:
                return
            yield self.folders[current]
            current = self.folders[current].parent_id

    def _take(self, item: Item) -> None:
        parent = item.parent_id
        if parent is None or parent not in self._levels or item.item_id == self.scope:
            return  # below a folder that was not told: nothing can be said of it
        self._enter(parent)
        self._children.setdefault(parent, {})[item.item_id] = item
        if item.kind is Kind.FOLDER:
            if item.item_id in self._levels:
                self._unsure.add(item.item_id)  # told at two places
            self.folders[item.item_id] = item
            self._levels[item.item_id] = self._levels[parent] + 1
            self._children.setdefault(item.item_id, {})

    def _enter(self, parent: ItemId) -> None:
        if parent == self._group:
            return
        level = self._levels[parent] + 1
        if level < self._level or parent in self._passed:
            self._unsure.add(parent)
            return
        if self._group is not None:
            self._passed.add(self._group)
        self._group, self._level = parent, level

    def _whole(self, *, finished: bool) -> Iterator[Whole]:
        for folder in list(self._children):
            level = self._levels[folder] + 1
            if finished or level < self._level or folder in self._passed:
                children = self._children.pop(folder)
                self._passed.add(folder)
                if self._is_sure(folder):
                    yield folder, list(children.values())

    def _is_sure(self, folder: ItemId) -> bool:
        """A folder that moved took those below it along, past their places or before them."""
        return folder not in self._unsure and all(each.item_id not in self._unsure for each in self.lineage(folder))
