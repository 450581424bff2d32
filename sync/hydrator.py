"""Brings bytes of files to this machine: ranged, single-flight, pinned to the version that was opened.

A *download* is one stream of a content, from a position onwards. A reader first looks whether a stream is about to
deliver what it needs; else it starts one of its own, at its own position, so nobody waits behind somebody else's
bytes. Bytes are counted as resident only after they are in the blob. Small files are compared with the remote's
digest before a byte is served; large ones when they are whole. A failed reader raises; it never gets holes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from cache import ranges
from cache.model import ItemId, NodeChanged, Version
from cache.opened import Waiter
from sync.remote import BadDigest, ProtocolViolation, Remote, RemoteError, Transient, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache.opened import OpenContent
    from cache.store import LocalStore

WAIT_DEADLINE_S = 60.0  # a blocked read ends with an error after this long without one new byte
NEAR_BYTES = 40 << 20  # a stream this close before the wanted byte is worth waiting for: twice the kernel's read-ahead
DEMAND_BYTES = 4 << 20  # how far a stream that a reader asked for runs on beyond the request
SMALL_BYTES = 1 << 20  # checked whole before a byte is served
KEEP_GOING_BYTES = 64 << 20  # a file up to this size is fetched to its end even when the last handle closed
RETRIES = 3  # attempts in a row that bring no byte; each has its own short retries (see sync.retrying)


@dataclass(slots=True, eq=False)
class Download:
    """One stream: bytes up to `position` are in the blob."""

    position: int
    stop: int
    background: bool
    error: RemoteError | OSError | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(slots=True)
class HydrationStatistics:
    """Counters since the start."""

    bytes_down: int = 0
    active: int = 0


class Hydrator:
    """Runs downloads in its own nursery; `run` must be running."""

    def __init__(self, remote: Remote, store: LocalStore, tell_soon: Callable[[list[NodeChanged]], None]) -> None:
        self._remote = remote
        self._store = store
        self._tell_soon = tell_soon
        self._nursery: trio.Nursery | None = None
        self.statistics = HydrationStatistics()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def ensure(self, opened: OpenContent, start: int, stop: int) -> None:
        """Return when bytes [start, stop) are resident; raises RemoteError, OSError.

        The wait is bounded by WAIT_DEADLINE_S without progress of any stream of this content.
        """
        stop = min(stop, opened.size)
        while not opened.holds(start, stop):
            gap = ranges.missing(opened.resident, start, stop)[0]
            download = self._serving(opened, gap[0]) or self._demand(opened, gap[0], stop)
            await self._wait(opened, start, stop)
            if download.error is not None and not opened.holds(*gap):
                raise download.error

    @staticmethod
    async def _wait(opened: OpenContent, start: int, stop: int) -> None:
        """Until the bytes are here, a download ended, or nothing arrived for WAIT_DEADLINE_S."""
        waiter = Waiter(start, stop)
        opened.waiters.add(waiter)
        try:
            while not waiter.woken.is_set():
                before = opened.resident
                with trio.move_on_after(WAIT_DEADLINE_S) as waiting:
                    await waiter.woken.wait()
                if waiting.cancelled_caught and opened.resident is before:
                    raise Unreachable("no byte arrived in time")
        finally:
            opened.waiters.discard(waiter)

    def begin(self, opened: OpenContent) -> None:
        """Fetch the rest of a content behind its readers, unless that is going on already."""
        if opened.whole or any(each.background for each in _downloads(opened)):
            return
        first = ranges.missing(opened.resident, 0, opened.size)[0][0]
        self._start(opened, Download(first, opened.size, background=True))

    def released(self, opened: OpenContent) -> None:
        """A handle was closed: nobody may want the rest any more."""
        downloads = _downloads(opened)
        if opened.users > len(downloads) or opened.size <= KEEP_GOING_BYTES:
            return
        for download in downloads:
            download.scope.cancel()

    def _serving(self, opened: OpenContent, wanted: int) -> Download | None:
        for download in _downloads(opened):
            if download.position <= wanted < min(download.stop, download.position + NEAR_BYTES):
                return download
        return None

    def _demand(self, opened: OpenContent, start: int, stop: int) -> Download:
        end = min(max(stop, start + DEMAND_BYTES), opened.size)
        gap = ranges.missing(opened.resident, start, end)[0]
        return self._start(opened, Download(start, gap[1], background=False))

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
                await self._fill(opened, download)
        except (RemoteError, OSError) as error:
            download.error = error
        finally:
            self.statistics.active -= 1
            if download.scope.cancelled_caught and download.error is None:
                download.error = Unreachable("the download was given up")
            opened.downloads.remove(download)
            opened.wake()
            self._store.opened.release(opened)
            self._tell_soon([NodeChanged(opened.ino)])  # st_blocks grew

    async def _fill(self, opened: OpenContent, download: Download) -> None:
        """Stream gap after gap of [position, stop), resuming where a cut stream ended."""
        if opened.size <= SMALL_BYTES:
            await self._fetch_small(opened)
            return
        failures = 0
        while gaps := ranges.missing(opened.resident, download.position, download.stop):
            download.position, gap_stop = gaps[0]
            before = download.position
            try:
                await self._stream(opened, download, gap_stop)
            except Transient as error:
                failures = failures + 1 if download.position == before else 0
                if failures >= RETRIES:
                    raise
                await trio.sleep(error.retry_after_s or min(0.1 * 2**failures, 5.0))
        if opened.whole and not opened.hashed:
            await self._check_digest(opened)

    async def _stream(self, opened: OpenContent, download: Download, stop: int) -> None:
        async with self._remote.read(*_source(opened), download.position, stop) as reader:
            _check_total(reader.total, opened)
            at = reader.start
            async for chunk in reader:
                useful = memoryview(chunk)[max(download.position - at, 0) : max(stop - at, 0)]
                at += len(chunk)
                if not useful or opened.dirty:
                    continue
                self._publish(opened, download.position, useful)
                download.position += len(useful)
                if download.position >= stop or ranges.covers(
                    opened.resident, download.position, min(download.position + 1, opened.size)
                ):
                    return

    def _publish(self, opened: OpenContent, start: int, data: memoryview) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(opened.fd, data[written:], start + written)
        self.statistics.bytes_down += len(data)
        opened.arrived(start, start + len(data))
        self._store.grown(opened)

    async def _fetch_small(self, opened: OpenContent) -> None:
        """All of it, compared with the digest, then published at once."""
        for attempt in range(RETRIES):
            try:
                data = await self._whole(opened)
                break
            except Transient as error:
                if attempt == RETRIES - 1:
                    raise
                await trio.sleep(error.retry_after_s or 0.1 * 2**attempt)
        if opened.digest is not None:
            if opened.digest != f"sha-256:{hashlib.sha256(data).hexdigest()}":
                raise BadDigest("other bytes arrived than announced")
            opened.hashed = True
        if not opened.dirty:
            self._publish(opened, 0, memoryview(data))

    async def _whole(self, opened: OpenContent) -> bytes:
        data = bytearray()
        async with self._remote.read(*_source(opened), 0, opened.size) as reader:
            _check_total(reader.total, opened)
            async for chunk in reader:
                data += chunk
                if len(data) > opened.size:
                    raise ProtocolViolation("more bytes than the item has")
        if len(data) != opened.size:
            raise Unreachable("the answer ended early")
        return bytes(data)

    async def _check_digest(self, opened: OpenContent) -> None:
        if opened.digest is None or opened.dirty:
            return
        writes = opened.writes
        found = await trio.to_thread.run_sync(_digest, opened.fd, opened.size)
        if opened.writes != writes:
            return
        if found == opened.digest:
            opened.hashed = True
            return
        opened.resident = ()
        self._store.grown(opened)
        self._tell_soon([NodeChanged(opened.ino, content=True)])
        raise BadDigest("other bytes arrived than announced")


def _downloads(opened: OpenContent) -> list[Download]:
    return [each for each in opened.downloads if isinstance(each, Download)]


def _source(opened: OpenContent) -> tuple[ItemId, Version]:
    if not (opened.item_id and opened.version):
        raise Unreachable("the remote does not hold this file")
    return opened.item_id, opened.version


def _check_total(total: int, opened: OpenContent) -> None:
    if total != opened.size:
        raise ProtocolViolation(f"the remote tells {total} bytes for a version of {opened.size}")


def _digest(fd: int, size: int) -> str:
    hasher = hashlib.sha256()
    position = 0
    while position < size and (chunk := os.pread(fd, 1 << 20, position)):
        hasher.update(chunk)
        position += len(chunk)
    return f"sha-256:{hasher.hexdigest()}"
