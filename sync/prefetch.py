"""Fetches the contents that a walk is about to open, many in one request, behind the readers' backs.

Who opens a file that is on its way waits for it, not for long, and then asks by himself. Batches have connections of
their own, so nobody who waits for bytes waits behind them. Only small placeholders are fetched, whole, compared with
their digests and taken in many at a time; nothing beyond the cache's room.
"""

from __future__ import annotations

import hashlib
import logging
import math
from typing import TYPE_CHECKING, Protocol

import trio

from cache import ahead, deposits
from cache.ahead import Budget
from cache.deposits import Placeholder, Whole
from cache.errors import LocalError
from sync.batches import Wanted
from sync.capabilities import Feature
from sync.downloads import SMALL_BYTES, HydrationStatistics
from sync.remote import Permanent, Remote, RemoteError, Unreachable
from sync.traversal import FileOpened, Traversal, Walk, planned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from cache.deposits import Deposit
    from cache.model import Ino, Node
    from cache.store import LocalStore
    from sync.growth import Growth


class Pages(Protocol):
    """Whoever can have bytes that came ahead closer to their reader than in the cache."""

    async def put(self, deposits: Sequence[Deposit]) -> None:
        """Who waits for these files is let go after it."""


log = logging.getLogger(__name__)

BATCH_BYTES = 4 << 20
TAKEN_BYTES, TAKEN_COUNT = 512 << 10, 64  # taken in at a time: the first of a batch do not wait for the last
PART_DEADLINE_S = 15.0  # a batch that brings nothing for so long is given up
PATIENCE_S = 1.0  # how long an open waits for a batch
PAUSE_S = 5.0  # after a batch that did not come
REFUSED_PAUSE_S = 300.0  # after one that the remote does not serve
ROOM_FRESH_S = 2.0


