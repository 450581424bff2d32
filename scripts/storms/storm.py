"""What everybody in a storm shares: when it is over, what was seen, and what must never be."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field


def digest(data: bytes) -> bytes:
    """How contents are remembered."""
    return hashlib.sha256(data).digest()


@dataclass(slots=True)
class Storm:
    """Counters are written by one thread each, or under `lock`."""

    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    operations: Counter[str] = field(default_factory=Counter)
    interrupted: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    known: set[bytes] = field(default_factory=lambda: {digest(b"")})
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    longest_block_s: float = 0.0

    def knows(self, data: bytes) -> None:
        """Somebody may write these bytes: to see them anywhere is no fault."""
        with self.lock:
            self.known.add(digest(data))

    def count(self, what: Counter[str], name: str) -> None:
        """One more."""
        with self.lock:
            what[name] += 1


@dataclass(slots=True)
class Place:
    """A mount as its worker sees it: there or not, and for the how manyeth time."""

    up: threading.Event = field(default_factory=threading.Event)
    generation: int = 0
