"""What a node shows of its item beside its place: content, mode, times. Parts of one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import bulk, contents, tree
from cache.activity import What
from cache.model import Capability, NodeChanged
from cache.placeholders import item_size
from sync import forgotten, sides
from sync.placing import Placing

if TYPE_CHECKING:
    from cache.model import Item, Node


@dataclass(slots=True)
class Showing(Placing):
    """Takes the remote's side of an item that has a node."""

    def outbox(self) -> bulk.Outbox | None:
        """What the short way (`sync.plain`) leaves alone; None: each item is looked at by itself."""
        return None if forgotten.under_way(self.connection) else bulk.outbox(self.connection)

    def take_content(self, node: Node, told: Item, old: Item | None) -> bool:
        """Show the remote's content, if it is another; the bytes that were shown are kept while they are open."""
        held = None if node.content_id is None else contents.get(self.connection, node.content_id)
        version = held.version if held is not None else None if old is None else old.content_version
        if version == told.content_version and node.symlink_target == told.symlink_target:
            return False
        if old is None or told.digest is None or (version, told.digest) != (old.content_version, old.digest):
            self.keep_forgotten(node)  # for all that is known, other bytes
        tree.set_content(self.connection, node.ino, None, item_size(told))
        tree.set_target(self.connection, node.ino, told.symlink_target)
        if node.content_id is not None:
            self.after.released.add(node.content_id)
        self.after.news.append(NodeChanged(node.ino, content=True))
        return True

    def keep_forgotten(self, node: Node) -> None:
        """Before its content goes: where the remote lost changes that it had told, these may be the last bytes."""
        if forgotten.under_way(self.connection):
            self.keep_whole(node, "the server lost newer changes")

    def keep_whole(self, node: Node, why: str) -> None:
        """Put the bytes aside, where all of them are here and none is to be sent."""
        held = None if node.content_id is None else contents.get(self.connection, node.content_id)
        if held is not None and held.whole and not held.dirty:
            where = sides.put_aside(self, node)
            self.note(node.ino, What.SET_ASIDE, f"{why}: kept in {where}")

    def take_attributes(self, node: Node, told: Item) -> None:
        """Show the remote's mode and times."""
        writable = Capability.WRITE in told.capabilities
        if (node.mode, node.mtime_ns, node.writable) == (told.mode, told.mtime_ns, writable):
            return
        tree.set_attributes(self.connection, node.ino, told.mode, told.mtime_ns, self.clock.now_ns)
        tree.set_writable(self.connection, node.ino, writable=writable)
        self.after.news.append(NodeChanged(node.ino))

    def stamp(self, node: Node) -> None:
        """Something about the node changed that no other time tells."""
        tree.stamp(self.connection, node.ino, self.clock.now_ns)
        self.after.news.append(NodeChanged(node.ino))
