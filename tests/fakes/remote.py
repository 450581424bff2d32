"""FakeRemote: a client of a FakeDrive, an implementation of `sync.remote.Remote` in memory.

A mutation takes effect in one synchronous step, between `before`/`gate` and `after`/`answer_gate` of its
Fault. `requests` lists what was asked, in order. Several FakeRemotes on one drive are several machines.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace as with_
from typing import TYPE_CHECKING, TypeVar

import trio

from cache.model import Anchor, Capability, Item, ItemId, Kind, Version, XattrChanges
from sync.remote import (
    BadDigest,
    ChangePage,
    Listing,
    NewFile,
    Overwrite,
    Replaced,
    Source,
    Space,
    Tombstone,
    Unreachable,
)
from tests.fakes.client import FakeReader
from tests.fakes.sessions import SessionClient
from tests.fakes.state import digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


_T = TypeVar("_T")


class FakeRemote(SessionClient):
    """See the module."""

    async def root(self) -> Item:
        """The root."""
        return await self.perform("root", lambda: self.seen(self.drive.items[self.drive.root_id]))

    async def newest_anchor(self) -> Anchor:
        """Where the feed stands."""
        return await self.perform("newest_anchor", self.drive.newest)

    async def changes(self, anchor: Anchor) -> ChangePage:
        """A page of `page` changes."""

        def apply() -> ChangePage:
            told = self.drive.since(anchor, self.page)
            changes = [self.seen(row) if isinstance(row, Item) else row for row in told.changes]
            if self.page_order is not None:
                self.page_order.shuffle(changes)
            return with_(told, changes=changes)

        return await self.perform("changes", apply)

    async def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """Once when connected, then after every change."""
        await self.perform("hints", lambda: self.drive.since(anchor, 0))
        seen = -1
        while True:
            changed = self.drive.changed
            if not self.online:
                raise Unreachable("offline")
            if seen != self.drive.seq:
                seen = self.drive.seq
                yield None
            else:
                await changed.wait()

    async def children(self, folder: ItemId) -> Listing:
        """All children, and the anchor of that moment."""
        return await self.perform(
            "children",
            lambda: Listing(
                items=[self.seen(item) for item in self.drive.children(folder)], anchor=self.drive.newest()
            ),
        )

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """States of that moment."""
        return await self.perform(
            "get_many", lambda: {item_id: self.told(self.drive.state(item_id)) for item_id in item_ids}
        )

    @contextlib.asynccontextmanager
    async def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[FakeReader]:
        """Bytes of exactly that version."""
        fault = await self.arrive("read")
        self.need(Capability.READ)
        data = await self.apply(fault, lambda: self.drive.content(item_id, version))
        whole = fault.whole or stop <= start
        yield FakeReader(
            data,
            0 if whole else start,
            len(data) if whole else stop,
            piece_bytes=self.piece_bytes,
            cut_after_bytes=fault.cut_after_bytes,
        )

    async def space(self) -> Space:
        """Room."""
        total = self.drive.total_bytes
        return await self.perform("space", lambda: Space(total=total, free=total - self.drive.used_bytes()))

    async def aclose(self) -> None:
        """Nothing to give back."""
        await trio.lowlevel.checkpoint()

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """Content, whole, in one step."""
        fault = await self.arrive("put")
        data = b"".join([piece async for piece in source.chunks(0)])
        if len(data) != source.size or digest_of(data) != source.digest:
            raise BadDigest
        drive, request = self.drive, (target, source.digest, mtime_ns, mode)

        def act() -> Item:
            if isinstance(target, Overwrite):
                self.need(Capability.WRITE)
                return drive.overwrite(target.item_id, target.base, data, mode=mode, mtime_ns=mtime_ns)
            self.need(Capability.ADD_CHILDREN)
            return drive.create(
                target.parent_id,
                target.name,
                Kind.FILE,
                mode=mode,
                mtime_ns=mtime_ns,
                data=data,
                taken_code="precondition_failed",
            )

        return self.seen(await self.apply(fault, lambda: drive.once(key, request, act)))

    async def _mutate(
        self, operation: str, needed: Capability, key: str, request: tuple[object, ...], act: Callable[[], _T]
    ) -> _T:
        def permitted() -> _T:
            self.need(needed)
            return act()

        return await self.perform(operation, lambda: self.drive.once(key, (operation, *request), permitted))

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """A folder."""
        drive, request = self.drive, (parent_id, name, mode, mtime_ns)
        return self.seen(
            await self._mutate(
                "make_folder",
                Capability.ADD_CHILDREN,
                key,
                request,
                lambda: drive.create(parent_id, name, Kind.FOLDER, mode=mode, mtime_ns=mtime_ns),
            )
        )

    async def make_symlink(self, parent_id: ItemId, name: str, *, target: str, mtime_ns: int, key: str) -> Item:
        """A symlink."""
        drive, request = self.drive, (parent_id, name, target, mtime_ns)
        return self.seen(
            await self._mutate(
                "make_symlink",
                Capability.ADD_CHILDREN,
                key,
                request,
                lambda: drive.create(parent_id, name, Kind.SYMLINK, mode=0o777, mtime_ns=mtime_ns, target=target),
            )
        )

    async def move(
        self,
        item_id: ItemId,
        base: Version,
        parent_id: ItemId,
        name: str,
        *,
        replace: Replaced | None,
        key: str,
    ) -> Item:
        """Move and rename."""
        drive, request = self.drive, (item_id, base, parent_id, name, replace)
        return self.seen(
            await self._mutate(
                "move",
                Capability.RENAME,
                key,
                request,
                lambda: drive.move(item_id, base, parent_id, name, replace),
            )
        )

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Mode and times."""
        drive, request = self.drive, (item_id, base, mode, mtime_ns)
        return self.seen(
            await self._mutate(
                "set_attributes",
                Capability.WRITE,
                key,
                request,
                lambda: drive.set_attributes(item_id, base, mode=mode, mtime_ns=mtime_ns),
            )
        )

    async def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges, *, key: str) -> Item:
        """Extended attributes."""
        drive, request = self.drive, (item_id, base, changes)
        return self.seen(
            await self._mutate(
                "set_xattrs", Capability.WRITE, key, request, lambda: drive.set_xattrs(item_id, base, changes)
            )
        )

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """To the trash."""
        drive = self.drive
        await self._mutate("remove", Capability.DELETE, key, (item_id, base), lambda: drive.remove(item_id, base))
