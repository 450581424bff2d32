"""What programs do in the model: each operation picks its paths, does it, and compares with a plain dictionary.

`picks` are numbers that choose among what is there: the same numbers on the same tree do the same. An operation whose
choice is impossible does nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from cache.errors import LocalError, NotFound, NotPermitted
from sync.remote import RemoteError
from tests.model.ground import NAMES
from tests.model.holding import Holding
from tests.model.patterns import DEPTH, Patterns
from tests.model.traits import Labelling
from tests.model.trees import children, in_a_folder, moved, swapped, within
from vfs.attributes import AttributeChange
from vfs.naming import RENAME_EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tests.model.ledger import Ledger
    from tests.model.machine import Machine, Tree

KINDS = (
    "create", "mkdir", "write", "rename", "unlink", "rmdir", "truncate", "exchange", "chmod", "symlink", "read",
    "evict", "look", "open", "poke", "poke", "close", "wrap", "unwrap", "save", "setxattr", "setxattr", "removexattr",
)  # fmt: skip


class Picker:
    """Chooses by numbers."""

    def __init__(self, tree: Tree, picks: Iterator[int], names: Sequence[str] = NAMES) -> None:
        self.tree, self._picks, self._names = tree, picks, names

    def number(self, below: int) -> int:
        """Some number."""
        return next(self._picks) % below

    def among(self, paths: list[str]) -> str | None:
        """One of these, or None when there is none."""
        return paths[self.number(len(paths))] if paths else None

    def file(self) -> str | None:
        """A file."""
        return self.among([path for path, what in self.tree.items() if isinstance(what, bytes)])

    def any(self) -> str | None:
        """Anything but the root."""
        return self.among(list(self.tree))

    def target(self) -> str:
        """A path in some folder, taken or not."""
        folders = ["", *[path for path, what in self.tree.items() if what is None]]
        folder = folders[self.number(len(folders))]
        if folder.count("/") >= DEPTH:
            folder = ""
        return f"{folder}/{self._names[self.number(len(self._names))]}"


class Program(Holding, Patterns, Labelling):
    """Runs operations on one machine and holds them to the dictionary."""

    def __init__(self, machine: Machine, ledger: Ledger) -> None:
        self.machine, self.ledger = machine, ledger

    async def run(self, kind: str, picks: Iterator[int]) -> None:
        """One operation by its name."""
        await self.run_with(kind, Picker(self.machine.tree(), picks, self.machine.ground.names))

    async def run_with(self, kind: str, pick: Picker) -> None:
        """The same with a choice of its own."""
        doing: Callable[[Picker], Awaitable[None]] = getattr(self, f"_{kind}")
        try:
            await doing(pick)
        except RemoteError:
            after = self.machine.tree()
            assert pick.tree.items() <= after.items(), (
                "an operation that failed for want of the server changed something"
            )

    def _shows(self, expected: Tree, vacated: str | None = None) -> None:
        """The tree is as expected; a name that became free may show what it hid."""
        shown = self.machine.tree()
        if vacated is not None and vacated not in expected:
            shown = {path: what for path, what in shown.items() if not within(path, vacated)}
        if self.machine.interleaved:  # others may be told of at the same time
            shown = {path: what for path, what in shown.items() if path in expected}
        assert shown == expected

    async def _create(self, pick: Picker) -> None:
        path, data = pick.target(), self.ledger.fresh() if pick.number(4) else b""
        before = await self._room_for(path)
        if before is not None:
            await self.machine.create(path, data)
            self.ledger.replaced(None, data)
            self._shows({**before, path: data})

    async def _mkdir(self, pick: Picker) -> None:
        path = pick.target()
        before = await self._room_for(path)
        if before is not None:
            await self.machine.filesystem.mkdir(*self.machine.place(path), 0o755)
            self._shows({**before, path: None})

    async def _symlink(self, pick: Picker) -> None:
        path = pick.target()
        before = await self._room_for(path)
        if before is not None:
            await self.machine.filesystem.symlink(*self.machine.place(path), "to/where")
            self._shows({**before, path: "to/where"})

    async def _write(self, pick: Picker) -> None:
        path = pick.file()
        if path is None:
            return
        old = pick.tree[path]
        assert isinstance(old, bytes)
        ways = (("append", len(old)), ("begin", 0), ("rewrite", 0))
        way, offset = ways[pick.number(len(ways))]
        data = self.ledger.fresh()
        new = data if way == "rewrite" else old[:offset] + data + old[offset + len(data) :]
        flags = os.O_RDWR | os.O_TRUNC if way == "rewrite" else os.O_RDWR
        await self.machine.write(self.machine.at(path).ino, offset, data, flags)
        self.ledger.replaced(old, new)
        self._shows({**pick.tree, path: new})

    async def _truncate(self, pick: Picker) -> None:
        path = pick.file()
        if path is None:
            return
        old = pick.tree[path]
        assert isinstance(old, bytes)
        size = pick.number(6)
        ino = self.machine.at(path).ino
        await self.machine.filesystem.setattr(ino, AttributeChange(size=size), None)
        new = old[:size].ljust(size, b"\0")
        self.ledger.replaced(old, new)
        self._shows({**pick.tree, path: new})

    async def _chmod(self, pick: Picker) -> None:
        path = pick.file()
        if path is not None:
            change = AttributeChange(mode=(0o600, 0o640, 0o755)[pick.number(3)])
            await self.machine.filesystem.setattr(self.machine.at(path).ino, change, None)
            self._shows(pick.tree)

    async def _unlink(self, pick: Picker) -> None:
        path = pick.file()
        if path is not None:
            self.machine.removed.add(self.machine.at(path).ino)
            await self.machine.filesystem.unlink(*self.machine.place(path))
            self.ledger.replaced(pick.tree[path])
            self._shows({each: what for each, what in pick.tree.items() if each != path}, path)

    async def _rmdir(self, pick: Picker) -> None:
        path = pick.among([path for path, what in pick.tree.items() if what is None])
        if path is None:
            return
        await self._listed(f"{path}/x")
        before = self.machine.tree()
        if path not in before:
            return
        if children(before, path):
            await self._fails(self.machine.filesystem.rmdir(*self.machine.place(path)))
            self._shows(before)
        else:
            await self.machine.filesystem.rmdir(*self.machine.place(path))
            self._shows({each: what for each, what in before.items() if each != path}, path)

    async def _rename(self, pick: Picker) -> None:
        path, target = pick.any(), pick.target()
        if path is None or path == target:
            return
        await self._listed(target)
        await self._listed(f"{target}/x")
        before = self.machine.tree()
        if path not in before or not in_a_folder(before, target):
            return
        source, place = self.machine.place(path), self.machine.place(target)
        if self._refused(before, path, target):
            if not isinstance(await self._fails(self.machine.filesystem.rename(*source, *place, 0)), NotFound):
                self._shows(before)  # else the folder turned out to be gone on the server
            return
        if target in before:
            self.machine.removed.add(self.machine.at(target).ino)
        await self.machine.filesystem.rename(*source, *place, 0)
        self.ledger.replaced(before.get(target))
        self._shows(moved(before, path, target), path)

    async def _exchange(self, pick: Picker) -> None:
        one, other = pick.any(), pick.any()
        if one is None or other is None or within(one, other) or within(other, one):
            return
        for path in (one, other):
            await self._listed(path)
            await self._listed(f"{path}/x")
        before = self.machine.tree()
        if one not in before or other not in before:
            return
        source, place = self.machine.place(one), self.machine.place(other)
        await self.machine.filesystem.rename(*source, *place, RENAME_EXCHANGE)
        self._shows(swapped(before, one, other))

    async def _read(self, pick: Picker) -> None:
        path = pick.file()
        if path is not None:
            assert await self.machine.read(self.machine.at(path).ino) == pick.tree[path]
            self._shows(pick.tree)

    async def _evict(self, pick: Picker) -> None:
        path = pick.file()
        if path is not None:
            try:
                await self.machine.engine.evict(self.machine.at(path).ino)
            except NotPermitted:
                assert self._in_use(path)
            self._shows(pick.tree)

    async def _look(self, pick: Picker) -> None:
        await self._listed(f"{pick.any() or ''}/x")

    # Parts -------------------------------------------------------------------------------------------------------

    def _in_use(self, path: str) -> bool:
        node = self.machine.at(path)
        pinned = self.machine.engine.is_pinned(node.ino)
        return pinned or any(row.ino == node.ino for row in self.machine.outbox()) or bool(self.machine.handles)

    async def _room_for(self, path: str) -> Tree | None:
        """What is shown, if a new thing can be made at a path."""
        await self._listed(path)
        tree = self.machine.tree()
        return tree if path not in tree and in_a_folder(tree, path) else None

    async def _listed(self, path: str) -> None:
        """Have the folder of a path looked into, if it is one."""
        folder = path.rpartition("/")[0]
        tree = self.machine.tree()
        if folder == "" or (folder in tree and tree[folder] is None):
            with suppress(NotFound):  # deleted on the server meanwhile
                await self.machine.filesystem._listed(self.machine.at(folder).ino)

    @staticmethod
    def _refused(tree: Tree, path: str, target: str) -> bool:
        if within(target, path):
            return True
        if target not in tree:
            return False
        onto_folder, is_folder = tree[target] is None, tree[path] is None
        return onto_folder is not is_folder or (onto_folder and children(tree, target))

    @staticmethod
    async def _fails(doing: Awaitable[object]) -> LocalError:
        try:
            await doing
        except LocalError as error:
            return error
        raise AssertionError("this should have been refused")
