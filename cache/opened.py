"""Contents that are open on this machine: one object per content, shared by every handle, reader and transfer of it.

Owner: the trio thread. While a content is open, this object, not the catalog, knows its size, its time and what is
resident; the catalog is told later (residency) or before (dirtiness). No `await` here, so each method is atomic.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from cache import ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cache.blobs import Blobs
    from cache.model import Content, ContentId, Ino, ItemId, Version


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who needs bytes [start, stop)."""

    start: int
    stop: int
    woken: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True, eq=False, weakref_slot=True)
class OpenContent:
    """One open content. `fd` is open for reading and writing for as long as anybody uses it."""

    content_id: ContentId
    ino: Ino
    item_id: ItemId | None  # where the missing bytes are, also after the node lost its item
    version: Version | None
    digest: str | None  # what the whole must hash to, when the remote told it for this very version
    size: int
    fd: int
    resident: ranges.Ranges
    dirty: bool
    bundled: bool = False  # its file holds others, too, and is never written: see `LocalStore.separate`
    base: int = 0  # where in the file behind `fd` it begins
    users: int = 0  # handles, transfers and whoever else needs the descriptor
    handles: int = 0  # open files of programs
    writers: int = 0  # handles that may write
    writes: int = 0  # grows with each change of the bytes: tells whether a snapshot is still the truth
    settled: bool = True  # size and time of dirty bytes stand in the catalog
    unsaved: bool = False  # residency grew since the catalog was told
    rejected: bool = False  # the whole was not what the remote announced: no byte of it is served again
    hashed: bool = False  # the whole was compared with the digest that the remote announced
    waiters: set[Waiter] = field(default_factory=set)  # who waits for bytes
    edit: trio.Lock = field(default_factory=trio.Lock)  # held while bytes change in more than one step, or are copied
    downloads: list[object] = field(default_factory=list)  # the hydrator's own, see sync.hydrator
    left: list[int] = field(default_factory=list)  # descriptors of before: a worker may be reading there
    before: list[ContentId] = field(default_factory=list)  # what it was, where that is to be kept until it is closed

    def holds(self, start: int, stop: int) -> bool:
        """Whether all bytes of [start, stop) within the size are here."""
        stop = min(stop, self.size)
        return self.dirty or start >= stop or ranges.covers(self.resident, start, stop)

    @property
    def whole(self) -> bool:
        """Whether every byte is here."""
        return self.holds(0, self.size)

    def arrived(self, start: int, stop: int) -> None:
        """Bytes [start, stop) of this version were written to the blob: wakes those who have what they wait for.

        Only those: the kernel reads far ahead, a hundred requests wait at once, and a chunk serves one or two.
        """
        self.resident = ranges.add(self.resident, start, stop)
        self.unsaved = True
        for waiter in tuple(self.waiters):
            if waiter.start < stop and start < waiter.stop and self.holds(waiter.start, waiter.stop):
                self.waiters.discard(waiter)
                waiter.woken.set()

    def wake(self) -> None:
        """Let everybody who waits for bytes look again."""
        for waiter in self.waiters:
            waiter.woken.set()
        self.waiters.clear()

    def moves_to(self, fd: int) -> None:
        """The content is in a file of its own from here on."""
        self.left.append(self.fd)
        self.fd, self.base, self.bundled = fd, 0, False

    def close(self) -> None:
        """Nobody uses it any more."""
        for fd in (self.fd, *self.left):
            os.close(fd)

    def changed(self, size: int) -> None:
        """Local bytes changed; the content is dirty already."""
        self.size = size
        self.writes += 1
        self.settled = False

    def stat(self) -> os.stat_result:
        """The blob's own attributes: the truth about dirty bytes."""
        return os.fstat(self.fd)


class OpenContents:
    """All open contents, by id; the last user's leaving closes the file and tells `on_close`."""

    def __init__(self, blobs: Blobs, on_close: Callable[[OpenContent], None]) -> None:
        self._blobs = blobs
        self._on_close = on_close
        self._open: dict[ContentId, OpenContent] = {}

    def __iter__(self) -> Iterator[OpenContent]:
        return iter(tuple(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def is_written(self, content_id: ContentId) -> bool:
        """Whether a program may write to it at any moment."""
        opened = self._open.get(content_id)
        return opened is not None and opened.writers > 0

    def is_closed(self, content_id: ContentId) -> bool:
        """Whether nobody has it open."""
        return content_id not in self._open

    def get(self, content_id: ContentId | None) -> OpenContent | None:
        """The open content, if anybody has it open."""
        return None if content_id is None else self._open.get(content_id)

    def acquire(self, content: Content, item_id: ItemId | None, digest: str | None) -> OpenContent:
        """Open a content of an item, or share it; the caller releases it. Raises OSError."""
        opened = self._open.get(content.content_id)
        if opened is None:
            fd, base = self._blobs.open_at(content.content_id, content.bundled)
            # The blob is the truth about dirty bytes: what a close could not write down is written down now.
            size = os.fstat(fd).st_size
            if content.bundled is not None:
                size = min(size - base, content.size)
            if size != content.size and not content.dirty:  # somebody damaged it: as good as gone
                os.close(fd)
                raise FileNotFoundError(errno.ENOENT, "a content of another length than it had")
            opened = OpenContent(
                content_id=content.content_id,
                ino=content.ino,
                item_id=item_id,
                version=content.version,
                digest=digest,
                size=size,
                fd=fd,
                resident=content.resident,
                dirty=content.dirty,
                bundled=content.bundled is not None,
                base=base,
                settled=size == content.size,
            )
            self._open[content.content_id] = opened
        opened.users += 1
        return opened

    def replace(self, opened: OpenContent, content_id: ContentId) -> None:
        """Every handle of a content goes over to a new, empty, dirty one; the descriptor's number stays.

        Room in a bundle is given back only when this one is closed: somebody may be reading there at this moment.
        """
        fresh = self._blobs.open(content_id, writable=True)
        if opened.bundled:
            opened.before.append(opened.content_id)
            opened.moves_to(fresh)
        else:
            os.dup2(fresh, opened.fd, inheritable=False)
            os.close(fresh)
        del self._open[opened.content_id]
        self._open[content_id] = opened
        opened.content_id, opened.resident, opened.dirty = content_id, (), True
        opened.rejected = opened.hashed = False
        opened.changed(0)
        opened.wake()

    def release(self, opened: OpenContent) -> None:
        """One user less."""
        opened.users -= 1
        if opened.users == 0:
            del self._open[opened.content_id]
            opened.close()
            self._on_close(opened)

    def of_node(self, ino: Ino) -> list[OpenContent]:
        """Every open content of a node: old versions that handles still read are among them."""
        return [opened for opened in self._open.values() if opened.ino == ino]
