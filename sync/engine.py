"""The sync engine of one mount: pull, hydrate, push, evict under one roof, and what people may ask of it.

`run` owns the only nursery. Nothing here decides: it wires the parts together and tells how they stand.
"""

from __future__ import annotations

import logging
import math
import random
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache import contents, journal, pacing, tree
from cache.errors import LocalError
from cache.evict import DEFAULT_FLOOR_BYTES
from cache.model import ChangeState, Ino, News, Node
from sync import fetching
from sync.applying import Applier
from sync.choices import Policy
from sync.descent import Descender
from sync.evictor import Evictor
from sync.fetching import Fetcher
from sync.growth import Growth
from sync.hydrator import Hydrator
from sync.keeper import Keeper, Kept
from sync.prefetch import Prefetcher
from sync.puller import Puller
from sync.queued import QueuedChange, queued
from sync.remote import NotSignedIn, Remote, RemoteError, Space
from sync.setbacks import DISK_RETRY_S
from sync.steering import Steering
from sync.trees import Evicted, Trees
from sync.uploader import Uploader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cache.pinfile import PinRule, PinState
    from cache.store import LocalStore
    from sync.capabilities import Capabilities

log = logging.getLogger(__name__)

SPACE_FRESH_S = 30.0
SPACE_WAIT_S = 2.0
UNKNOWN_SPACE = Space(total=1 << 50, free=1 << 50)  # a remote that was never reached: refuse nothing for lack of room


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """How the mount stands; sizes in bytes."""

    connection: str  # online | offline | signed-out
    anchor: str
    anchor_age_s: float  # since the feed was last known to be fully applied
    queue_pending: int
    queue_parked: int
    queue_held: int  # waiting for approval
    paused: bool
    push: str  # auto | review
    uploads_active: int
    downloads_active: int
    upload_bytes_sent: int  # of uploads under way
    upload_bytes_total: int
    bytes_up: int
    bytes_down: int
    cache_bytes: int
    cache_limit: int
    conflicts: int
    pins: Kept
    refused: dict[str, int]  # how often a rule kept a program from fetching, by its name
    last_error: str | None


