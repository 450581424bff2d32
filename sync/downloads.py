"""One stream of one content into its blob: resumed where it was cut, ended where the bytes already are, checked when
whole.

Bytes count as resident only after they are in the blob. Small files are compared with the remote's digest before a
byte is served, large ones when the last byte arrived.
"""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import trio

from cache import ranges
from cache.digest import digest_of
from cache.holes import make_hole
from sync.remote import BadDigest, ProtocolViolation, Remote, RemoteError, Transient, Unreachable

if TYPE_CHECKING:
    from cache.errors import LocalError
    from cache.model import ItemId, Version
    from cache.opened import OpenContent
    from cache.store import LocalStore

SMALL_BYTES = 1 << 20  # checked whole before a byte is served
RETRIES = 2  # attempts in a row that bring no byte; each has its own short retries (see sync.retrying)
HOLE_MIN_BYTES = 16 << 10
WAITED_FOR_BYTES = 8 << 20  # ahead of a stream: who waits there waits for it
YIELD_S = 0.25  # how long a background stream lets readers go first, at each chunk
QUIET_S = 0.1  # without a reader's stream: readers who hop about are between two of theirs no longer than this


@dataclass(slots=True, eq=False)
class Download:
    """One stream: bytes up to `position` are in the blob; `stop` may come nearer while it runs."""

    position: int
    stop: int
    background: bool
    helper: bool = False  # beside another background stream of the same content
    writes: int = 0  # of the content, when the stream began: it brings nothing over bytes that were changed here since
    hold: trio.CancelScope | None = None  # not begun: readers go first, until this is cancelled
    error: RemoteError | LocalError | OSError | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def left(self) -> int:
        """Bytes still to come."""
        return self.stop - self.position


@dataclass(slots=True)
class HydrationStatistics:
    """Counters since the start."""

    bytes_down: int = 0
    active: int = 0


class Filler:
    """Fills blobs from the remote. Readers' streams go first: `urgent` counts them."""

    def __init__(self, remote: Remote, store: LocalStore) -> None:
        self._remote = remote
        self._store = store
        self.statistics = HydrationStatistics()
        self.urgent = 0
        self._calm = trio.Event()
        self._calm_since_s = -math.inf
        self._checks: WeakKeyDictionary[OpenContent, trio.Lock] = WeakKeyDictionary()

    async def fill(self, opened: OpenContent, download: Download) -> None:
        """Stream gap after gap of [position, stop); raises RemoteError, LocalError, OSError."""
        self.urgent += not download.background
        try:
            await self._store.separate(opened)
            download.writes = opened.writes
            if opened.size <= SMALL_BYTES:
                await self._fetch_small(opened, download.writes)
            else:
                await self._fetch(opened, download)
        finally:
            self.urgent -= not download.background
            if self.urgent == 0 and not download.background:
                self._calm_since_s = trio.current_time()
                self._calm.set()
                self._calm = trio.Event()

    async def _fetch(self, opened: OpenContent, download: Download) -> None:
        failures = 0
        while gaps := _gaps(opened, download):
            download.position = gaps[0][0]
            before = download.position
            try:
                await self._stream(opened, download, gaps[0][1])
            except Transient as error:
                failures = failures + 1 if download.position == before else 0
                if failures >= RETRIES:
                    raise
                await trio.sleep(error.retry_after_s or min(0.1 * 2**failures, 5.0))

    async def _stream(self, opened: OpenContent, download: Download, stop: int) -> None:
        async with self._remote.read(*_source(opened), download.position, stop) as reader:
            _check_total(reader.total, opened)
            at = reader.start
            async for chunk in reader:
                useful = memoryview(chunk)[max(download.position - at, 0) : max(min(stop, download.stop) - at, 0)]
                at += len(chunk)
                if useful and not _is_changed(opened, download.writes):
                    self.publish(opened, download.position, useful)
                    download.position += len(useful)
                if _met(opened, download, stop):
                    return
                if download.background and not self._is_quiet() and not _is_waited_for(opened, download):
                    await self.let_readers_go_first(YIELD_S)

    async def let_readers_go_first(self, at_most_s: float) -> None:
        """Wait until no reader's stream has run for a moment. What is on its way already nobody can call back."""
        with trio.move_on_after(at_most_s):
            await trio.lowlevel.checkpoint()  # a reader's stream that was ordered at the same time begins first
            while not self._is_quiet():
                if self.urgent:
                    await self._calm.wait()
                else:
                    await trio.sleep_until(self._calm_since_s + QUIET_S)

    def _is_quiet(self) -> bool:
        return not self.urgent and trio.current_time() >= self._calm_since_s + QUIET_S

    def publish(self, opened: OpenContent, start: int, data: memoryview | bytes) -> None:
        """Bytes of the opened version: into the blob, then resident."""
        _write(opened.fd, memoryview(data), start)
        self.statistics.bytes_down += len(data)
        opened.arrived(start, start + len(data))
        self._store.grown(opened)

    async def _fetch_small(self, opened: OpenContent, writes: int) -> None:
        """All of it, compared with the digest, then published at once."""
        for attempt in range(RETRIES):
            try:
                data = await self._whole(opened)
                break
            except Transient as error:
                if attempt == RETRIES - 1:
                    raise
                await trio.sleep(error.retry_after_s or 0.1 * 2**attempt)
        if not _is_changed(opened, writes):
            self._publish_whole(opened, data)

    def _publish_whole(self, opened: OpenContent, data: bytes) -> None:
        """A small file's bytes, compared with the digest first; raises BadDigest."""
        if opened.digest is not None:
            if opened.digest != f"sha-256:{hashlib.sha256(data).hexdigest()}":
                raise BadDigest("other bytes arrived than announced")
            opened.hashed = True
        self.publish(opened, 0, data)

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

    async def check_digest(self, opened: OpenContent) -> bool:
        """Compare a whole content with the digest that the remote announced; False: it was not what it should be."""
        if opened.digest is None:
            return True
        async with self._checks.setdefault(opened, trio.Lock()):  # who comes meanwhile waits for its outcome
            if opened.dirty or opened.hashed or opened.rejected:
                return not opened.rejected
            writes = opened.writes
            _, found = await digest_of(opened.fd, opened.base, opened.base + opened.size)
            if opened.writes != writes:
                return True
            if found == opened.digest:
                opened.hashed = True
                return True
            opened.resident, opened.rejected = (), True
            self._store.grown(opened)
            return False


