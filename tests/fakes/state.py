"""What a fake drive holds, and its change feed.

Every method is synchronous, so each is atomic under trio. Ids, versions and the feed's sequence are
counters, time is an argument: the same calls make the same drive. The order of `seqs` is the order of the
feed: an item that changes moves to its end, so that per item only the newest state is told.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace as with_

from cache.model import Anchor, Item, ItemId, Kind, Version
from sync.remote import AnchorExpired, ChangePage, Conflict, Gone, Tombstone, VersionGone

if TYPE_CHECKING:
    from collections.abc import Callable

START_NS = 1_700_000_000 * 10**9


def digest_of(data: bytes) -> str:
    """As items tell it."""
    return f"sha-256:{hashlib.sha256(data).hexdigest()}"


class DriveState:
    """Items, contents and feed; `retain`: replaced contents stay readable by version."""

    def __init__(
        self, *, now_ns: Callable[[], int] = lambda: START_NS, retain: bool = True, total_bytes: int = 1 << 40
    ) -> None:
        self.now_ns, self.retain, self.total_bytes = now_ns, retain, total_bytes
        self.items: dict[ItemId, Item] = {}
        self.tombstones: dict[ItemId, Tombstone] = {}
        self.names: dict[ItemId, dict[str, ItemId]] = {}
        self.bodies: dict[tuple[ItemId, Version], bytes] = {}
        self.seqs: dict[ItemId, int] = {}
        self.seq, self.floor, self.epoch, self._counter = 0, 0, 1, 0
        self.changed = trio.Event()
        self.fold: Callable[[str], str] = str  # names that it makes equal are one name to this drive
        self.root_id = self.new(None, "", Kind.FOLDER, mode=0o755, mtime_ns=now_ns()).item_id

    # --- what stands there

    def state(self, item_id: ItemId) -> Item | Tombstone | None:
        """The item, its tombstone, or None for what was never there or is forgotten."""
        return self.items.get(item_id) or self.tombstones.get(item_id)

    def item(self, item_id: ItemId) -> Item:
        """The item; Gone."""
        found = self.items.get(item_id)
        if found is None:
            raise Gone(tombstone=item_id in self.tombstones)
        return found

    def child(self, folder: ItemId, name: str) -> Item | None:
        """The item that holds `name`."""
        item_id = self.names.get(folder, {}).get(self.fold(name))
        return None if item_id is None else self.items[item_id]

    def children(self, folder: ItemId) -> list[Item]:
        """In name order, as a server's index tells them."""
        self.folder(folder)
        return [self.items[item_id] for _, item_id in sorted(self.names[folder].items())]

    def at(self, path: str) -> Item:
        """The item at a path below the root; Gone. For tests."""
        item = self.items[self.root_id]
        for name in filter(None, path.split("/")):
            child = self.child(item.item_id, name)
            if child is None:
                raise Gone(path)
            item = child
        return item

    def tree(self) -> dict[str, bytes | str | None]:
        """Path → content, symlink target, or None for a folder: what an oracle compares."""
        found: dict[str, bytes | str | None] = {}
        todo = [("", self.root_id)]
        while todo:
            prefix, folder = todo.pop()
            for item in self.children(folder):
                path = f"{prefix}/{item.name}"
                found[path] = item.symlink_target
                if item.kind is Kind.FILE and item.content_version is not None:
                    found[path] = self.bodies[item.item_id, item.content_version]
                elif item.kind is Kind.FOLDER:
                    todo.append((path, item.item_id))
        return found

    def content(self, item_id: ItemId, version: Version) -> bytes:
        """The bytes of that version; VersionGone, Gone."""
        body = self.bodies.get((item_id, version))
        if body is None:
            current = self.item(item_id)
            if current.kind is not Kind.FILE:
                raise Conflict(current=current, code="is_a_folder")
            raise VersionGone(current=current)
        return body

    def used_bytes(self) -> int:
        """Of current contents."""
        return sum(item.size for item in self.items.values())

    # --- the feed

    def newest(self) -> Anchor:
        """Where the feed stands."""
        return Anchor(f"{self.epoch}.{self.seq}")

    def since(self, anchor: Anchor, limit: int) -> ChangePage:
        """Newest states after `anchor`, in feed order; AnchorExpired."""
        epoch, _, told = anchor.partition(".")
        if epoch != str(self.epoch) or not told.isdigit() or not self.floor <= int(told) <= self.seq:
            raise AnchorExpired(fresh=self.newest(), lost=told.isdigit() and epoch != str(self.epoch))
        rows = [(item_id, seq) for item_id, seq in self.seqs.items() if seq > int(told)]
        page = rows[:limit]
        more = len(rows) > len(page)
        states = [self.items.get(item_id) or self.tombstones[item_id] for item_id, _ in page]
        reached = Anchor(f"{self.epoch}.{page[-1][1]}") if more and page else self.newest()
        return ChangePage(changes=states, anchor=reached, has_more=more)

    def expire_anchors(self) -> None:
        """Retention: no older anchor is served any more, and deletions are forgotten."""
        self.floor = self.seq
        for item_id in self.tombstones:
            self.seqs.pop(item_id, None)
        self.tombstones.clear()

    def begin_epoch(self) -> None:
        """As a server that lost its feed: every anchor out there is foreign now."""
        self.epoch += 1
        self.expire_anchors()

    def drop_versions(self) -> None:
        """Retention of contents: only the current ones stay readable."""
        live = {(item.item_id, item.content_version) for item in self.items.values()}
        self.bodies = {at: body for at, body in self.bodies.items() if at in live}

    def pulse(self) -> None:
        """Wake whoever waits for a change."""
        self.changed.set()
        self.changed = trio.Event()

    # --- inside

    def count(self) -> int:
        self._counter += 1
        return self._counter

    def new(
        self,
        parent: ItemId | None,
        name: str,
        kind: Kind,
        *,
        mode: int,
        mtime_ns: int,
        data: bytes = b"",
        target: str | None = None,
    ) -> Item:
        item_id = ItemId(f"i{self.count()}")
        version = None if kind is Kind.FOLDER else Version(f"c{self.count()}")
        if version is not None and kind is Kind.FILE:
            self.bodies[item_id, version] = data
        if parent is not None:
            self.names[parent][self.fold(name)] = item_id
        if kind is Kind.FOLDER:
            self.names[item_id] = {}
        return self.store(
            Item(
                item_id=item_id,
                parent_id=parent,
                name=name,
                kind=kind,
                size=len(data) if target is None else len(target.encode()),
                mode=mode,
                mtime_ns=mtime_ns,
                ctime_ns=self.now_ns(),
                content_version=version,
                metadata_version=Version(""),
                digest=digest_of(data) if kind is Kind.FILE else None,
                symlink_target=target,
            )
        )

    def store(self, item: Item) -> Item:
        """`item` as it is from now on: a new metadata_version, and the newest place in the feed."""
        stored = with_(item, metadata_version=Version(f"m{self.count()}"))
        self.items[stored.item_id] = stored
        self._tell(stored.item_id)
        return stored

    def bury(self, item: Item) -> None:
        """The item becomes its tombstone; its content stays readable while it is retained."""
        assert item.parent_id is not None
        del self.items[item.item_id]
        del self.names[item.parent_id][self.fold(item.name)]
        self.names.pop(item.item_id, None)
        if not self.retain and item.content_version is not None:
            self.bodies.pop((item.item_id, item.content_version), None)
        self.tombstones[item.item_id] = Tombstone(item_id=item.item_id, parent_id=item.parent_id)
        self._tell(item.item_id)

    def folder(self, item_id: ItemId) -> Item:
        """The folder; Gone, Conflict."""
        item = self.item(item_id)
        if item.kind is not Kind.FOLDER:
            raise Conflict(current=item, code="not_a_folder")
        return item

    def _tell(self, item_id: ItemId) -> None:
        self.seq += 1
        self.seqs.pop(item_id, None)
        self.seqs[item_id] = self.seq
        self.pulse()
