"""What programs do in more than one step, as shells and editors do: each step is held to the dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.trees import children, moved, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.model.ledger import Ledger
    from tests.model.machine import Machine
    from tests.model.operations import Picker
    from tests.model.trees import Tree

DEPTH = 3


class Patterns:
    """The part of a Program that does several things in a row."""

    machine: Machine
    ledger: Ledger
    _listed: Callable[[str], Awaitable[None]]
    _room_for: Callable[[str], Awaitable[Tree | None]]
    _shows: Callable[..., None]

    async def _wrap(self, pick: Picker) -> None:
        """Something goes into a new folder that takes its name: mv x t; mkdir x; mv t x/x."""
        path = pick.any()
        if path is None or path.count("/") >= DEPTH or f"{path}.t" in pick.tree:
            return
        await self._listed(path)
        if path in self.machine.tree():
            await self._renamed(path, f"{path}.t")
            if await self._made(path):
                await self._renamed(f"{path}.t", f"{path}/{path.rpartition('/')[2]}")

    async def _unwrap(self, pick: Picker) -> None:
        """A folder is replaced by the one thing that it holds: mv x/y t; rmdir x; mv t x."""
        path = pick.any()
        folder = "" if path is None else path.rpartition("/")[0]
        if path is None or folder == "" or f"{folder}.t" in pick.tree:
            return
        await self._listed(path)
        before = self.machine.tree()
        inside = [each for each in before if each.startswith(f"{folder}/") and not within(each, path)]
        if path not in before or inside:
            return
        await self._renamed(path, f"{folder}.t")
        if not children(shown := self.machine.tree(), folder) and folder in shown:  # else what was hidden stays in it
            await self.machine.filesystem.rmdir(*self.machine.place(folder))
            if folder not in self.machine.tree():
                await self._renamed(f"{folder}.t", folder)

    async def _save(self, pick: Picker) -> None:
        """As editors save: a new file, renamed over the old one."""
        path = pick.file()
        before = None if path is None else await self._room_for(f"{path}.t")
        if path is None or before is None or path not in before:
            return
        data = self.ledger.fresh()
        await self.machine.create(f"{path}.t", data)
        self.ledger.replaced(before[path], data)
        await self._renamed(f"{path}.t", path)

    async def _renamed(self, path: str, target: str) -> None:
        before = self.machine.tree()
        if target in before:
            self.machine.removed.add(self.machine.at(target).ino)
        await self.machine.filesystem.rename(*self.machine.place(path), *self.machine.place(target), 0)
        self._shows(moved(before, path, target), path)

    async def _made(self, path: str) -> bool:
        before = self.machine.tree()
        if path in before:  # something that was hidden took the name
            return False
        await self.machine.filesystem.mkdir(*self.machine.place(path), 0o755)
        self._shows({**before, path: None})
        return True
