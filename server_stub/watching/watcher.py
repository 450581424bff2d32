"""Keeps the index in line with the tree as it changes: reads the kernel's queue, resolves doubts, asks for a look.

Law: what was told is looked at, or something coarser is: a queue that overflowed, an interface that broke and a root
that is not where it was put everything in doubt, and a scan answers that, never silence. The status says which it is.
All calls into the source run on one thread of its own, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from server_stub.external.scan import RootReplaced
from server_stub.watching.looks import Look, Looks, resolve
from server_stub.watching.notices import WatchUnavailable
from server_stub.watching.pending import Pending
from server_stub.watching.status import WatchState, WatchStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from server_stub.watching.notices import Source

log = logging.getLogger(__name__)

T = TypeVar("T")

_GATHER_S: Final = 0.002  # events of one operation come together; each read costs a hop to a thread
_RETRY_S: Final = 5.0
_RETRY_REFUSED_S: Final = 60.0  # an administrator may have raised a limit
_GUARD_EVERY_S: Final = 1.0
_PAUSE_FIRST_S: Final = 0.5  # after a look that failed; each time twice as long
_PAUSE_MAX_S: Final = 10.0


class WatchBroken(Exception):
    """The source tells nothing any more; the text says why."""


class _Patience:
    """How long to wait after failures in a row, and whether to speak of them: once for each reason."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._failures = 0

    @property
    def pause_s(self) -> float:
        """Twice as long each time."""
        return min(_PAUSE_FIRST_S * 2.0 ** min(self._failures - 1, 16), _PAUSE_MAX_S)

    def note(self, reason: str) -> bool:
        """One more failure; True when it is news."""
        self._failures += 1
        before, self._reason = self._reason, reason
        return before != reason

    def end(self) -> None:
        """It works again."""
        self._failures, self._reason = 0, None


