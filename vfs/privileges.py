"""Takes the set-user-id and set-group-id bits off files whose bytes or owner change: the kernel leaves that to us
(`vfs.handshake`).

As on a disk: a write or a truncation by root leaves them, a chown by anybody takes them. Only inodes that may bear such
bits are looked at: almost none, so a write pays nothing.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from cache import edits, tree
from cache.model import Ino, Kind

if TYPE_CHECKING:
    from cache.model import Node
    from cache.store import LocalStore
    from sync.engine import Engine

_BITS = stat.S_ISUID | stat.S_ISGID


class Privileges:
    """Of the files of one mount. Owned by the trio thread."""

    def __init__(self, store: LocalStore, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._bearing: set[Ino] = set()

    def note(self, ino: Ino, mode: int | None) -> None:
        """A file is opened, or gets a mode."""
        if mode is not None and mode & _BITS:
            self._bearing.add(ino)

    def forget(self, ino: Ino) -> None:
        """The kernel holds it no more: it is not open."""
        self._bearing.discard(ino)

    def may_bear(self, ino: Ino) -> bool:
        """Whether `drop` has to look."""
        return ino in self._bearing

    async def drop(self, node: Node) -> None:
        """Before the bytes of a file change, or with its owner."""
        mode = without(node.mode)
        if node.kind is not Kind.FOLDER and mode != node.mode:
            clock = self._store.clock()
            await self._store.db.write_here(lambda c: edits.set_attributes(c, node.ino, clock, mode=mode))
            self._engine.changed()
        self._bearing.discard(node.ino)

    async def drop_before_write(self, ino: Ino) -> None:
        """The same, of an inode that may have gone."""
        node = tree.by_ino(self._store.db.reader, ino)
        if node is not None:
            await self.drop(node)


def without(mode: int) -> int:
    """A mode after somebody without privileges wrote (chmod(2), write(2)): without its group's right to execute it, a
    file's set-group-id bit means something else and stays."""
    return mode & ~(_BITS if mode & stat.S_IXGRP else stat.S_ISUID)
