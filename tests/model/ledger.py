"""What was accepted in the model, and must not be lost."""

from __future__ import annotations

import itertools
from enum import Enum, auto


class Beside(Enum):
    """Where accepted bytes may be in the end, other than in the tree, after something that is said to do that."""

    SET_ASIDE = auto()  # the server's side won on a machine, or a person rejected them
    HISTORY = auto()  # the client's side won over them, or a person did
    RESCUED = auto()  # a machine lost its power before they were synced, or its catalog


class Ledger:
    """Bytes that were accepted and that nobody who had seen them has replaced or removed since."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.alive: set[bytes] = set()
        self.ever: set[bytes] = {b""}

    def fresh(self) -> bytes:
        """Bytes that were never written before."""
        return f"<{next(self._numbers)}>".encode()

    def forget(self, bodies: set[bytes]) -> None:
        """Somebody removed something, whichever of these it held by then."""
        self.alive -= bodies

    def replaced(self, old: object, new: object = None) -> None:
        """Somebody who saw `old` put `new` there; the same bytes again are nothing new to be kept."""
        if old == new:
            return
        if isinstance(old, bytes):
            self.alive.discard(old)
        if isinstance(new, bytes) and new:
            self.alive.add(new)
            self.ever.add(new)