class Watcher:
    """Watches one tree. `look` brings the index in line with what is in doubt, `scan` with everything."""

    def __init__(
        self,
        root: Path,
        root_fd: int,
        *,
        sources: list[Callable[[], Source]],
        look: Callable[[Look], Awaitable[None]],
        scan: Callable[[], Awaitable[object]],
    ) -> None:
        self._root = root
        self._root_fd = root_fd
        self._sources = sources
        self._look = look
        self._scan = scan
        self._pending = Pending()
        self._looks = Looks(self._pending)
        self._news = asyncio.Event()
        self._everything = asyncio.Event()
        self._back = asyncio.Event()  # the root is where it was again: what failed is worth another try
        self._looking, self._walking = _Patience(), _Patience()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self.status = WatchStatus()

    async def run(self) -> None:
        """Watch for ever; what breaks is tried again, with a scan for what was missed."""
        scanning = asyncio.ensure_future(self._scan_for_ever())
        try:
            self._pending.note_everything()
            while True:
                source = await self._opened()
                if source is None:
                    self._wake()  # a first time; then the timer's scans have to do
                    await asyncio.sleep(_RETRY_REFUSED_S)
                    continue
                self._doubt_everything("the watch begins")
                await self._watch(source)
                self._doubt_everything(self.status.reason)
                await asyncio.sleep(_RETRY_S)
        finally:
            scanning.cancel()
            await asyncio.wait([scanning])
            self._thread.shutdown(wait=False)

    async def _opened(self) -> Source | None:
        """The first source that works here; None when there is none."""
        reasons: list[str] = []
        for make in self._sources:
            source = make()
            try:
                await self._on_thread(source.start)
            except WatchUnavailable as error:
                reasons.append(f"{source.kind}: {error}")
                continue
            self.status.begin(source.kind)
            log.info("watch: %s tells of changes that others make %s", source.kind, reasons or "")
            return source
        if self.status.reason != "; ".join(reasons):
            self.status.fall("; ".join(reasons))
            log.warning("watch: changes that others make are found by scans only: %s", self.status.reason)
        return None

    async def _watch(self, source: Source) -> None:
        """Until it breaks."""
        self._looks = Looks(self._pending)
        works = (self._read_for_ever(source), self._look_for_ever(source), self._guard_for_ever())
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            error = done.pop().exception()
            self.status.fall(str(error))
            expected = isinstance(error, WatchBroken | OSError)
            log.error("watch: %s; scans find what others change", error, exc_info=None if expected else error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._on_thread(source.close)

    async def _read_for_ever(self, source: Source) -> None:
        while True:
            await _readable(source.fileno())
            await asyncio.sleep(_GATHER_S)
            batch = await self._on_thread(source.read)
            self.status.events += batch.events
            if batch.is_overflow:
                self.status.overflows += 1
                log.warning("watch: the kernel's queue overflowed; scanning for what it dropped")
                self._doubt_everything("the kernel's queue overflowed")
            self._looks.note(batch, time.monotonic())
            self._wake()
            if batch.is_gone is not None:
                raise WatchBroken(batch.is_gone)

    async def _look_for_ever(self, source: Source) -> None:
        while True:
            await self._something_due()
            due = self._looks.take(time.monotonic())
            resolved = await self._on_thread(partial(resolve, source, due))
            self._looks.looked(due, resolved, time.monotonic())
            self._wake()
            look = resolved.look
            if not look:
                continue
            try:
                await self._look(look)
            except (OSError, RootReplaced) as error:  # the index cannot be written just now, or the disk is away
                self._looks.put_back(due, time.monotonic())
                await self._pause(len(look), error)
            else:
                self.status.doubts += len(look)
                self._looking.end()

    async def _pause(self, count: int, error: Exception) -> None:
        """Whatever it was holds for every look. Over at once when the root is where it was again."""
        if self._looking.note(str(error)):
            log.warning("watch: %d entries in doubt wait: %s", count, error)
        self._back.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._back.wait(), self._looking.pause_s)

    async def _something_due(self) -> None:
        while True:
            self._news.clear()
            due_s = self._pending.due_s()
            wait_s = None if due_s is None else due_s - time.monotonic()
            if wait_s is not None and wait_s <= 0:
                return
            try:
                await asyncio.wait_for(self._news.wait(), wait_s)
            except TimeoutError:
                return

    async def _scan_for_ever(self) -> None:
        """Whenever everything is in doubt, beside looks at what is told meanwhile."""
        while True:
            await self._everything.wait()
            self._everything.clear()
            try:
                while self._pending.take_everything():
                    await self._scan()
                    self.status.scans += 1
            except Exception as error:  # whatever it was: everything is still in doubt
                if self._walking.note(str(error)):
                    expected = isinstance(error, OSError | RootReplaced)
                    log.warning("watch: a scan failed and is tried again: %s", error, exc_info=not expected)
                self.status.catch_up(f"a scan failed: {error}")
                await asyncio.sleep(_RETRY_S)
                self._doubt_everything(self.status.reason)
            else:
                self._walking.end()
                self.status.catch_up_done()

    def _doubt_everything(self, reason: str) -> None:
        self._pending.note_everything()
        self.status.catch_up(reason)
        self._wake()

    def _wake(self) -> None:
        self.status.waiting = len(self._pending)
        self._news.set()
        if self._pending.is_everything:
            self._everything.set()

    async def _guard_for_ever(self) -> None:
        """A root that its path does not lead to any more, as after an unmount, is said, and scanned when it is back."""
        while True:
            await asyncio.sleep(_GUARD_EVERY_S)
            there, down = await self._on_thread(self._is_root_there), self.status.state is WatchState.DOWN
            if there and down:
                self.status.begin(self.status.kind)
                self._doubt_everything("the exported folder is back")
                self._back.set()
            elif not there and not down:
                self.status.fall(f"{self._root} is not the folder that is served: a disk not mounted?")
                log.error("watch: %s", self.status.reason)

    def _is_root_there(self) -> bool:
        try:
            found, held = self._root.stat(), os.fstat(self._root_fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


async def _readable(fd: int) -> None:
    """Return when the descriptor has something to read."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await waiter
    finally:
        loop.remove_reader(fd)
