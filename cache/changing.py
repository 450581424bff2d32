"""What every local change begins with: its moment, its node, and whether the remote lets this account do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import items, tree
from cache.errors import NotFound, NotPermitted

if TYPE_CHECKING:
    import sqlite3

    from cache.model import Capability, Ino, Node


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment of a change: `now_ns` for timestamps, `push_after_ms` for when the outbox may push it.

    Two clocks: people set the first, and no decision depends on it; the second is this process's own.
    """

    now_ns: int
    push_after_ms: int

    @property
    def now_s(self) -> int:
        """Whole seconds."""
        return self.now_ns // 1_000_000_000


def existing(connection: sqlite3.Connection, ino: Ino) -> Node:
    """The node, or NotFound."""
    node = tree.by_ino(connection, ino)
    if node is None:
        raise NotFound(ino=ino)
    return node


def permit(connection: sqlite3.Connection, node: Node, needs: Capability) -> None:
    """Raises NotPermitted when the remote told that this account may not."""
    capabilities = None if node.item_id is None else items.capabilities(connection, node.item_id)
    if capabilities is not None and needs not in capabilities:
        raise NotPermitted(ino=node.ino, needs=needs.value)
