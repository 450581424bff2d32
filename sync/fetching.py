"""Brings many files whole: small ones many in one request, large ones one after the other, all behind every reader.

Room is made before bytes are asked for, by what was not used of late; what would not fit is not begun. A remote that is
away ends the work; a file that is not to be had does not keep the others from coming.
"""

from __future__ import annotations

import logging
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from cache import ranges, tree
from cache.errors import LocalError, NoSpaceLeft, NotFound
from cache.model import Ino, Node
from sync.downloads import SMALL_BYTES
from sync.remote import Permanent, RemoteError, Transient

if TYPE_CHECKING:
    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.evictor import Evictor
    from sync.hydrator import Hydrator
    from sync.prefetch import Prefetcher

log = logging.getLogger(__name__)

BATCH_FILES = 128
BATCH_BYTES = 4 << 20
WORKERS = 3
TOLD_MAX = 100  # of the files that did not come so many are named


@dataclass(slots=True)
class Progress:
    """How far a piece of work is; sizes in bytes."""

    files: int = 0
    files_done: int = 0
    total_bytes: int = 0
    done_bytes: int = 0
    failed: list[tuple[Ino, Exception]] = field(default_factory=list)
    failed_count: int = 0
    coming: dict[OpenContent, int] = field(default_factory=dict)  # with what was there at the beginning

    @property
    def bytes_here(self) -> int:
        """Bytes that came, those of unfinished files among them."""
        return self.done_bytes + sum(ranges.total(each.resident) - before for each, before in self.coming.items())

    def fail(self, ino: Ino, error: Exception) -> None:
        """One file will not come."""
        self.failed_count += 1
        if len(self.failed) < TOLD_MAX:
            self.failed.append((ino, error))


class Wanted:
    """Files to bring, with what is missing of each; compact, as there may be a million."""

    def __init__(self) -> None:
        self._inos = array("q")
        self._missing = array("q")
        self.total_bytes = 0

    def add(self, ino: Ino, missing_bytes: int) -> None:
        """One more file."""
        self._inos.append(ino)
        self._missing.append(missing_bytes)
        self.total_bytes += missing_bytes

    def __len__(self) -> int:
        return len(self._inos)

    def units(self) -> deque[list[tuple[Ino, int]]]:
        """In order: each a batch of small files, or one large one."""
        made: deque[list[tuple[Ino, int]]] = deque()
        batch: list[tuple[Ino, int]] = []
        size_bytes = 0
        for ino, missing in zip(self._inos, self._missing, strict=True):
            if missing > SMALL_BYTES:
                made.append([(Ino(ino), missing)])
                continue
            if len(batch) == BATCH_FILES or size_bytes + missing > BATCH_BYTES:
                made.append(batch)
                batch, size_bytes = [], 0
            batch.append((Ino(ino), missing))
            size_bytes += missing
        return made if not batch else made + deque([batch])


class Fetcher:
    """See the module."""

    def __init__(self, store: LocalStore, hydrator: Hydrator, prefetcher: Prefetcher, evictor: Evictor) -> None:
        self._store = store
        self._hydrator = hydrator
        self._prefetcher = prefetcher
        self._evictor = evictor

    def missing_bytes(self, node: Node) -> int:
        """What is not here of a file that the remote holds."""
        if node.item_id is None or node.held_bytes >= node.size:
            return 0
        return max(node.size - self._store.resident_bytes(node), 0)

    async def fetch(self, wanted: Wanted, progress: Progress, unused_since_s: int | None = None) -> None:
        """Bring all of them; Transient when the remote is away. `unused_since_s`: as `Evictor.make_room`."""
        progress.files += len(wanted)
        progress.total_bytes += wanted.total_bytes
        units = wanted.units()
        ended: list[Transient] = []
        async with trio.open_nursery() as nursery:
            for _ in range(min(WORKERS, len(units))):
                nursery.start_soon(self._work, units, progress, ended, unused_since_s)
        if ended:
            raise ended[0]

    async def _work(
        self,
        units: deque[list[tuple[Ino, int]]],
        progress: Progress,
        ended: list[Transient],
        unused_since_s: int | None,
    ) -> None:
        while units and not ended:
            unit = units.popleft()
            try:
                await self._bring(unit, progress, unused_since_s)
            except Transient as error:
                ended.append(error)

    async def _bring(self, unit: list[tuple[Ino, int]], progress: Progress, unused_since_s: int | None) -> None:
        refused = await self._make_room(sum(each for _, each in unit), unused_since_s)
        if refused is not None:
            for ino, _ in unit:
                progress.fail(ino, refused)
            return
        if len(unit) > 1:
            await self._together([ino for ino, _ in unit])
        for ino, each in unit:
            try:
                await self._alone(ino, progress)
                progress.files_done += 1
                progress.done_bytes += each
            except Transient:
                raise
            except (RemoteError, LocalError, OSError) as error:
                progress.fail(ino, error)

    async def _make_room(self, missing_bytes: int, unused_since_s: int | None) -> LocalError | OSError | None:
        """Why there is none."""
        try:
            fits = await self._evictor.make_room(missing_bytes, unused_since_s)
        except (LocalError, OSError) as error:
            return error
        return None if fits else NoSpaceLeft("it does not fit into the cache", missing_bytes=missing_bytes)

    async def _together(self, inos: list[Ino]) -> None:
        try:
            await self._prefetcher.bring(inos)
        except (Permanent, LocalError, OSError) as error:
            log.debug("files are asked for one by one: %s", error)

    async def _alone(self, ino: Ino, progress: Progress) -> None:
        node = tree.by_ino(self._store.db.reader, ino)
        if node is None:
            raise NotFound(ino=ino)
        opened = await self._store.open_content(node)
        progress.coming[opened] = ranges.total(opened.resident)
        try:
            await self._hydrator.fill(opened)
        finally:
            del progress.coming[opened]
            self._store.opened.release(opened)
            self._hydrator.released(opened)
