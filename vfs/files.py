"""Open files: reading, writing, truncating, syncing. A handle keeps the content that it opened until it is closed.

Before the first changed byte of a content: all of it is here, and the outbox says so, durably enough for the process
to die. Bytes are written on the trio thread (a copy into the page cache); what may wait for a disk runs in a worker.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import trio

from cache import ranges
from cache.errors import IsAFolder, MayNotFetch, TooBig
from cache.failpoints import reached
from cache.model import FILE_SIZE_MAX_BYTES, Kind, Node
from sync.hydrator import WAIT_DEADLINE_S
from vfs.attributes import OpenedFile
from vfs.callers import Callers, by_root, caller
from vfs.handles import FileHandle, Handles
from vfs.pages import Pages
from vfs.privileges import Privileges
from vfs.programs import Programs
from vfs.rules import Action, Rule

if TYPE_CHECKING:
    from cache.model import Ino
    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.engine import Engine

AHEAD_MIN_BYTES = 64 << 10  # a page that a program waits for is asked for alone
AHEAD_PATIENCE_S = 3.0
SEQUENCE_MIN_BYTES = 256 << 10
OPEN_PUSH_DELAY_S = 30.0  # a file that stays open for writing is pushed as it stands this long after its first change


class Files:
    """All open files of a mount."""

    def __init__(self, store: LocalStore, engine: Engine, rules: tuple[Rule, ...] = ()) -> None:
        self._store = store
        self._engine = engine
        self.handles = Handles()
        self.callers = Callers()
        self.programs = Programs(rules)
        engine.refused = self.programs.refused
        self.pages = Pages(store, engine.applier)
        self.privileges = Privileges(store, engine)

    async def open(self, node: Node, flags: int) -> OpenedFile:
        """Open what a node holds now. O_TRUNC empties it."""
        if node.kind is Kind.FOLDER:
            raise IsAFolder(ino=node.ino)
        held_only = False
        if flags & os.O_TRUNC:
            if not by_root.get():
                await self.privileges.drop(node)
            writes = flags & os.O_ACCMODE != os.O_RDONLY
            await self.truncate(node, 0, None, push_delay_s=OPEN_PUSH_DELAY_S if writes else None)
        elif not (held_only := self._held_only(node)):
            self._engine.prefetcher.opened(node, local=node.content_id is not None and node.held_bytes >= node.size)
            await self._engine.prefetcher.arriving(node.ino)
        opened = await self._store.open_content(node)
        try:
            await self.pages.settled(node.ino)
            if self._engine.hydrator.policy.waits_for_all and not (opened.whole or held_only):
                with self.callers.waiting(caller.get()):
                    await self._engine.hydrator.ensure(opened, 0, opened.size)
        except BaseException:
            self._store.opened.release(opened)
            raise
        # Pages are kept per inode, not per handle: while an older version is still open, this one goes round them, and
        # leaves them alone: to drop pages, the kernel waits for whoever is still reading them.
        mixed = self.handles.reads_another(node.ino, opened)
        outdated = not mixed and self.pages.are_of_another(node.ino, opened)
        keep = mixed or self.pages.opened(node, opened)
        fh = self.handles.add_file(opened, flags, caller.get(), direct=mixed)
        handle = self.handles.file(fh)
        handle.held_only, handle.root = held_only, by_root.get()
        self.privileges.note(node.ino, node.mode)
        return OpenedFile(fh=fh, keep_cache=keep, direct_io=mixed, outdated=outdated)

    def _held_only(self, node: Node) -> bool:
        """Whether the caller gets only what is here; MayNotFetch when it may not even open what is not all here."""
        if node.held_bytes >= node.size or self._store.resident_bytes(node) >= node.size:
            return False
        action = self.programs.action(caller.get())
        if action is Action.DENY:
            raise MayNotFetch(program=self.programs.refuse(caller.get()))
        return action is Action.HELD

    def _check_may_fetch(self, handle: FileHandle) -> None:
        if handle.held_only:
            raise MayNotFetch(program=self.programs.refuse(handle.pid))

    def forget(self, ino: Ino) -> None:
        """The kernel dropped the inode, and its pages."""
        self.pages.forget(ino)
        self.privileges.forget(ino)

    async def read(self, fh: int, offset: int, size: int) -> bytes | memoryview:
        """Up to `size` bytes; fewer only at the end. Waits for bytes that are not here."""
        handle = self.handles.file(fh)
        opened = handle.opened
        stop = min(offset + size, opened.size)
        if stop <= offset:
            return b""
        if not opened.holds(offset, stop):
            self._check_may_fetch(handle)
            with self.callers.waiting(handle.pid):
                await self._bring_or_make_room(handle, offset, stop)
        return await _read(opened.fd, opened.base + offset, stop - offset)

    async def _bring_or_make_room(self, handle: FileHandle, start: int, stop: int) -> None:
        """What others left on a full disk goes for what is wanted now; ENOSPC when nothing may go."""
        try:
            await self._bring(handle, start, stop)
        except OSError as error:
            if error.errno != errno.ENOSPC or not await self._engine.evictor.disk_is_full():
                raise
            await self._bring(handle, start, stop)

    async def _bring(self, handle: FileHandle, start: int, stop: int) -> None:
        """Have these bytes here. What the kernel only reads ahead is given up soon when nothing comes.

        While nine such requests are under way it reads nothing ahead on the whole mount: other files, held too, are
        read page by page. No program sees these errors: for a page that one really waits for the kernel asks again.
        """
        ahead = (
            stop - start >= AHEAD_MIN_BYTES and not handle.direct and not ranges.covers(handle.given_up, start, stop)
        )
        try:
            await self._engine.hydrator.read(handle.opened, start, stop, AHEAD_PATIENCE_S if ahead else WAIT_DEADLINE_S)
        except BaseException:
            handle.given_up = ranges.add(handle.given_up, start, stop)
            raise

    async def write(self, fh: int, offset: int, data: bytes) -> int:
        """All of `data`, or an error."""
        handle = self.handles.file(fh)
        opened = handle.opened
        if offset + len(data) > FILE_SIZE_MAX_BYTES:
            raise TooBig(size_bytes=offset + len(data))
        if self.privileges.may_bear(handle.ino) and not handle.root:
            await self.privileges.drop_before_write(handle.ino)
        if not opened.dirty or opened.edit.locked():
            if not opened.whole:
                self._check_may_fetch(handle)
            await self._begin_edit(opened, handle.pid)
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(opened.fd, data[written:] if written else data, offset + written)
            reached("bytes-written")
        finally:  # also of what a full disk took before it refused the rest
            if written:
                opened.changed(max(opened.size, offset + written))
        return written

    async def truncate(self, node: Node, size: int, fh: int | None, *, push_delay_s: float | None = None) -> None:
        """Cut or grow a file, for every handle of it; to be pushed in `push_delay_s`, or soon if nobody writes."""
        if node.kind is not Kind.FILE:
            raise IsAFolder(ino=node.ino)
        if size > FILE_SIZE_MAX_BYTES:
            raise TooBig(size_bytes=size)
        opened = await self._acquire(node, fh)
        try:
            await self.pages.settled(node.ino)
            if size == 0 and not opened.dirty and not opened.whole:
                await self._empty(opened)
            else:
                await self._begin_edit(opened, caller.get())
                os.ftruncate(opened.fd, size)
                opened.changed(size)
            if opened.writers == 0:
                await self._settle(opened, push_delay_s)
        finally:
            self._store.opened.release(opened)

    async def release(self, fh: int) -> None:
        """Write down what the handle changed, and let go of its content."""
        handle = self.handles.remove_file(fh)
        opened = handle.opened
        try:
            if handle.writable and opened.writers == 0 and opened.dirty:
                await self._settle(opened)
        finally:
            self._store.opened.release(opened)
            self._engine.hydrator.released(opened)
            self.pages.tell_if_older(handle.ino, opened)

    async def _settle(self, opened: OpenContent, push_delay_s: float | None = None) -> None:
        """Nobody writes it any more: write down what it is; what cannot be written down now stays open until it can."""
        try:
            await self._store.settle(opened, closed=True, delay_s=push_delay_s)
            self._engine.changed()
        except BaseException:
            self._store.unsettled.keep(opened)
            raise

    async def fsync(self, fh: int, datasync: bool) -> None:  # noqa: ARG002  # the journal row is needed either way
        """Content, then the journal row, then the blob's name: on the disk when this returns."""
        handle = self.handles.file(fh)
        if handle.writable or handle.opened.dirty:
            await self._store.sync(handle.opened)

    async def _acquire(self, node: Node, fh: int | None) -> OpenContent:
        """The content that a truncation is about: the handle's own, or the node's."""
        if fh is not None:
            opened = self.handles.file(fh).opened
            opened.users += 1
            return opened
        return await self._store.open_content(node)

    async def _begin_edit(self, opened: OpenContent, pid: int) -> None:
        """Return when bytes may be changed. Waits for the whole file, and for a snapshot that is being taken."""
        async with opened.edit:
            if opened.dirty:
                return
            await self._store.durability.doubt_what_was_sent()
            with self.callers.waiting(pid):
                await self._engine.hydrator.ensure(opened, 0, opened.size)
            await self._engine.hydrator.verify(opened)  # an edit of damaged bytes would go up as a new version
            clock = self._store.clock(OPEN_PUSH_DELAY_S)
            await self._engine.applier.begin_edit(opened, clock)
        self._engine.changed()

    async def _empty(self, opened: OpenContent) -> None:
        """Truncation to nothing of a file whose bytes are not all here: none of them is fetched for it."""
        async with opened.edit:
            clock = self._store.clock(OPEN_PUSH_DELAY_S)
            before, ino = opened.content_id, opened.ino
            content_id = await self._engine.applier.empty(opened, clock)
            self._store.opened.replace(opened, content_id)
            self.pages.emptied(ino, before, content_id)
        if before not in opened.before:
            self._store.tidy([before])
        self._engine.changed()


_answer = bytearray(1 << 20)  # what the kernel asks for at most, but for unusual kernels


async def _read(fd: int, offset: int, size: int) -> bytes | memoryview:
    """Bytes that are in memory are answered here; what must come from the disk is fetched in a worker.

    Answers from memory share one buffer: nothing runs between its filling and the kernel's copying of it, and making
    one of a MiB costs as much as filling it.
    """
    buffer = _answer if size <= len(_answer) else bytearray(size)
    try:
        count = os.preadv(fd, [memoryview(buffer)[:size]], offset, os.RWF_NOWAIT)
    except (BlockingIOError, OSError):
        count = 0
    if count == size:
        return memoryview(buffer)[:size]
    return await trio.to_thread.run_sync(_read_from_disk, fd, offset, size)


def _read_from_disk(fd: int, offset: int, size: int) -> bytes:
    """In a worker. Several read one file at once, so its own read-ahead sees no sequence: it is told to take all of a
    large request at once. Not more: where requests overlap, each waits for the others' (490 instead of 1,700 MB/s)."""
    if size >= SEQUENCE_MIN_BYTES:
        os.posix_fadvise(fd, offset, size, os.POSIX_FADV_WILLNEED)
    return os.pread(fd, size, offset)
