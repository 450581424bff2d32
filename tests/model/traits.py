"""What a file or folder has beside its bytes, in the model: its mode, its time, and extended attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import tree, xattrs
from cache.model import ROOT_INO, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cache.model import Ino
    from tests.fakes.drive import FakeDrive
    from tests.model.ledger import Ledger
    from tests.model.machine import Machine
    from tests.model.operations import Picker

Traits = tuple[int, int, tuple[tuple[str, bytes], ...]]
"""Mode, time (of a file, in ns; a folder's is of each machine), extended attributes by name."""
Attributes = dict["Ino", tuple[tuple[str, bytes], ...]]

ATTRIBUTES = ("user.one", "user.two")
SETTING = frozenset({"setxattr", "removexattr"})


def shown_by(machine: Machine) -> dict[str, Traits]:
    """By path, what a machine shows."""
    reader, found, todo = machine.store.db.reader, dict[str, Traits](), [("", ROOT_INO)]
    while todo:
        prefix, folder = todo.pop()
        for node in tree.children(reader, folder):
            own = tuple(sorted(xattrs.of_node(reader, node).items()))
            found[f"{prefix}/{node.name}"] = _of(node.kind, node.mode, node.mtime_ns, own)
            if node.kind is Kind.FOLDER:
                todo.append((f"{prefix}/{node.name}", node.ino))
    return found


def held_by(drive: FakeDrive) -> dict[str, Traits]:
    """By path, what the server has."""
    found, todo = dict[str, Traits](), [("", drive.root_id)]
    while todo:
        prefix, folder = todo.pop()
        for item in drive.children(folder):
            found[f"{prefix}/{item.name}"] = _of(item.kind, item.mode, item.mtime_ns, tuple(sorted(item.xattrs or ())))
            if item.kind is Kind.FOLDER:
                todo.append((f"{prefix}/{item.name}", item.item_id))
    return found


def attributes(machine: Machine) -> Attributes:
    """By inode: whatever is done to its name or its bytes, a file keeps them."""
    reader = machine.store.db.reader
    inos = [ino for (ino,) in reader.execute("SELECT ino FROM node WHERE parent IS NOT NULL").fetchall()]
    nodes = filter(None, (tree.by_ino(reader, ino) for ino in inos))
    return {node.ino: tuple(sorted(xattrs.of_node(reader, node).items())) for node in nodes}


def _of(kind: Kind, mode: int, mtime_ns: int, own: tuple[tuple[str, bytes], ...]) -> Traits:
    return (0 if kind is Kind.SYMLINK else mode, mtime_ns if kind is Kind.FILE else 0, own)


class Labelling:
    """The part of a Program that sets extended attributes."""

    machine: Machine
    ledger: Ledger
    _shows: Callable[..., None]

    async def _setxattr(self, pick: Picker) -> None:
        path, name = self._labelled(pick), ATTRIBUTES[pick.number(len(ATTRIBUTES))]
        if path is not None:
            value = self.ledger.fresh()
            await self._put(path, name, value, self.machine.filesystem.setxattr(self._ino(path), name.encode(), value))
            self._shows(pick.tree)

    async def _removexattr(self, pick: Picker) -> None:
        path = self._labelled(pick)
        own = None if path is None else attributes(self.machine)[self._ino(path)]
        if path is not None and own:
            name = own[pick.number(len(own))][0]
            await self._put(path, name, None, self.machine.filesystem.removexattr(self._ino(path), name.encode()))
            self._shows(pick.tree)

    async def _put(self, path: str, name: str, value: bytes | None, doing: Awaitable[object]) -> None:
        before = attributes(self.machine)
        await doing
        wanted = dict(before[self._ino(path)]) | {name: value}
        before[self._ino(path)] = tuple(sorted((each, its) for each, its in wanted.items() if its is not None))
        assert attributes(self.machine) == before

    def _labelled(self, pick: Picker) -> str | None:
        """Links have none on Linux."""
        return pick.among([path for path, what in pick.tree.items() if not isinstance(what, str)])

    def _ino(self, path: str) -> Ino:
        return self.machine.at(path).ino