def _is_changed(opened: OpenContent, writes: int) -> bool:
    """Whether these bytes are a person's since: dirty, or sent already, and another version by now."""
    return opened.dirty or opened.writes != writes


def _gaps(opened: OpenContent, download: Download) -> ranges.Ranges:
    """What a stream still has to bring."""
    if _is_changed(opened, download.writes):
        return ()
    return ranges.missing(opened.resident, download.position, download.stop)


def _is_waited_for(opened: OpenContent, download: Download) -> bool:
    """Whether a reader counts on what a stream is about to bring."""
    reach = download.position + WAITED_FOR_BYTES
    return any(each.start < reach and each.stop > download.position for each in opened.waiters)


def _write(fd: int, data: memoryview, start: int) -> None:
    """Bytes into a blob; many zeros as a hole. It is punched even so: nothing may be left there of an earlier life."""
    if _are_zeros(data):
        with suppress(OSError):  # a file system without holes
            make_hole(fd, start, start + len(data))
            return
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], start + written)


def _are_zeros(data: memoryview) -> bool:
    """Of pieces worth a hole. A look at three bytes decides about most."""
    count = len(data)
    if count < HOLE_MIN_BYTES or data[0] or data[count // 2] or data[-1]:
        return False
    return bytes(data) == bytes(count)


def _met(opened: OpenContent, download: Download, stop: int) -> bool:
    """Whether the stream has come to where it ends, or to bytes that another one brought."""
    position = download.position
    if position >= min(stop, download.stop) or _is_changed(opened, download.writes):
        return True
    return ranges.covers(opened.resident, position, position + 1)


def _source(opened: OpenContent) -> tuple[ItemId, Version]:
    if not (opened.item_id and opened.version):
        raise Unreachable("the remote does not hold this file")
    return opened.item_id, opened.version


def _check_total(total: int, opened: OpenContent) -> None:
    if total != opened.size:
        raise ProtocolViolation(f"the remote tells {total} bytes for a version of {opened.size}")
