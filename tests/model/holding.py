"""Files that programs keep open in the model: opened in one step, written in another, closed in a third or never."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sync.remote import VersionGone

if TYPE_CHECKING:
    from tests.model.ledger import Ledger
    from tests.model.machine import Machine
    from tests.model.operations import Picker

HANDLES_MAX = 3


class Holding:
    """The part of a Program that keeps files open."""

    machine: Machine
    ledger: Ledger

    async def _open(self, pick: Picker) -> None:
        path = pick.file()
        if path is not None and len(self.machine.handles) < HANDLES_MAX:
            ino = self.machine.at(path).ino
            opened = await self.machine.filesystem.open(ino, os.O_RDWR)
            self.machine.handles[opened.fh] = ino

    async def _poke(self, pick: Picker) -> None:
        """Read all and append: who writes through a handle has seen what the handle shows, nothing newer."""
        fh = self._handle(pick)
        if fh is None:
            return
        filesystem, data = self.machine.filesystem, self.ledger.fresh()
        try:
            old = bytes(await filesystem.read(fh, 0, 1 << 20))
        except VersionGone:
            return  # the version that was opened is nowhere any more
        await filesystem.write(fh, len(old), data)
        new = bytes(await filesystem.read(fh, 0, 1 << 20))
        assert new == old + data
        if self.machine.handles[fh] in self.machine.removed:
            return
        self.ledger.replaced(old, new)
        kept = new in self.machine.tree().values() or new in self.machine.set_aside()  # where it was rejected before
        assert kept, "what was accepted through an open file is shown nowhere"

    async def _close(self, pick: Picker) -> None:
        fh = self._handle(pick)
        if fh is not None:
            del self.machine.handles[fh]
            await self.machine.filesystem.release(fh)

    def _handle(self, pick: Picker) -> int | None:
        held = list(self.machine.handles)
        return held[pick.number(len(held))] if held else None
