"""Nodes whose name is gone: they stay while somebody may ask for them, by an open file or because the kernel, which
tells when it forgets one, still knows their number. Owned by the trio thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import tree

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from cache.model import Ino
    from cache.opened import OpenContents


class Nameless:
    """Those of one state directory."""

    def __init__(self, reader: sqlite3.Connection, opened: OpenContents) -> None:
        self._inos: set[Ino] = set()
        self._reader = reader
        self._opened = opened
        self.known: Callable[[Ino], bool] = lambda _ino: False  # whether the kernel may ask for it

    def __contains__(self, ino: Ino) -> bool:
        return ino in self._inos

    def add(self, inos: Iterable[Ino]) -> None:
        """To be forgotten, if they have no name."""
        self._inos.update(inos)

    def take(self) -> set[Ino]:
        """Those that nobody may ask for any more; `add` them again if they could not be forgotten.

        Nobody begins to ask for these either: what has a name is left out, for it could be opened and lose that name
        before the transaction that forgets. Whoever takes the name away adds it.
        """
        free: set[Ino] = set()
        waiting: set[Ino] = set()
        for ino in self._inos:
            if self._opened.of_node(ino):
                waiting.add(ino)
                continue
            node = tree.by_ino(self._reader, ino)
            if node is not None and node.parent is None:
                (waiting if self.known(ino) else free).add(ino)
        self._inos = waiting
        return free