class Engine:
    """See the module."""

    def __init__(
        self, store: LocalStore, remote: Remote, news: trio.MemorySendChannel[News], cache_limit_bytes: int,
        poll_interval_s: float, *, policy: Policy = Policy.PROGRESSIVE, seed: int | None = None,
        floor_bytes: int = DEFAULT_FLOOR_BYTES,
    ) -> None:  # fmt: skip
        chance = random.Random(seed)  # noqa: S311  # jitter, not a secret
        self.store = store
        self._remote = remote
        self.applier = Applier(store, remote, news, socket.gethostname())
        self.puller = Puller(store, remote, self.applier, poll_interval_s, self._heard, chance)
        self.growth = Growth(self.applier.tell_soon)
        self.hydrator = Hydrator(remote, store, self.applier.tell_soon, self.growth, policy)
        self.uploader = Uploader(store, remote, self.applier, chance)
        self.evictor = Evictor(store, self.applier, cache_limit_bytes, floor_bytes, store.pins.keeps)
        self.descender = Descender(store, remote, self.applier, self.puller.pull)
        self.prefetcher = Prefetcher(store, remote, self.growth, self.hydrator.statistics, self.evictor.room_bytes)
        self.prefetcher.enabled = self.hydrator.policy is not Policy.PARTIAL
        self.fetcher = Fetcher(store, self.hydrator, self.prefetcher, self.evictor)
        everything = policy is Policy.ALWAYS_FULL
        self.keeper = Keeper(store, self.applier, self.fetcher, self.evictor, self.arrive, everything=everything)
        self.steering = Steering(store, self.applier, self.uploader, self.hydrator, self.prefetcher, self.keeper)
        self.trees = Trees(store, self.fetcher, self.evictor, self.arrive)
        self.refused: Mapping[str, int] = {}  # counted where files are opened
        self._connection = "online"
        self._fresh_at_s = -math.inf
        self._last_error: str | None = None
        self._space: Space | None = None
        self._space_at_s = -math.inf

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started once the root is known."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.hydrator.run)
            await nursery.start(self.prefetcher.run)
            await nursery.start(self.descender.run)
            nursery.start_soon(self.growth.run)
            nursery.start_soon(self.store.blobs.spares.run)
            parts = (self.puller.run, self.uploader.run, self.evictor.run, self.store.run_janitor, self.keeper.run)
            for part in parts:
                nursery.start_soon(self._keep_running, part)
            task_status.started()

    async def _keep_running(self, part: Callable[[], Awaitable[None]]) -> None:
        """A disk that is full, or fails for a while, does not take the mount down, nor does a mistake of ours: the part
        begins again."""
        told = ""
        while True:
            try:
                await part()
            except* Exception as errors:
                _, ours = errors.split((LocalError, OSError))
                words = "; ".join(map(str, errors.exceptions) if ours is None else map(repr, ours.exceptions))
                self._last_error = words if ours is None else f"internal error: {words}"
                if self._last_error != told:
                    told = self._last_error
                    level = logging.WARNING if ours is None else logging.ERROR
                    log.log(level, "a part of the engine begins again: %s", told, exc_info=ours)
            await trio.sleep(DISK_RETRY_S)

    def _heard(self, error: RemoteError | None) -> None:
        """The puller tells after each attempt whether the remote answers."""
        before = self._connection
        if error is None:
            self._connection, self._fresh_at_s = "online", trio.current_time()
            self._last_error = None
            self.uploader.wake()  # what was told may be what a row waited for
        else:
            self._connection = "signed-out" if isinstance(error, NotSignedIn) else "offline"
            self._last_error = str(error)
        if self._connection != before:
            log.info("%s%s", self._connection, "" if error is None else f": {error}")
            self.uploader.connected(online=self._connection == "online")

    @property
    def capabilities(self) -> Capabilities:
        """What the remote is able to keep."""
        return self._remote.capabilities

    async def ensure_listed(self, ino: Ino) -> None:
        """Have every child of a folder here; raises RemoteError, NotFound."""
        await self.descender.arriving(ino)
        await self.puller.ensure_listed(ino)

    async def arrive(self, folder: Node) -> None:
        """The same for a walk through many folders, which may be told together."""
        self.descender.opened(folder)
        await self.ensure_listed(folder.ino)

    def changed(self) -> None:
        """A local change was made: there will be something to push."""
        self.uploader.changed(self.store.write_back_delay_s)

    def statistics(self) -> EngineStatistics:
        """A snapshot; cheap enough for every second."""
        reader = self.store.db.reader
        parked, held = journal.count(reader, ChangeState.PARKED), journal.count(reader, ChangeState.HELD)
        moving = self.uploader.files.moving.values()
        age_s = trio.current_time() - self._fresh_at_s
        queued_rows = journal.count(reader)
        (conflicts,) = reader.execute("SELECT count(*) FROM conflict").fetchone()
        return EngineStatistics(
            connection=self._connection,
            anchor=self.puller.anchor or "",
            anchor_age_s=round(age_s, 3) if math.isfinite(age_s) else -1.0,
            queue_pending=queued_rows - parked - held,
            queue_parked=parked,
            queue_held=held,
            paused=self.steering.paused,
            push="review" if self.steering.reviewing else "auto",
            uploads_active=self.uploader.statistics.active,
            downloads_active=self.hydrator.statistics.active,
            upload_bytes_sent=sum(each.sent_bytes for each in moving),
            upload_bytes_total=sum(each.total_bytes for each in moving),
            bytes_up=self.uploader.files.bytes_up,
            bytes_down=self.hydrator.statistics.bytes_down,
            cache_bytes=contents.usage(reader).held_bytes,
            cache_limit=self.evictor.limit_bytes,
            conflicts=int(conflicts),
            pins=self.keeper.kept,
            refused=dict(self.refused),
            last_error=self._last_error or (self.uploader.statistics.last_error if queued_rows else None),
        )

    async def settle(self, timeout_s: float | None = None) -> bool:
        """The barrier: everything written before is on the server, everything there is here. False: not in time, or
        parked."""
        with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
            for opened in self.store.opened:
                await self.store.settle(opened)
            drained = await self.uploader.drained()
            while True:
                try:
                    await self.puller.pull()
                except RemoteError as error:
                    self._heard(error)
                    await trio.sleep(error.retry_after_s or 0.5)
                else:
                    self._heard(None)
                    return drained
        return False

    async def evict(self, ino: Ino) -> Evicted:
        """Make a file, or every file below a folder, a placeholder; NotPermitted for a file that has to stay."""
        return await self.trees.evict(ino)

    async def hydrate(self, ino: Ino, progress: fetching.Progress | None = None) -> None:
        """Have every byte of a file, or of all below a folder, here; raises RemoteError, NoSpaceLeft."""
        await self.trees.hydrate(ino, progress or fetching.Progress())

    async def pin(self, ino: Ino, state: PinState) -> None:
        """Say what is wanted of a file, or of all below a folder; durable when it returns."""
        await self.keeper.put(ino, state)

    def pins(self) -> Sequence[PinRule]:
        """Everything that was said of files and folders."""
        return self.store.pins.rules

    def is_pinned(self, ino: Ino) -> bool:
        """Whether it is kept here, by its own pin or that of a folder above."""
        return self.store.pins.keeps(ino)

    def path_of(self, ino: Ino) -> str:
        """Where a node is, for people."""
        return tree.path_of(self.store.db.reader, ino)

    def nudge(self, *, anew: bool = False) -> None:
        """Pull and push now; `anew`: the way to the remote is another one."""
        self.puller.nudge(anew=anew)
        self.uploader.wake()

    def queue(self) -> list[QueuedChange]:
        """The outbox, oldest first, with paths for people."""
        return queued(self.store.db.reader, self.uploader.files.moving)

    async def retry(self) -> int:
        """Try everything parked or backing off again; returns how many were parked."""

        count = await self.store.db.write(journal.retry_parked)
        await self.store.db.write(pacing.hurry)
        self.nudge()
        return count

    async def space(self) -> Space:
        """Room at the remote; what was last known when it does not answer soon."""
        now_s = trio.current_time()
        if now_s - self._space_at_s > SPACE_FRESH_S:
            self._space_at_s = now_s  # also after a failure: nobody waits twice for a dead server
            with trio.move_on_after(SPACE_WAIT_S):
                try:
                    self._space = await self._remote.space()
                except RemoteError as error:
                    log.debug("no answer about space: %s", error)
        return self._space or UNKNOWN_SPACE
