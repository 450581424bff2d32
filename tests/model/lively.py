"""What programs do while the whole engine runs beside them, or the disk is full: each may be overtaken, and may fail.

So nothing is held to a dictionary here. What a program has seen through its own handle and replaced is replaced; what
it removed may be gone in every version that there ever was; whatever a file shows was written there by somebody.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from cache import tree, xattrs
from cache.errors import LocalError
from cache.model import ROOT_INO, Ino, Kind
from sync.choices import Keep
from sync.remote import RemoteError
from tests.model.operations import Picker
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from cache.model import Node
    from tests.model.ledger import Ledger
    from tests.model.machine import Machine

KINDS = (
    "make", "make", "edit", "edit", "edit", "folder", "rename", "rename", "remove", "save", "see", "see", "give_back",
    "touch", "label", "fsync", "empty", "grow", "resolve",
)  # fmt: skip


class Lively:
    """Each by its name, on one machine."""

    def __init__(self, machine: Machine, ledger: Ledger) -> None:
        self.machine, self.ledger, self.do = machine, ledger, machine.filesystem
        self._at_work: set[Ino] = set()

    async def run(self, kind: str, picks: Iterator[int]) -> None:
        """What it cannot do it leaves."""
        await self.run_with(kind, Picker(self.machine.tree(), picks, self.machine.ground.names))

    async def run_with(self, kind: str, pick: Picker) -> None:
        """The same with a choice of its own."""
        doing: Callable[[Picker], Awaitable[None]] = getattr(self, f"_{kind}")
        try:
            await doing(pick)
        except (LocalError, RemoteError, OSError):
            return

    async def moved(self, ino: Ino, folder: Ino) -> None:
        """Something goes into a folder, under the name that it has; or not."""
        node = tree.by_ino(self.machine.store.db.reader, ino)
        if node is not None and node.parent is not None:
            with suppress(LocalError):
                await self.do.rename(node.parent, node.name, folder, node.name, 0)

    async def _make(self, pick: Picker) -> None:
        parent, name = self.machine.place(pick.target())
        await self.do._listed(parent)
        fh, _ = await self.do.create(parent, name, 0o644, os.O_RDWR | os.O_EXCL)
        async with self._closing(fh):
            data = self.ledger.fresh()
            await self.do.write(fh, 0, data)
            self.ledger.replaced(None, data)

    async def _edit(self, pick: Picker) -> None:
        """Read all, and put something at its end."""
        async with self._opened(pick.file()) as (fh, _):
            old, data = await self._all_of(fh), self.ledger.fresh()
            await self.do.write(fh, len(old), data)
            self.ledger.replaced(old, old + data)

    async def _empty(self, pick: Picker) -> None:
        """What was there is seen before."""
        async with self._opened(pick.file()) as (fh, ino):
            old = await self._all_of(fh)
            self.ledger.replaced(old)
            await self.do.setattr(ino, AttributeChange(size=0), fh)
            data = self.ledger.fresh()
            await self.do.write(fh, 0, data)
            self.ledger.replaced(None, data)

    async def _grow(self, pick: Picker) -> None:
        async with self._opened(pick.file()) as (fh, ino):
            old = await self._all_of(fh)
            self.ledger.replaced(old)
            self.ledger.ever.add(old + bytes(3))
            await self.do.setattr(ino, AttributeChange(size=len(old) + 3), fh)
            self.ledger.replaced(None, old + bytes(3))

    async def _fsync(self, pick: Picker) -> None:
        async with self._opened(pick.file()) as (fh, ino):
            old, data = await self._all_of(fh), self.ledger.fresh()
            await self.do.write(fh, len(old), data)
            self.ledger.replaced(old, old + data)
            await self.do.fsync(fh, datasync=False)
            node = tree.by_ino(self.machine.store.db.reader, ino)
            if node is not None and node.parent is not None and self.machine.body(node) == old + data:
                self.machine.now_synced(node)

    async def _see(self, pick: Picker) -> None:
        async with self._opened(pick.file(), os.O_RDONLY) as (fh, _):
            first = bytes(await self.do.read(fh, 1, 2))
            assert (await self._all_of(fh))[1:3] == first

    async def _folder(self, pick: Picker) -> None:
        parent, name = self.machine.place(pick.target())
        await self.do.mkdir(parent, name, 0o755)

    async def _rename(self, pick: Picker) -> None:
        path, target = pick.any(), pick.target()
        if path is not None:
            source, place = self.machine.place(path), self.machine.place(target)
            await self.do._listed(place[0])
            async with self._going(place):
                await self.do.rename(*source, *place, 0)

    async def _remove(self, pick: Picker) -> None:
        path = pick.any()
        if path is None:
            return
        place, node = self.machine.place(path), self.machine.at(path)
        if node.kind is Kind.FOLDER:
            await self.do._listed(node.ino)
            await self.do.rmdir(*place)
        else:
            async with self._going(place):
                await self.do.unlink(*place)

    async def _save(self, pick: Picker) -> None:
        """As editors do: another file, that takes the name."""
        path = pick.file()
        if path is not None:
            (parent, name), data = self.machine.place(path), self.ledger.fresh()
            fh, _ = await self.do.create(parent, f"{name}.t", 0o644, os.O_RDWR | os.O_EXCL)
            async with self._closing(fh):
                await self.do.write(fh, 0, data)
                self.ledger.replaced(None, data)
            async with self._going((parent, name)):
                await self.do.rename(parent, f"{name}.t", parent, name, 0)

    async def _give_back(self, pick: Picker) -> None:
        await self.machine.engine.evict(self.machine.at(pick.any() or "").ino)

    async def _touch(self, pick: Picker) -> None:
        change = AttributeChange(mtime_ns=pick.number(12) * 10**9, mode=(None, 0o600)[pick.number(2)])
        await self.do.setattr(self.machine.at(pick.any() or "").ino, change, None)

    async def _label(self, pick: Picker) -> None:
        node = self.machine.at(pick.any() or "")
        if node.kind is not Kind.SYMLINK and node.ino != ROOT_INO:
            await self.do.setxattr(node.ino, b"user.one", self.ledger.fresh())
            xattrs.of_node(self.machine.store.db.reader, node)

    async def _resolve(self, pick: Picker) -> None:
        """A person settles a conflict: what does not stay is in the trash, in the history, or set aside."""
        steering = self.machine.engine.steering
        found = [each for each in steering.conflicts() if each.copy in pick.tree]
        if not found:
            return
        told = found[pick.number(len(found))]
        keep = tuple(Keep)[pick.number(3)]
        async with AsyncExitStack() as stack:
            for path in filter(pick.tree.__contains__, (told.copy, told.original)):
                await stack.enter_async_context(self._going(self.machine.place(path)))
            await steering.resolve(self.machine.at(told.copy).ino, keep)

    # Parts -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _opened(self, path: str | None, flags: int = os.O_RDWR) -> AsyncIterator[tuple[int, Ino]]:
        if path is None:
            raise LocalError("there is none")
        ino = self.machine.at(path).ino
        async with self._only_one(ino):
            fh = (await self.do.open(ino, flags)).fh
            async with self._closing(fh):
                yield fh, ino

    @asynccontextmanager
    async def _closing(self, fh: int) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.do.release(fh)

    async def _all_of(self, fh: int) -> bytes:
        shown = bytes(await self.do.read(fh, 0, 1 << 20))
        assert shown in self.ledger.ever, f"nobody ever wrote {shown!r}"
        return shown

    @asynccontextmanager
    async def _going(self, place: tuple[Ino, str]) -> AsyncIterator[None]:
        """What stands at a name is about to go, in whatever version it is found there by then."""
        node = tree.child(self.machine.store.db.reader, *place)
        if node is None or node.kind is not Kind.FILE:
            yield
            return
        async with self._only_one(node.ino):
            self._forget(node)
            try:
                yield
            finally:
                after = tree.by_ino(self.machine.store.db.reader, node.ino)
                if after is None or after.parent is None:
                    self.machine.removed.add(node.ino)

    @asynccontextmanager
    async def _only_one(self, ino: Ino) -> AsyncIterator[None]:
        """Who writes where another writes overwrites what he has not seen."""
        if ino in self._at_work:
            raise LocalError("somebody else is at it")
        self._at_work.add(ino)
        try:
            yield
        finally:
            self._at_work.discard(ino)

    def _forget(self, node: Node) -> None:
        if node.kind is Kind.FILE:
            self.ledger.forget(self._every_version(node))

    def _every_version(self, node: Node) -> set[bytes]:
        of_drive = {body for (item_id, _), body in self.machine.drive.bodies.items() if item_id == node.item_id}
        return of_drive | {self.machine.body(node)}
