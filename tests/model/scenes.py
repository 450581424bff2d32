"""Scenes of wide histories: what takes several steps about one and the same thing, and so is rarely met by chance."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from cache import tree
from cache.model import Kind
from tests.model.lively import Lively
from tests.model.operations import Picker, Program
from tests.model.wide import Wide

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cache.model import Item
    from tests.model.machine import Machine, Tree

HERE = ("edit", "edit", "save", "empty", "remove", "rename", "touch", "label")
THERE = ("overwrite", "overwrite", "delete", "move", "retype", "label", "chmod")


class AboutOne(Picker):
    """Chooses one path, whatever is there beside it."""

    def __init__(self, tree: Tree, picks: tuple[int, ...], path: str) -> None:
        super().__init__(tree, itertools.cycle(picks))
        self._path = path

    def file(self) -> str | None:
        """The path, where it is a file."""
        return self._path if isinstance(self.tree.get(self._path), bytes) else None

    def any(self) -> str | None:
        """The path, where something is."""
        return self._path if self._path in self.tree else None


class Scenes(Wide):
    """The part of a World that stages them."""

    def clash(self, who: int, *, here: str, there: str, conflicts: str, first: str, picks: tuple[int, ...]) -> None:
        """The same thing is changed here and there, and one side is told of the other first."""
        machine = self._machine(who)
        item = self._known_item(machine, picks)
        if item is None:
            return
        self.no_longer_alone()
        self.choose(who, conflicts)
        self.step(who, lambda: self._here(machine, here, item, picks))
        self._there(there, item, picks)
        acts: dict[str, Callable[[], Awaitable[object]]] = {
            "pull": machine.pull, "push": lambda: machine.push_all(60.0), "list": machine.list_all,
        }  # fmt: skip
        self.step(who, acts[first])

    def overtaken(self, who: int, *, there: str, here: str, more: bool, picks: tuple[int, ...]) -> None:
        """A program has a file open while others change it, and writes then."""
        machine = self._machine(who)
        item = self._known_item(machine, picks)
        if item is None or item.kind is not Kind.FILE:
            return
        self.no_longer_alone()
        program, path = Program(machine, self.ledger), self._path(machine, item)
        self.step(who, lambda: program._open(AboutOne(machine.tree(), picks, path)))
        self._there(there, item, picks)
        self.step(who, machine.pull)
        if more:
            self.step(who, lambda: self._here(machine, here, item, picks))
        self.program(who, "poke", (len(machine.handles) - 1, *picks[1:]))
        if picks[3] % 2:
            self.program(who, "close", (len(machine.handles) - 1, *picks[1:]))

    def crossed(self, who: int, swap: bool) -> None:
        """One folder is moved into another here, and the other into the one there."""
        machine = self._machine(who)
        folders = [node for node in machine.nodes() if node.kind is Kind.FOLDER and node.item_id in self.drive.items]
        tops = [node for node in folders if node.parent == 1][-2:]
        if len(tops) < 2:
            return
        self.no_longer_alone()
        one, other = reversed(tops) if swap else tops

        async def here() -> None:
            await machine.list_all()
            if tree.child(machine.store.db.reader, other.ino, one.name) is None and other.parent == 1:
                await Lively(machine, self.ledger).moved(one.ino, other.ino)

        self.step(who, here)
        there = self.drive.items.get(other.item_id) if other.item_id else None
        if there is not None and one.item_id in self.drive.items and self.drive.child(one.item_id, "x") is None:
            below = self.drive._is_below(one.item_id, there.item_id)
            if not below:
                self.drive.move(there.item_id, there.metadata_version, one.item_id, "x", None)
        self.step(who, machine.pull)

    def walk(self, who: int, count: int, fault: str, evict: bool) -> None:
        """Somebody puts files there, and they are brought many in one request; or all is given back before."""
        machine = self._machine(who)
        if not self._alone:
            for number in range(count):
                self.server.run("create", itertools.cycle((number, number, number + 1)))
        self.pull(who)
        self.step(who, machine.list_all)
        if evict:
            self.squeeze(who, 0)
        self.batch(who, fault)

    # Parts -------------------------------------------------------------------------------------------------------

    def _known_item(self, machine: Machine, picks: tuple[int, ...]) -> Item | None:
        """Something that has a name here and is there."""
        found = [node.item_id for node in machine.nodes() if node.item_id is not None]
        there = [self.drive.items[item_id] for item_id in found if item_id in self.drive.items]
        return there[picks[0] % len(there)] if there else None

    @staticmethod
    def _path(machine: Machine, item: Item) -> str:
        node = tree.by_item(machine.store.db.reader, item.item_id)
        return "" if node is None or node.parent is None else tree.path_of(machine.store.db.reader, node.ino)

    async def _here(self, machine: Machine, kind: str, item: Item, picks: tuple[int, ...]) -> None:
        path = self._path(machine, item)
        await Lively(machine, self.ledger).run_with(kind, AboutOne(machine.tree(), picks, path))

    def _there(self, kind: str, item: Item, picks: tuple[int, ...]) -> None:
        items = list(self.drive.items.values())
        found = [
            each for each in items if (each.kind is Kind.FILE if kind == "overwrite" else each.parent_id is not None)
        ]
        numbers = [number for number, each in enumerate(found) if each.item_id == item.item_id]
        if numbers:
            self.server.run(kind, iter((*numbers, *picks, *picks)))
