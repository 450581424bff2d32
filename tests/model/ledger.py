"""What was accepted in the model, and must not be lost."""

from __future__ import annotations

import itertools


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
