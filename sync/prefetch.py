"""Fetches the contents that a walk is about to open, many in one request, behind the readers' backs.

A content in a batch is open, with a download of the hydrator's kind attached: a reader who needs it waits for its turn
in the stream, and asks by itself when the batch fails. Batches have connections of their own, so nobody who waits for
bytes waits behind them. Only small files are fetched, whole, and published after the digest check; nothing beyond the
cache's room.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from cache import ahead
from cache.ahead import Budget
from cache.errors import LocalError
from cache.model import Ino, Node, NodeChanged
from sync.batches import Feature, Wanted
from sync.downloads import SMALL_BYTES, Download, Filler
from sync.remote import BadDigest, Permanent, Remote, RemoteError, Unreachable
from sync.traversal import FileOpened, Traversal, Walk, planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache.opened import OpenContent
    from cache.store import LocalStore

log = logging.getLogger(__name__)

BATCH_BYTES = 4 << 20
PART_DEADLINE_S = 15.0  # a batch that brings nothing for so long is given up
PAUSE_S = 5.0  # after a batch that did not come
REFUSED_PAUSE_S = 300.0  # after one that the remote does not serve
ROOM_FRESH_S = 2.0


class Prefetcher:
    """Feeds the walks of a mount; `run` must be running."""

    def __init__(
        self, store: LocalStore, remote: Remote, filler: Filler, tell_soon: Callable[[list[NodeChanged]], None],
        room_bytes: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store = store
        self._remote = remote
        self._filler = filler
        self._tell_soon = tell_soon
        self._ask_room = room_bytes
        self._room_bytes, self._room_at_s = 0, -math.inf
        self._nursery: trio.Nursery | None = None
        self._traversal = Traversal()
        self._paused_until_s = -math.inf
        self.enabled = True

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def opened(self, node: Node, opened: OpenContent) -> None:
        """A program opened a file: fetch what it will probably open next."""
        if node.parent is None or not self.enabled or Feature.READ_MANY not in self._remote.features:
            return
        seen = FileOpened(node.ino, node.parent, node.name, opened.whole)
        walk = self._traversal.opened(seen, self._lineage, trio.current_time())
        if walk is not None:
            self._feed(walk)

    async def bring(self, inos: list[Ino]) -> None:
        """Fetch small files in one request; those that do not come that way are to be asked for one by one.

        Raises RemoteError, OSError.
        """
        if Feature.READ_MANY in self._remote.features:
            await self._fetch(await self._store.open_many(inos))

    def _lineage(self, folder: Ino) -> tuple[Ino, ...]:
        return ahead.lineage(self._store.db.reader, folder)

    def _feed(self, walk: Walk) -> None:
        if walk.hungry and self._nursery is not None and trio.current_time() >= self._paused_until_s:
            walk.running += 1
            self._nursery.start_soon(self._run_batch, walk)

    async def _run_batch(self, walk: Walk) -> None:
        """One batch, and the next when the walk has come near its end meanwhile."""
        try:
            inos = self._choose(walk)
            if inos:
                await self._fetch(await self._store.open_many(inos))
        except (RemoteError, OSError, LocalError) as error:
            log.debug("a batch did not come: %s", error)
            pause_s = REFUSED_PAUSE_S if isinstance(error, Permanent) else PAUSE_S
            self._paused_until_s = trio.current_time() + pause_s
        finally:
            walk.running -= 1
        self._feed(walk)

    def _choose(self, walk: Walk) -> list[Ino]:
        """The next files, within the budgets."""
        room_bytes = self._room()
        budget = Budget(
            count=walk.batch, total_bytes=min(BATCH_BYTES, room_bytes), each_bytes=min(SMALL_BYTES, room_bytes)
        )
        inos, frontier = ahead.gather(self._store.db.reader, walk.frontier, walk.top, budget)
        planned(walk, inos, frontier if inos else None)
        return inos

    def _room(self) -> int:
        """Bytes that may be fetched ahead without anything being evicted for them; asked for now and then."""
        now_s = trio.current_time()
        if now_s - self._room_at_s >= ROOM_FRESH_S:
            self._room_bytes, self._room_at_s = self._ask_room(), now_s
        return max(self._room_bytes, 0)

    async def _fetch(self, contents: list[OpenContent]) -> None:
        """Each content gets its download, and loses it when its bytes are here or will not come."""
        batch = [(opened, Download(0, opened.size, background=True)) for opened in contents if _fit(opened)]
        for opened, download in batch:
            opened.downloads.append(download)
            self._room_bytes -= opened.size
        for opened in contents:
            if not any(opened is each for each, _ in batch):
                self._store.opened.release(opened)
        left = batch[::-1]
        try:
            await self._stream(left)
        finally:
            for opened, download in left:
                self._leave(opened, download)
            self._tell_soon([NodeChanged(opened.ino) for opened, _ in batch])  # st_blocks grew

    async def _stream(self, left: list[tuple[OpenContent, Download]]) -> None:
        """Publish one after the other; `left` (the next is the last) are those whose turn did not come."""
        if not left:
            return
        wanted = [wanted_of(opened) for opened, _ in reversed(left)]
        with trio.move_on_after(PART_DEADLINE_S) as patience:
            async with self._remote.read_many(wanted) as parts:
                async for part in parts:
                    patience.deadline = trio.current_time() + PART_DEADLINE_S
                    opened, download = left.pop()
                    try:
                        self._publish(opened, part)
                    finally:
                        self._leave(opened, download)
        if patience.cancelled_caught:
            raise Unreachable("a batch brought nothing in time")

    def _publish(self, opened: OpenContent, part: bytes | RemoteError) -> None:
        """What is not to be had as it was is the readers' matter: they ask by themselves, and are told why."""
        if isinstance(part, RemoteError):
            log.debug("not prefetched: %s", part)
            return
        with suppress(BadDigest):
            self._filler.publish_whole(opened, part)

    def _leave(self, opened: OpenContent, download: Download) -> None:
        opened.downloads.remove(download)
        opened.wake()
        self._store.opened.release(opened)


def wanted_of(opened: OpenContent) -> Wanted:
    """The whole content that an open file is about."""
    assert opened.item_id is not None  # noqa: S101  # _fit saw to both
    assert opened.version is not None  # noqa: S101
    return Wanted(item_id=opened.item_id, version=opened.version, size=opened.size)


def _fit(opened: OpenContent) -> bool:
    """Whether it is worth a place in a batch: the remote has it, we do not, and nobody is bringing it."""
    known = opened.item_id is not None and opened.version is not None and not opened.dirty
    return known and 0 < opened.size <= SMALL_BYTES and not opened.downloads and not opened.resident
