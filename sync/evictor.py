"""Keeps the cache under its size and the disk above its floor: least recently used first, only what can be had again.

Dirty content is out of reach by the query itself; open content by the registry, looked at on the trio thread in the
same step that marks the victim, so nothing can be opened in between; what was used a moment ago by its time. What was
looked at and had to stay is not looked at again for a while: the cost is that of what is evicted.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import contents, uses
from cache.ballast import Ballast
from cache.errors import NoSpaceLeft, NotPermitted
from cache.evict import DEFAULT_FLOOR_BYTES, Candidate, Victim, victims
from cache.model import ContentId, Ino, NodeChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cache.model import Content
    from cache.store import LocalStore
    from cache.uses import Clean
    from sync.applying import Applier

INTERVAL_S = 2.0
SLACK = 0.95  # evict a little further than the limit, so that it does not run for every file
JUST_USED_S = 5  # who closed a file may open it again
LOOK_AGAIN_S = 600.0  # what had to stay may go by now
FULL_DISK_BYTES = 32 << 20  # made free at once when a disk is full
PUNCH_MAX_BYTES = 32 << 20  # at a time: a disk takes up to a millisecond for a megabyte, and everybody waits for it
PAGE = 64
LOOK_MAX = 2048  # rows looked at without letting others run


class Evictor:
    """Evicts until the cache fits; `run` must be running."""

    def __init__(
        self, store: LocalStore, applier: Applier, limit_bytes: int, floor_bytes: int = DEFAULT_FLOOR_BYTES,
        is_kept: Callable[[Ino], bool] = lambda _ino: False,
    ) -> None:  # fmt: skip
        self._store = store
        self._applier = applier
        self._is_kept = is_kept
        self._ballast = Ballast(store.directory)
        self.limit_bytes = limit_bytes
        self.floor_bytes = floor_bytes
        self._passed = (-1, -1)  # (last use, id): up to here everything was looked at, and had to stay
        self._began_s = 0.0
        self._evicting = trio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._store.db.full:
                await self.disk_is_full()
            else:
                await self.make_room()
            await trio.sleep(INTERVAL_S)

    async def make_room(self, more_bytes: int = 0, unused_since_s: int | None = None) -> bool:
        """Evict what is over the limit, and for `more_bytes` to come; returns whether they fit now.

        Nothing is taken that was used since `unused_since_s` (seconds since the epoch; None: a moment ago).
        """
        before_s = self._store.clock().now_s - JUST_USED_S if unused_since_s is None else unused_since_s
        async with self._evicting:
            if trio.current_time() - self._began_s > LOOK_AGAIN_S:
                self.look_again()
            set_back = partial(uses.none_ahead, now_s=self._store.clock().now_s)
            if self._excess(more_bytes) > 0 and await self._store.db.write(set_back):
                self.look_again()
            exhausted = False
            while (excess_bytes := self._excess(more_bytes)) > 0 and not exhausted:
                await self._store.save()
                before = self._passed
                found: dict[ContentId, Clean] = {}
                chosen = victims(self._candidates(found, before_s), excess_bytes)
                exhausted = not chosen and self._passed == before
                await self._free(chosen, found)
                if chosen and self._excess(more_bytes) >= excess_bytes:  # in use since it was chosen: pass over it
                    last = found[chosen[-1].content_id]
                    self._passed = max(self._passed, (last.last_use_s, last.content_id))
        return excess_bytes <= 0

    async def disk_is_full(self) -> bool:
        """Somebody met a full disk: give back what may go; whether there is more room now.

        Where nothing may go before it is sent, the catalog can say that it was: its log begins anew in the room it has.
        Where even that has no room there may be some when something has gone.
        """
        before = self._store.blobs.free_bytes()
        self._ballast.throw_off()
        try:
            self._store.db.full = False
            with suppress(NoSpaceLeft):
                await self._store.db.checkpoint()
            await self.make_room(FULL_DISK_BYTES, self._store.clock().now_s + 1)
        finally:
            self._ballast.take_on()
        return self._store.blobs.free_bytes() > before

    def look_again(self) -> None:
        """What had to stay may go now: look at everything from the beginning."""
        self._passed, self._began_s = (-1, -1), trio.current_time()

    async def evict(self, ino: Ino) -> int:
        """Make one file a placeholder again; NotPermitted while it is open, pinned or not pushed."""
        await self._store.save()
        for content_id, owner, held in contents.of_node(self._store.db.reader, ino):
            content = contents.get(self._store.db.reader, content_id)
            why = None if content is None else self.why_not(content)
            if why is not None:
                raise NotPermitted(why, ino=ino)
            await self.drop({content_id: owner})
            return held
        return 0

    def why_not(self, content: Content) -> str | None:
        """Why a content has to stay, in words; None when it may go."""
        if content.dirty:
            return "the file has changes that are not on the server yet"
        if self._store.opened.get(content.content_id) is not None:
            return "the file is open"
        if self._is_kept(content.ino):
            return "the file is pinned"
        return None

    async def drop(self, chosen: dict[ContentId, Ino]) -> None:
        """The nodes let go of the contents first; the janitor deletes what nobody opened meanwhile."""
        if not chosen:
            return
        loose = await self._store.db.write(lambda connection: contents.detach_clean(connection, list(chosen)))
        self._store.tidy(loose)
        await self._store.save()
        await self._applier.tell(*[NodeChanged(chosen[content_id]) for content_id in loose])

    def room_bytes(self) -> int:
        """How much more fits before anything is evicted; less than nothing when there is too much already."""
        return min(int(self.limit_bytes * SLACK) - self._held(), self._store.blobs.free_bytes() - self.floor_bytes)

    def capacity_bytes(self) -> int:
        """How much more could be held if everything went that may; less, where pinned bytes are in the way."""
        held, dirty = self._held(), contents.usage(self._store.db.reader).dirty_bytes
        free = self._store.blobs.free_bytes() - self.floor_bytes
        return max(min(int(self.limit_bytes * SLACK) - dirty, free + held - dirty), 0)

    def _held(self) -> int:
        reader = self._store.db.reader
        return contents.usage(reader).held_bytes + self._store.untold.growth_bytes(reader)

    def _excess(self, more_bytes: int) -> int:
        over = self._held() + more_bytes - self.limit_bytes
        if over > 0:
            over += self.limit_bytes - int(self.limit_bytes * SLACK)
        return max(over, self.floor_bytes + more_bytes - self._store.blobs.free_bytes())

    def _candidates(self, found: dict[ContentId, Clean], before_s: int) -> Iterator[Candidate]:
        """Stops after LOOK_MAX rows; the next call goes on behind those that had to stay."""
        for _ in range(LOOK_MAX // PAGE):
            rows = uses.oldest(self._store.db.reader, self._passed, before_s, PAGE)
            for row in rows:
                if self._store.opened.get(row.content_id) is None and not self._is_kept(row.ino):
                    found[row.content_id] = row
                    yield Candidate(content_id=row.content_id, disk_bytes=row.held_bytes)
                self._passed = (row.last_use_s, row.content_id)
            if len(rows) < PAGE:
                return

    async def _free(self, chosen: list[Victim], found: dict[ContentId, Clean]) -> None:
        whole = [each for each in chosen if each.whole]
        for each in chosen:
            if each.whole:
                continue
            if await self._lost_a_part(each):
                await self._applier.tell(NodeChanged(found[each.content_id].ino))
            else:
                whole.append(each)
        await self.drop({each.content_id: found[each.content_id].ino for each in whole})

    async def _lost_a_part(self, victim: Victim) -> bool:
        try:
            return await self._store.shed(victim.content_id, min(victim.freed_bytes, PUNCH_MAX_BYTES))
        except FileNotFoundError:  # its blob is gone, and no part of it is left to be kept
            return False
