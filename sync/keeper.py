"""Keeps what is pinned here: brings it, follows what happens to it, and gives back the room of what is unpinned.

Work begins at a *top*: a node that a rule names, or that news told of. What has a rule of its own is a top of its own.
A top that could not be finished (the remote is away, no room, a file in use) is looked at again after a while.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache import tree
from cache.errors import LocalError, NoSpaceLeft, NotFound
from cache.model import ROOT_INO, EntryChanged, Ino, ItemId, NodeChanged
from cache.pinfile import PinState
from sync.below import Below
from sync.fetching import Progress, Wanted
from sync.remote import Gone, RemoteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cache.model import News, Node
    from cache.store import LocalStore
    from sync.applying import Applier
    from sync.evictor import Evictor
    from sync.fetching import Fetcher

log = logging.getLogger(__name__)

PAUSE_S = 2.0  # before what did not succeed is tried again; twice as long each time
PAUSE_MAX_S = 300.0
GATHER_S = 0.1  # news that come together are looked at together


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How the pins stand; sizes in bytes."""

    rules: int
    missing_files: int  # pinned, known of, and not all here yet
    missing_bytes: int
    too_many_bytes: int  # of these, what does not fit beside what may not be evicted


class Keeper:
    """See the module; `run` must be running."""

    def __init__(
        self, store: LocalStore, applier: Applier, fetcher: Fetcher, evictor: Evictor,
        arrive: Callable[[Node], Awaitable[None]], *, everything: bool = False,
    ) -> None:  # fmt: skip
        self._store = store
        self._everything = everything  # all that nothing was said of is brought too, where there is room for it
        self._applier = applier
        self._fetcher = fetcher
        self._evictor = evictor
        self._arrive = arrive
        self._tops: set[Ino] = set()
        self._all = True  # every rule is to be looked at
        self._wake = trio.Event()
        self._wake.set()
        self._asked = trio.Event()  # somebody set a pin: no pause is waited for
        self._progress = Progress()
        self._too_many_bytes = 0
        self._paused = False
        self._bringing = trio.CancelScope()
        applier.observers.append(self.noticed)

    @property
    def kept(self) -> Kept:
        """How it stands."""
        now = self._progress
        return Kept(
            rules=len(self._store.pins.rules),
            missing_files=now.files - now.files_done,
            missing_bytes=max(now.total_bytes - now.bytes_here, 0),
            too_many_bytes=self._too_many_bytes,
        )

    async def put(self, ino: Ino, state: PinState) -> None:
        """Pin, unpin, exclude, or say nothing any more; durable when it returns. Raises NotFound, OSError."""
        await self._store.pins.put(ino, state)
        self._evictor.look_again()
        self._all = True
        self._wake.set()
        self._asked.set()

    def noticed(self, news: Sequence[News]) -> None:
        """Something changed at the remote or here: cheap, as it is called often."""
        if not (self._store.pins.rules or self._everything):
            return
        for each in news:
            match each:
                case NodeChanged(ino, content=True):
                    self._tops.add(ino)
                case EntryChanged(parent, name, deleted=None):
                    node = tree.child(self._store.db.reader, parent, name)
                    if node is not None:
                        self._tops.add(node.ino)
        if self._tops or self._store.pins.may_identify():
            self._wake.set()

    def pause(self, *, paused: bool) -> None:
        """Bring nothing, not even the rest of what is on its way; or look at every rule again."""
        self._paused = paused
        if paused:
            self._bringing.cancel()
            return
        self._all = True
        self._wake.set()
        self._asked.set()

    def closed(self, ino: Ino) -> None:
        """Somebody closed a file; what nobody wants here may go when it was the last one."""
        if self._store.pins.effective(ino) is PinState.UNPINNED:
            self.look_at(ino)

    def look_at(self, ino: Ino) -> None:
        """It came to another place."""
        if self._store.pins.rules or self._everything:
            self._tops.add(ino)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = PAUSE_S
        while True:
            await self._wake.wait()
            await trio.sleep(GATHER_S)
            self._wake, self._asked = trio.Event(), trio.Event()
            tops, self._tops = self._tops, set()
            everything, self._all = self._all, False
            left = await self._pass(tops, everything=everything)
            if not left and not self._all:
                pause_s = PAUSE_S
                continue
            self._tops |= left
            with trio.move_on_after(pause_s):
                await self._asked.wait()
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
            self._wake.set()

    async def _pass(self, tops: set[Ino], *, everything: bool) -> set[Ino]:
        """Look at all of these; returns those that are to be looked at again."""
        try:
            if self._store.pins.may_identify():
                await self._store.pins.identify()
            if everything:
                await self._meet()
                nodes = [self._store.pins.node_of(rule) for rule in self._store.pins.rules]
                tops |= {node.ino for node in nodes if node is not None} | ({ROOT_INO} if self._everything else set())
            return await self._look(tops)
        except (RemoteError, LocalError, OSError) as error:
            log.info("pins: %s; tried again later", error)
            self._all |= everything
            return tops

    async def _meet(self) -> None:
        """Have items here that a rebuilt catalog has not met yet, with the folders above them."""
        rules = self._store.pins.rules
        unknown = [ItemId(rule.item_id) for rule in rules if rule.item_id and self._store.pins.node_of(rule) is None]
        if unknown:
            await self._applier.refresh(unknown)
            await self._applier.resolve_doubts()

    async def _look(self, tops: set[Ino]) -> set[Ino]:
        pinned, unpinned, others = Wanted(), Wanted(), Wanted()
        keep: set[Ino] = set()
        for top in sorted(tops):
            match self._store.pins.effective(top):
                case PinState.PINNED:
                    keep.add(top)
                    await self._gather(top, pinned, self._arrive)
                case PinState.UNPINNED:
                    await self._gather(top, unpinned, None)
                case PinState.INHERIT if self._everything:
                    await self._gather(top, others, self._arrive)
        in_use = await self._give_back(unpinned)
        left = in_use if await self._bring(pinned) else in_use | keep
        await self._fetcher.fetch(others, Progress(), unused_since_s=0)  # nothing has to go for these
        return left

    async def _gather(self, top: Ino, found: Wanted, arrive: Callable[[Node], Awaitable[None]] | None) -> None:
        below = Below(self._store, top, arrive, pass_over=self._has_rule)
        with suppress(NotFound, Gone):  # a folder that goes meanwhile
            while (page := await below.page()) is not None:
                for node in page:
                    size = self._fetcher.missing_bytes(node) if arrive is not None else self._store.held_bytes(node)
                    if size:
                        found.add(node.ino, size)

    def _has_rule(self, node: Node) -> bool:
        return self._store.pins.own(node) is not PinState.INHERIT

    async def _give_back(self, unwanted: Wanted) -> set[Ino]:
        left: set[Ino] = set()
        for unit in unwanted.units():
            for ino, _ in unit:
                try:
                    await self._evictor.evict(ino)
                except LocalError:
                    left.add(ino)  # open, or not sent yet
        return left

    async def _bring(self, wanted: Wanted) -> bool:
        """Whether all of it came."""
        self._progress = progress = Progress()
        before, self._too_many_bytes = self._too_many_bytes, 0
        if not len(wanted):
            return True
        if self._paused:
            return False
        with trio.CancelScope() as self._bringing:
            await self._fetcher.fetch(wanted, progress)
        for ino, error in progress.failed:
            log.debug("pins: %s did not come: %s", tree.path_of(self._store.db.reader, ino), error)
        if any(isinstance(error, NoSpaceLeft) for _, error in progress.failed):
            self._too_many_bytes = wanted.total_bytes - progress.done_bytes
            if self._too_many_bytes != before:
                log.info("%d pinned bytes do not fit: make the cache larger, or unpin some", self._too_many_bytes)
        return not progress.failed_count and not self._bringing.cancelled_caught