class Prefetcher:
    """Feeds the walks of a mount; `run` must be running."""

    def __init__(
        self, store: LocalStore, remote: Remote, growth: Growth, statistics: HydrationStatistics,
        room_bytes: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store = store
        self._remote = remote
        self._growth = growth
        self._statistics = statistics
        self._ask_room = room_bytes
        self._room_bytes, self._room_at_s = 0, -math.inf
        self._nursery: trio.Nursery | None = None
        self._traversal = Traversal()
        self._coming: dict[Ino, trio.Event] = {}
        self._paused_until_s = -math.inf
        self.enabled = True
        self.pages: Pages | None = None  # of what a program is about to open

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    @property
    def coming(self) -> int:
        """Files that are on their way."""
        return len(self._coming)

    async def arriving(self, ino: Ino) -> None:
        """Wait for a file that is on its way, but not for long."""
        coming = self._coming.get(ino)
        if coming is not None:
            with trio.move_on_after(PATIENCE_S):
                await coming.wait()

    def opened(self, node: Node, *, local: bool) -> None:
        """A program opens a file: fetch what it will probably open next. `local`: its bytes are here."""
        if node.parent is None or not self.enabled or (local and not self._traversal.walks):
            return
        if Feature.READ_MANY not in self._remote.capabilities.features:
            return
        seen = FileOpened(node.ino, node.parent, node.name, local)
        walk = self._traversal.opened(seen, self._lineage, trio.current_time())
        if walk is not None:
            self._feed(walk)

    async def bring(self, inos: list[Ino]) -> None:
        """Fetch small files in one request; those that do not come that way are to be asked for one by one.

        Raises RemoteError, LocalError, OSError.
        """
        if Feature.READ_MANY in self._remote.capabilities.features:
            await self._fetch(self._placeholders(inos), None)

    def _lineage(self, folder: Ino) -> tuple[Ino, ...]:
        return ahead.lineage(self._store.db.reader, folder)

    def _feed(self, walk: Walk) -> None:
        if walk.hungry and self._nursery is not None and trio.current_time() >= self._paused_until_s:
            walk.running += 1
            self._nursery.start_soon(self._run_batch, walk)

    async def _run_batch(self, walk: Walk) -> None:
        """One batch, and the next when the walk has come near its end meanwhile."""
        try:
            await self._fetch(self._choose(walk), self.pages)
        except (RemoteError, OSError, LocalError) as error:
            log.debug("a batch did not come: %s", error)
            pause_s = REFUSED_PAUSE_S if isinstance(error, Permanent) else PAUSE_S
            self._paused_until_s = trio.current_time() + pause_s
        except Exception:  # a mistake of ours must not take the mount down
            log.exception("a batch failed")
            self._paused_until_s = trio.current_time() + REFUSED_PAUSE_S
        finally:
            walk.running -= 1
        self._feed(walk)

    def _choose(self, walk: Walk) -> list[Placeholder]:
        """The next files, within the budgets."""
        room_bytes = self._room()
        budget = Budget(
            count=walk.batch, total_bytes=min(BATCH_BYTES, room_bytes), each_bytes=min(SMALL_BYTES, room_bytes)
        )
        inos, frontier = ahead.gather(self._store.db.reader, walk.frontier, walk.top, budget)
        planned(walk, inos, frontier if inos else None)
        return self._placeholders(inos)

    def _placeholders(self, inos: list[Ino]) -> list[Placeholder]:
        """Those that are, and are not on their way."""
        found = [deposits.placeholder(self._store.db.reader, ino) for ino in inos if ino not in self._coming]
        return [each for each in found if each is not None]

    def _room(self) -> int:
        """Bytes to fetch ahead without anything being evicted for them, as they were at most ROOM_FRESH_S ago."""
        now_s = trio.current_time()
        if now_s - self._room_at_s >= ROOM_FRESH_S:
            self._room_bytes, self._room_at_s = self._ask_room(), now_s
        return max(self._room_bytes, 0)

    async def _fetch(self, batch: list[Placeholder], pages: Pages | None) -> None:
        """Whoever waits for one of these is let go when it was taken in, or will not come."""
        self._room_bytes -= sum(each.size for each in batch)
        self._coming |= {each.ino: trio.Event() for each in batch}
        try:
            if batch:
                await self._stream(batch, pages)
        finally:
            self._let_go(batch)

    async def _stream(self, batch: list[Placeholder], pages: Pages | None) -> None:
        wanted = [Wanted(item_id=each.item_id, version=each.version, size=each.size) for each in batch]
        with trio.move_on_after(PART_DEADLINE_S) as patience:
            async with self._remote.read_many(wanted) as parts:
                await self._take_in(batch, parts, patience, pages)
        if patience.cancelled_caught:
            raise Unreachable("a batch brought nothing in time")

    async def _take_in(
        self,
        batch: list[Placeholder],
        parts: AsyncIterator[bytes | RemoteError],
        patience: trio.CancelScope,
        pages: Pages | None,
    ) -> None:
        """What is not to be had as it was is the readers' matter: they ask by themselves, and are told why."""
        pending: list[Whole] = []
        pending_bytes = 0
        left = iter(batch)
        async for part in parts:
            patience.deadline = trio.current_time() + PART_DEADLINE_S
            of = next(left)
            if isinstance(part, RemoteError):
                log.debug("not prefetched: %s", part)
                self._let_go([of])
                continue
            self._statistics.bytes_down += len(part)
            pending.append(Whole(of=of, data=part))
            pending_bytes += len(part)
            if pending_bytes >= TAKEN_BYTES or len(pending) >= TAKEN_COUNT:
                await self._keep(pending, pages)
                pending, pending_bytes = [], 0
        await self._keep(pending, pages)

    async def _keep(self, arrived: list[Whole], pages: Pages | None) -> None:
        """Those that are what was announced; a reader of another will ask, and be told."""
        if arrived:
            taken = await self._store.deposit(filter(_is_right, arrived))
            self._growth.of(each.of.ino for each in taken)
            if pages is not None:
                await pages.put(taken)
            self._let_go([each.of for each in arrived])

    def _let_go(self, files: list[Placeholder]) -> None:
        for each in files:
            coming = self._coming.pop(each.ino, None)
            if coming is not None:
                coming.set()


def _is_right(whole: Whole) -> bool:
    """Looked at in the worker that takes it in."""
    return whole.of.digest in {None, f"sha-256:{hashlib.sha256(whole.data).hexdigest()}"}
