"""Tells the kernel what it must forget, as news arrives.

A notification blocks while the kernel waits for a request on the same folder or page, so it is made in a
worker thread, holding nothing that a handler needs. Notifications commute and may be repeated: what is
queued is coalesced and sent in batches, one thread hop each, by a few lanes, so that a call that waits for
the network does not hold up the others. Only what the kernel holds is sent. Cancel `run` before unmounting:
it waits for the calls in flight, keeps what was not sent, and may be run again.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import trio

from cache.model import EntryChanged, Ino, News, NodeChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

_LANES = 4
# What the kernel was answered an instant ago it may not have taken in yet, and says ENOENT: tell it again.
_AGAIN_AFTER_S = 0.05
_GRACE_S = 2.0  # how long the end waits for calls that the kernel holds; then they are left to their threads
# ENOENT: not held. EBUSY, ENOTEMPTY: a removed folder that is in use; forgotten, only not told to watchers.
# ENOTCONN, ENODEV: the mount is gone. ENOSYS: it is not there yet, so the kernel holds nothing that could be old.
_NORMAL = frozenset({errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY, errno.ENOTCONN, errno.ENODEV, errno.ENOSYS})

_log = logging.getLogger(__name__)


class Kernel(Protocol):
    """The notifications that are needed here. Each may block, and raises OSError."""

    def invalidate_inode(self, inode: int, attr_only: bool = ...) -> None:
        """Forget attributes, and without `attr_only` the cached pages too."""

    def invalidate_entry(self, inode_p: int, name: bytes, deleted: int = ...) -> None:
        """Forget a name."""


class Knowledge(Protocol):
    """Who knows what the kernel holds."""

    def knows(self, ino: Ino) -> bool:
        """Whether the kernel may hold anything about `ino`."""

    def may_miss(self, folder: Ino, name: str) -> bool:
        """Whether the kernel may believe that a folder has no such name."""

    def keeps_pages(self, ino: Ino) -> bool:
        """Whether the pages of `ino` are right for those who have it open, whatever became of the file."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What one lane sends; the thread takes from `waiting` what it has sent."""

    waiting: deque[News]
    unheard: list[NodeChanged] = field(default_factory=list)
    sent: trio.Event = field(default_factory=trio.Event)


class Invalidation:
    """The consumer of `news` for one mount."""

    def __init__(self, news: trio.MemoryReceiveChannel[News], knowledge: Knowledge, kernel: Kernel) -> None:
        self._news = news
        self._knowledge = knowledge
        self._kernel = kernel
        self._nodes: dict[Ino, bool] = {}  # with content?
        self._entries: dict[tuple[Ino, str], Ino | None] = {}
        self._sending: list[_Batch] = []
        self._taken = trio.Event()
        self._threads = trio.CapacityLimiter(_LANES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until the channel is closed by its sender, or cancelled."""
        stopping = threading.Event()
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(_LANES):
                    nursery.start_soon(self._serve, stopping)
                task_status.started()
        finally:
            stopping.set()
            with trio.move_on_after(_GRACE_S, shield=True):
                await self._threads_ended()
            self._take_back()

    async def delivered(self) -> None:
        """Return when the kernel has heard all that was news by now; while it does not run, never."""
        for _ in range(2):  # what was handed to a lane, and what such a lane has taken with it
            await trio.lowlevel.checkpoint()
        if self._nodes or self._entries or self._news.statistics().current_buffer_used:
            if self._taken.is_set():
                self._taken = trio.Event()
            await self._taken.wait()  # whoever takes news takes all
        for batch in tuple(self._sending):
            await batch.sent.wait()

    async def _serve(self, stopping: threading.Event) -> None:
        with suppress(trio.EndOfChannel):
            while True:
                batch = await self._next_batch()
                self._sending.append(batch)
                self._taken.set()
                await self._send(batch, stopping)
                await self._send_again(batch, stopping)
                self._sending.remove(batch)
                batch.sent.set()

    async def _next_batch(self) -> _Batch:
        """All that is queued now, or else the next that comes. Nothing is lost when this is cancelled."""
        while True:
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                while True:
                    self._note(self._news.receive_nowait())
            if self._nodes or self._entries:
                return _Batch(deque(self._drain()))
            self._note(await self._news.receive())

    def _note(self, news: News) -> None:
        if isinstance(news, NodeChanged):
            if self._knowledge.knows(news.ino):
                # Dropping pages waits for whoever waits for one of them: not while they are an older reader's own.
                content = news.content and not self._knowledge.keeps_pages(news.ino)
                self._nodes[news.ino] = content or self._nodes.get(news.ino, False)
        elif self._knowledge.knows(news.parent) and self._is_heard_otherwise(news):
            place = (news.parent, news.name)
            # The first that went is the one that the kernel still shows under this name.
            self._entries[place] = self._entries.get(place) or news.deleted

    def _is_heard_otherwise(self, news: EntryChanged) -> bool:
        """A right entry must not be dropped: a process that stands in that folder would lose its way (getcwd)."""
        return not news.appeared or self._knowledge.may_miss(news.parent, news.name)

    def _drain(self) -> Iterator[News]:
        """What never blocks comes first, what waits for pages comes last."""
        nodes, entries = self._nodes, self._entries
        self._nodes, self._entries = {}, {}
        yield from (NodeChanged(ino) for ino, content in nodes.items() if not content)
        yield from (EntryChanged(parent, name, deleted) for (parent, name), deleted in entries.items())
        yield from (NodeChanged(ino, content=True) for ino, content in nodes.items() if content)

    async def _send(self, batch: _Batch, stopping: threading.Event) -> None:
        await trio.to_thread.run_sync(self._notify_all, batch, stopping, abandon_on_cancel=True, limiter=self._threads)

    async def _send_again(self, batch: _Batch, stopping: threading.Event) -> None:
        again = [news for news in batch.unheard if self._knowledge.knows(news.ino)]
        if again:
            batch.waiting.extend(again)
            await trio.sleep(_AGAIN_AFTER_S)
            await self._send(batch, stopping)

    def _notify_all(self, batch: _Batch, stopping: threading.Event) -> None:
        """In a worker thread."""
        while batch.waiting and not stopping.is_set():
            news = batch.waiting[0]
            try:
                self._notify(news)
            except OSError as error:
                if error.errno == errno.ENOENT and isinstance(news, NodeChanged):
                    batch.unheard.append(news)
                if error.errno not in _NORMAL:
                    _log.exception("the kernel was not told of %s", news)
            except Exception:  # noqa: BLE001 - one that cannot be sent must not hold up the others
                _log.exception("the kernel was not told of %s", news)
            batch.waiting.popleft()

    def _notify(self, news: News) -> None:
        if isinstance(news, NodeChanged):
            self._kernel.invalidate_inode(news.ino, attr_only=not news.content)
        else:
            self._kernel.invalidate_entry(news.parent, news.name.encode(), news.deleted or 0)

    async def _threads_ended(self) -> None:
        """A thread gives its token back when it ends, also one that nobody waits for any more."""
        borrowers = [object() for _ in range(_LANES)]
        try:
            for borrower in borrowers:
                await self._threads.acquire_on_behalf_of(borrower)
        finally:
            for borrower in borrowers:
                with suppress(RuntimeError):  # not acquired: the time was up
                    self._threads.release_on_behalf_of(borrower)

    def _take_back(self) -> None:
        """What was not sent is news again."""
        for batch in self._sending:
            for news in list(batch.waiting):
                self._note(news)
        self._sending.clear()
