"""Pins: which files are to be kept here whatever else happens. The nearest rule counts: the item's own, or of a folder
above it.

A rule follows its item through renames, moves, editors' saves and a rebuilt catalog. What the remote has not seen is
known by its inode number until it gets an id; should the catalog be rebuilt before that, by its last path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from cache import tree
from cache.changing import existing
from cache.model import ROOT_INO, Ino, ItemId, Node
from cache.pinfile import PinFile, PinRule, PinState

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


class Pins:
    """All rules of a mount; owner: the trio thread."""

    def __init__(self, directory: Path, reader: sqlite3.Connection, catalog: str) -> None:
        self._file = PinFile(directory)
        self._reader = reader
        self._catalog = catalog
        self._turn = trio.Lock()
        of_catalog, rules = self._file.load()
        if of_catalog != catalog:  # another catalog's numbers mean nothing here
            rules = [replace(rule, ino=0) for rule in rules]
        self._take(rules)

    def _take(self, rules: list[PinRule]) -> None:
        self.rules = tuple(rules)
        self._by_item = {rule.item_id: rule for rule in rules if rule.item_id is not None}
        self._by_ino = {rule.ino: rule for rule in rules if rule.ino}
        self.unidentified = any(rule.item_id is None for rule in rules)

    def own(self, node: Node) -> PinState:
        """What was said of this very node; INHERIT: nothing."""
        rule = self._rule(node.ino, node.item_id)
        return PinState.INHERIT if rule is None else rule.state

    def effective(self, ino: Ino) -> PinState:
        """What counts for a node; INHERIT: nothing was said of it, nor of a folder above it."""
        current: int | None = ino if self.rules else None
        while current is not None:
            row = self._reader.execute("SELECT parent, item_id FROM node WHERE ino = ?", (current,)).fetchone()
            if row is None:
                return PinState.INHERIT
            rule = self._rule(current, row[1])
            if rule is not None:
                return rule.state
            current = row[0]
        return PinState.INHERIT

    def keeps(self, ino: Ino) -> bool:
        """Whether a node is pinned, by itself or from above."""
        return self.effective(ino) is PinState.PINNED

    def _rule(self, ino: int, item_id: str | None) -> PinRule | None:
        found = None if item_id is None else self._by_item.get(item_id)
        return found or self._by_ino.get(ino)

    def node_of(self, rule: PinRule) -> Node | None:
        """What a rule is about, if the catalog knows it."""
        node = None if rule.item_id is None else tree.by_item(self._reader, ItemId(rule.item_id))
        if node is None and rule.ino:
            node = tree.by_ino(self._reader, Ino(rule.ino))
        if node is None and rule.item_id is None and not rule.ino:
            node = _at(self._reader, rule.path)
        return node

    async def put(self, ino: Ino, state: PinState) -> None:
        """Say it, durably; INHERIT: say nothing of it any more. Raises NotFound, OSError."""
        async with self._turn:
            node = existing(self._reader, ino)
            old = self._rule(ino, node.item_id)
            rules = [self._current(rule) for rule in self.rules if rule is not old]
            if state is not PinState.INHERIT:
                rules.append(PinRule(state=state, item_id=node.item_id, ino=ino, path=tree.path_of(self._reader, ino)))
            await self._store(rules)

    async def identify(self) -> None:
        """Items that got their id meanwhile are known by it from now on."""
        async with self._turn:
            rules = [self._current(rule) for rule in self.rules]
            if [(each.item_id, each.ino) for each in rules] != [(each.item_id, each.ino) for each in self.rules]:
                await self._store(rules)

    def may_identify(self) -> bool:
        """Whether an item without an id may have got one: asked often, costs little."""
        nodes = [self.node_of(rule) for rule in self.rules if rule.item_id is None] if self.unidentified else []
        return any(node is not None and node.item_id is not None for node in nodes)

    def _current(self, rule: PinRule) -> PinRule:
        """A rule with what is known now: id, number, path."""
        node = self.node_of(rule)
        if node is None or (node.parent is None and node.ino != ROOT_INO):
            return rule
        path = tree.path_of(self._reader, node.ino)
        return replace(rule, item_id=node.item_id or rule.item_id, ino=node.ino, path=path)

    async def _store(self, rules: list[PinRule]) -> None:
        """On the disk first, then believed."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._file.store, self._catalog, rules)
        self._take(rules)


def _at(reader: sqlite3.Connection, path: str) -> Node | None:
    node = tree.by_ino(reader, ROOT_INO)
    for name in filter(None, path.split("/")):
        node = None if node is None else tree.child(reader, node.ino, name)
    return node
