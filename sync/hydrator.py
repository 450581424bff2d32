"""Brings bytes of files to this machine: ranged, single-flight, pinned to the version that was opened.

A reader first looks whether a running stream is about to deliver what it needs; else it starts one of its own, at its
own position, so nobody waits behind somebody else's bytes. How far a stream runs on follows from how the content is
read (`sync.readahead`). What the policy wants beyond that is fetched behind the readers' backs. A failed reader
raises; it never gets holes.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import trio

from cache import ranges
from cache.errors import LocalError
from cache.model import NodeChanged
from cache.opened import Waiter
from sync.choices import Policy
from sync.downloads import SMALL_BYTES, Download, Filler
from sync.readahead import BLOCK_BYTES, AccessPattern
from sync.remote import BadDigest, Remote, RemoteError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.growth import Growth

log = logging.getLogger(__name__)

WAIT_DEADLINE_S = 60.0  # a blocked read ends with an error after this long without one new byte
NEAR_BYTES = 40 << 20  # a sequential reader waits for a stream this close before: twice the kernel's read-ahead
NEAR_RANDOM_BYTES = 1 << 20  # any other reader
STREAMS_MAX = 16  # of one content
KEEP_GOING_BYTES = 64 << 20  # a file up to this size is fetched to its end even when the last handle closed
HELD_BACK_S = 10.0  # at most, for readers of other places: what is on its way stands in the way of what they ask for
BACKGROUND_MAX = 4  # contents filled behind their readers at a time; the rest follow
SLOW_BYTES_PER_S = 64 << 20  # a background stream below this gets help by another connection
STEAL_MIN_BYTES = 32 << 20  # what is left to a stream before half of it is given to another
STEAL_INTERVAL_S = 1.0
HELPERS_MAX = 3


class Hydrator:
    """Runs downloads in its own nursery; `run` must be running."""

    def __init__(
        self,
        remote: Remote,
        store: LocalStore,
        tell_soon: Callable[[list[NodeChanged]], None],
        growth: Growth,
        policy: Policy = Policy.PROGRESSIVE,
    ) -> None:
        self._store = store
        self._tell_soon = tell_soon
        self._growth = growth
        self._nursery: trio.Nursery | None = None
        self._patterns: WeakKeyDictionary[OpenContent, AccessPattern] = WeakKeyDictionary()
        self._behind = trio.CapacityLimiter(BACKGROUND_MAX)
        self.filler = Filler(remote, store)
        self.statistics = self.filler.statistics
        self.policy = policy
        self.paused = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def read(self, opened: OpenContent, start: int, stop: int, patience_s: float = WAIT_DEADLINE_S) -> None:
        """A reader needs [start, stop): return when it is resident, having arranged for what it will need next.

        Raises RemoteError, LocalError, OSError. The wait is bounded by `patience_s` without a new byte of this content.
        """
        pattern = self._patterns.setdefault(opened, AccessPattern())
        pattern.expected = ranges.first_missing(
            opened.resident, pattern.expected
        )  # bytes that are here are not asked for
        (_, reach), *strides = pattern.fetch(start, stop, opened.size)
        near = NEAR_BYTES if pattern.window else NEAR_RANDOM_BYTES
        rest = self.policy is Policy.PROGRESSIVE
        if rest and not ranges.missing(opened.resident, 0, start):
            self.begin(opened, held=False)  # the rest begins where the reader is: one stream for both
        self._serve(opened, start, stop, reach, near)
        self._order(opened, [(stop, reach)], near, least=pattern.window // 2)
        self._order(opened, strides, near, least=BLOCK_BYTES)
        if rest:  # after the reader's own stream, which gets the connection that is open
            self.begin(opened)
        await self._await(opened, start, stop, near, patience_s)

    async def ensure(self, opened: OpenContent, start: int, stop: int) -> None:
        """Return when bytes [start, stop) are resident, all of them wanted; as `read` otherwise."""
        await self._await(opened, start, min(stop, opened.size), NEAR_BYTES)

    async def fill(self, opened: OpenContent) -> None:
        """Return when all of a content is here, brought behind every reader, and is what was announced; raises
        RemoteError, LocalError, OSError."""
        while not opened.whole:
            if opened.rejected:
                raise BadDigest("other bytes arrived than announced")
            self._begin(opened)
            behind = [each for each in _downloads(opened) if each.background]
            await _wait(opened, 0, opened.size)
            failed = next((each.error for each in behind if each.error is not None), None)
            if failed is not None and not opened.whole:
                raise failed
        await self.verify(opened)

    async def _await(
        self, opened: OpenContent, start: int, stop: int, near: int, patience_s: float = WAIT_DEADLINE_S
    ) -> None:
        while not opened.holds(start, stop):
            if opened.rejected:
                raise BadDigest("other bytes arrived than announced")
            serving = self._serve(opened, start, stop, stop, near)
            await _wait(opened, start, stop, patience_s)
            failed = next((each.error for each in serving if each.error is not None), None)
            if failed is not None and not opened.holds(start, stop):
                raise failed

    def _serve(self, opened: OpenContent, start: int, stop: int, reach: int, near: int) -> list[Download]:
        """The streams that bring what is missing of [start, stop); new ones run on to `reach`."""
        return [
            self._serving(opened, gap[0], near) or self._demand(opened, gap[0], max(stop, reach))
            for gap in ranges.missing(opened.resident, start, stop)
        ]

    def begin(self, opened: OpenContent, *, held: bool = True) -> None:
        """Fetch the rest of a content behind its readers, unless that is going on already, or nothing is to be."""
        if not self.paused:
            self._begin(opened, held=held)

    def _begin(self, opened: OpenContent, *, held: bool = True) -> None:
        behind = [each for each in _downloads(opened) if each.background]
        for each in behind:
            if each.hold is not None and not held:
                each.hold.cancel()
                each.hold = None
        if opened.whole or behind:
            return
        first = ranges.missing(opened.resident, 0, opened.size)[0][0]
        hold = trio.CancelScope() if held and opened.size > SMALL_BYTES else None
        self._start(opened, Download(first, opened.size, background=True, hold=hold))

    def pause(self, *, paused: bool) -> None:
        """Fetch nothing behind readers' backs, or do so again; a stream that runs ends where nobody waits for it."""
        self.paused = paused
        for opened in self._store.opened if paused else ():
            for download in _downloads(opened):
                if download.background:
                    awaited = [min(waiter.stop, download.stop) for waiter in opened.waiters]
                    download.stop = max([download.position, *awaited])

    def released(self, opened: OpenContent) -> None:
        """A handle was closed: nobody may want the rest any more."""
        downloads = _downloads(opened)
        if opened.users > len(downloads):
            return
        self._patterns.pop(opened, None)
        if opened.size <= KEEP_GOING_BYTES:
            return
        for download in downloads:
            download.scope.cancel()

    def _order(self, opened: OpenContent, wanted: list[tuple[int, int]], near: int, *, least: int) -> None:
        """Start streams for gaps of at least `least` bytes that nobody is about to fill."""
        for start, stop in wanted:
            for gap in ranges.missing(opened.resident, min(start, stop), stop):
                if gap[1] - gap[0] < max(least, 1) or len(opened.downloads) >= STREAMS_MAX:
                    continue
                if self._serving(opened, gap[0], near) is None:
                    self._start(opened, Download(*gap, background=False))

    @staticmethod
    def _serving(opened: OpenContent, wanted: int, near: int) -> Download | None:
        for download in _downloads(opened):
            if download.hold is not None:
                continue
            if download.position <= wanted < min(download.stop, download.position + near):
                return download
            if opened.size <= SMALL_BYTES:
                return download
        return None

    def _demand(self, opened: OpenContent, wanted: int, reach: int) -> Download:
        """A stream for a reader that waits: of whole blocks around `wanted`, as far as they are missing."""
        start = wanted - wanted % BLOCK_BYTES
        stop = min(-(-reach // BLOCK_BYTES) * BLOCK_BYTES, opened.size)
        around = [gap for gap in ranges.missing(opened.resident, start, stop) if gap[0] <= wanted < gap[1]]
        return self._start(opened, Download(*around[0], background=False))

    def _start(self, opened: OpenContent, download: Download) -> Download:
        if self._nursery is None:
            raise Unreachable("the hydrator is not running")
        opened.users += 1
        opened.downloads.append(download)
        self._nursery.start_soon(self._run_download, opened, download)
        return download

    async def _run_download(self, opened: OpenContent, download: Download) -> None:
        self.statistics.active += 1
        try:
            with download.scope:
                if download.background and not download.helper and opened.size > SMALL_BYTES:
                    await self._fill_behind(opened, download)
                else:
                    await self.filler.fill(opened, download)
                await self.verify(opened)
        except (RemoteError, LocalError, OSError) as error:
            download.error = error
        except Exception as error:  # a mistake of ours must not take the mount down: the readers are told
            log.exception("a download failed")
            download.error = OSError(errno.EIO, f"internal error: {error!r}")
        finally:
            self.statistics.active -= 1
            if download.scope.cancelled_caught and download.error is None:
                download.error = Unreachable("the download was given up")
            opened.downloads.remove(download)
            opened.wake()
            self._store.opened.release(opened)
            self._growth.of([opened.ino])

    async def _fill_behind(self, opened: OpenContent, download: Download) -> None:
        """The rest of a large content: one stream, and more where one alone is slow (a long way, a lossy line)."""
        if download.hold is not None:
            with download.hold:
                await self.filler.let_readers_go_first(HELD_BACK_S)
            download.hold = None
        async with self._behind, trio.open_nursery() as nursery:
            nursery.start_soon(self._help_if_slow, opened)
            try:
                await self.filler.fill(opened, download)
            except (RemoteError, LocalError, OSError) as error:
                download.error = error  # not raised here: a nursery would wrap it, and nobody expects a group
            nursery.cancel_scope.cancel()
        if download.error is not None:
            raise download.error

    async def _help_if_slow(self, opened: OpenContent) -> None:
        for _ in range(HELPERS_MAX):
            before = self.statistics.bytes_down
            await trio.sleep(STEAL_INTERVAL_S)
            slow = self.statistics.bytes_down - before < SLOW_BYTES_PER_S * STEAL_INTERVAL_S
            longest = max(_downloads(opened), key=lambda each: each.left)
            if slow and longest.left >= STEAL_MIN_BYTES and not self.filler.urgent:
                middle = longest.position + longest.left // 2
                helper = Download(middle, longest.stop, background=True, helper=True)
                longest.stop = middle
                self._start(opened, helper)

    async def verify(self, opened: OpenContent) -> None:
        """Return once a whole content is known to be what the remote announced; raises BadDigest."""
        if opened.whole and not await self.filler.check_digest(opened):
            self._tell_soon([NodeChanged(opened.ino, content=True)])
            raise BadDigest("other bytes arrived than announced")


async def _wait(opened: OpenContent, start: int, stop: int, patience_s: float = WAIT_DEADLINE_S) -> None:
    """Until the bytes are here, a download ended, or nothing arrived for `patience_s`."""
    waiter = Waiter(start, stop)
    opened.waiters.add(waiter)
    try:
        while not waiter.woken.is_set():
            before = opened.resident
            with trio.move_on_after(patience_s) as waiting:
                await waiter.woken.wait()
            if waiting.cancelled_caught and opened.resident is before:
                raise Unreachable("no byte arrived in time")
    finally:
        opened.waiters.discard(waiter)


def _downloads(opened: OpenContent) -> list[Download]:
    return [each for each in opened.downloads if isinstance(each, Download)]
