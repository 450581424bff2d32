"""A Remote that tries again: exponential backoff with full jitter, within one deadline per call.

* Transient was certainly not applied: it is sent again, not before `retry_after_s` where the remote told one.
* Unknown is sent again only with the same idempotency key, which makes a second arrival harmless; `keys_are_honoured`
  tells whether it does. Once an attempt of a mutation was Unknown, giving up is Unknown too.
* Permanent is never sent again; after an Unknown it is `in_doubt`: what was refused last may have been applied first.
* `read` is tried again until it is open; a download cut later is its reader's matter. `hints` is passed through.
* Of a remote that is away (`sync.presence`) who looks is told so without a request, and the feed is asked once a call.

Time is trio's clock, randomness an argument: the same seed waits the same.
"""

from __future__ import annotations

import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import trio

from sync.presence import Presence
from sync.remote import Permanent, RemoteError, Transient, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from random import Random

    from cache.model import Anchor, Item, ItemId, Version, XattrChanges
    from sync.batches import Descendants, Wanted
    from sync.capabilities import Capabilities
    from sync.remote import (
        ChangePage,
        Listing,
        NewFile,
        Overwrite,
        Reader,
        Remote,
        Replaced,
        Source,
        Space,
        Tombstone,
    )
    from sync.sessions import Announced, Stream, UploadId

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits are drawn from 0 to `first_s` doubled per attempt, up to `longest_s`, within `deadline_s`."""

    deadline_s: float = 120.0
    first_s: float = 0.5
    longest_s: float = 30.0

    def wait_s(self, attempt: int, retry_after_s: float | None, random: Random) -> float:
        """Before the attempt after `attempt` (from 0): jitter on top of what the remote asked for."""
        spread_s = min(self.longest_s, self.first_s * 2.0 ** min(attempt, 60))
        return (retry_after_s or 0.0) + random.uniform(0.0, spread_s)


class Retrying:
    """See the module. `presence` is told how requests end."""

    def __init__(
        self,
        remote: Remote,
        *,
        random: Random,
        backoff: Backoff | None = None,
        keys_are_honoured: bool = True,
        presence: Presence | None = None,
    ) -> None:
        self._remote = remote
        self._random = random
        self._backoff = backoff or Backoff()
        self._again = (Transient, Unknown) if keys_are_honoured else (Transient,)
        self._presence = presence or Presence()

    async def _look(self, call: Callable[[], Awaitable[_T]]) -> _T:
        if not await self._presence.found():
            raise Unreachable("it has not answered for a while")
        return await self._persist(call)

    async def _follow(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await self._persist(call, patient=not self._presence.away)

    async def _persist(self, call: Callable[[], Awaitable[_T]], *, patient: bool = True) -> _T:
        try:
            answer = await self._persistently(call, self._backoff.deadline_s if patient else 0.0)
        except Unknown:
            raise
        except RemoteError as error:
            self._presence.heard(answered=not isinstance(error, Unreachable))
            raise
        self._presence.heard(answered=True)
        return answer

    async def _persistently(self, call: Callable[[], Awaitable[_T]], patience_s: float) -> _T:
        deadline = trio.current_time() + patience_s
        attempt, unknown = 0, False
        while True:
            try:
                await self._presence.greet()
                return await call()
            except self._again as error:
                unknown |= isinstance(error, Unknown)
                wait_s = self._backoff.wait_s(attempt, error.retry_after_s, self._random)
                if trio.current_time() + wait_s > deadline:
                    if unknown and not isinstance(error, Unknown):
                        raise Unknown("an earlier attempt may have been applied") from error
                    raise
            except Permanent as error:
                error.in_doubt |= unknown
                raise
            attempt += 1
            await trio.sleep(wait_s)

    @property
    def capabilities(self) -> Capabilities:
        """As the remote."""
        return self._remote.capabilities

    async def root(self) -> Item:
        """As the remote."""
        return await self._follow(self._remote.root)

    async def newest_anchor(self) -> Anchor:
        """As the remote."""
        return await self._follow(self._remote.newest_anchor)

    async def changes(self, anchor: Anchor) -> ChangePage:
        """As the remote."""
        return await self._follow(lambda: self._remote.changes(anchor))

    def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """As the remote, without another try."""
        return self._remote.hints(anchor)

    async def children(self, folder: ItemId) -> Listing:
        """As the remote."""
        return await self._look(lambda: self._remote.children(folder))

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """As the remote."""
        return await self._look(lambda: self._remote.get_many(item_ids))

    @contextlib.asynccontextmanager
    async def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[Reader]:
        """As the remote; tries again until the answer's headers are here."""
        async with AsyncExitStack() as stack:
            yield await self._look(lambda: stack.enter_async_context(self._remote.read(item_id, version, start, stop)))

    @contextlib.asynccontextmanager
    async def read_many(self, wanted: Sequence[Wanted]) -> AsyncIterator[AsyncIterator[bytes | RemoteError]]:
        """As the remote; tries again until the answer's headers are here."""
        async with AsyncExitStack() as stack:
            yield await self._look(lambda: stack.enter_async_context(self._remote.read_many(wanted)))

    async def descendants(self, folder: ItemId, limit: int, cursor: str | None = None) -> Descendants:
        """As the remote."""
        return await self._look(lambda: self._remote.descendants(folder, limit, cursor))

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """As the remote; each attempt reads the source from its start."""
        return await self._persist(lambda: self._remote.put(target, source, mtime_ns=mtime_ns, mode=mode, key=key))

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:
        """As the remote."""
        return await self._persist(lambda: self._remote.begin_upload(announced, key=key))

    async def uploaded(self, upload_id: UploadId) -> int:
        """As the remote."""
        return await self._persist(lambda: self._remote.uploaded(upload_id))

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """As the remote.

        After a failure it tells where it stands and is sent the rest; progress renews the deadline.
        """
        deadline, attempt = trio.current_time() + self._backoff.deadline_s, 0
        while True:
            try:
                return await self._remote.append(upload_id, stream, start)
            except (Transient, Unknown) as error:
                wait_s = self._backoff.wait_s(attempt, error.retry_after_s, self._random)
                if trio.current_time() + wait_s > deadline:
                    raise
            await trio.sleep(wait_s)
            before, start = start, await self.uploaded(upload_id)
            attempt += 1
            if start > before:
                deadline, attempt = trio.current_time() + self._backoff.deadline_s, 0
            if start >= stream.size:
                return start

    async def commit(
        self,
        upload_id: UploadId,
        announced: Announced,
        target: NewFile | Overwrite,
        *,
        mtime_ns: int,
        mode: int,
        key: str,
    ) -> Item:
        """As the remote."""
        return await self._persist(
            lambda: self._remote.commit(upload_id, announced, target, mtime_ns=mtime_ns, mode=mode, key=key)
        )

    async def abandon(self, upload_id: UploadId) -> None:
        """As the remote."""
        await self._persist(lambda: self._remote.abandon(upload_id))

    async def blocks(self, item_id: ItemId, version: Version, size: int, block_bytes: int) -> list[bytes]:
        """As the remote."""
        return await self._persist(lambda: self._remote.blocks(item_id, version, size, block_bytes))

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """As the remote."""
        return await self._persist(
            lambda: self._remote.make_folder(parent_id, name, mode=mode, mtime_ns=mtime_ns, key=key)
        )

    async def make_symlink(self, parent_id: ItemId, name: str, *, target: str, mtime_ns: int, key: str) -> Item:
        """As the remote."""
        return await self._persist(
            lambda: self._remote.make_symlink(parent_id, name, target=target, mtime_ns=mtime_ns, key=key)
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
        """As the remote."""
        return await self._persist(lambda: self._remote.move(item_id, base, parent_id, name, replace=replace, key=key))

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """As the remote."""
        return await self._persist(
            lambda: self._remote.set_attributes(item_id, base, mode=mode, mtime_ns=mtime_ns, key=key)
        )

    async def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges, *, key: str) -> Item:
        """As the remote."""
        return await self._persist(lambda: self._remote.set_xattrs(item_id, base, changes, key=key))

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """As the remote."""
        await self._persist(lambda: self._remote.remove(item_id, base, key=key))

    async def space(self) -> Space:
        """As the remote."""
        return await self._look(self._remote.space)

    async def aclose(self) -> None:
        """As the remote."""
        await self._remote.aclose()
