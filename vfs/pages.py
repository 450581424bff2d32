"""Which content the kernel's pages of each inode are of, and bytes that are put there before anybody asks for them.

Pages are kept per inode, not per handle. Bytes that came ahead of a reader are put into the kernel's page cache when
nobody has the file open: then opening and closing is all that reading it costs. Until the kernel has them, nobody may
open or cut the file, so they never go over newer ones; what became old meanwhile is dropped again.
"""

from __future__ import annotations

import errno
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio
from msgspec.structs import replace

from cache import tree
from cache.model import ContentId, Ino, Node, NodeChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cache.deposits import Deposit
    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.applying import Applier

_CLOSE_WAIT_S = 2.0
# ENOENT: not held. The others: the mount is gone, or the kernel cannot; nothing was put anywhere.
_NORMAL = frozenset({errno.ENOENT, errno.ENOTCONN, errno.ENODEV, errno.ENOSYS})

_log = logging.getLogger(__name__)


class Kernel(Protocol):
    """The notification that is needed here; raises OSError."""

    def notify_store(self, inode: int, offset: int, data: bytes) -> None:
        """Have these bytes in the page cache."""


@dataclass(slots=True)
class _Paged:
    """The content whose pages the kernel may hold of an inode, and the time that it was told with them."""

    content_id: ContentId
    mtime_ns: int


class Pages:
    """See the module. Owned by the trio thread."""

    def __init__(self, store: LocalStore, applier: Applier) -> None:
        self._store = store
        self._applier = applier
        self._paged: dict[Ino, _Paged] = {}
        self._entering: dict[Ino, trio.Event] = {}

    def opened(self, node: Node, opened: OpenContent) -> bool:
        """From now on the kernel's pages are of this content; whether those that it may hold are right.

        Of an inode that was not opened before it holds none. Told to drop them all the same, it would wait, and not
        even a kill would end that, for a page that another reader waits for who opened a moment later.
        """
        paged = self._paged.get(node.ino)
        self._paged[node.ino] = _Paged(opened.content_id, node.mtime_ns)
        return paged is None or paged.content_id == opened.content_id

    def are_of_another(self, ino: Ino, opened: OpenContent) -> bool:
        """Whether the pages, and so the size, that the kernel may hold are of another content than this."""
        paged = self._paged.get(ino)
        return paged is not None and paged.content_id != opened.content_id

    def emptied(self, ino: Ino, before: ContentId, content_id: ContentId) -> None:
        """Handles of a content went over to a new one; the kernel cuts its pages itself."""
        paged = self._paged.get(ino)
        if paged is not None and paged.content_id == before:
            paged.content_id = content_id

    def as_paged(self, node: Node) -> Node:
        """A node as the kernel is told of it: while somebody reads an older version through its pages, as that one was.

        The kernel knows one size per inode. Were it the new one, reads of the old version would run on into zeros; and
        at another time it drops all pages first, waiting for whoever waits for one of them.
        """
        paged = self._paged.get(node.ino)
        if paged is None:
            return node
        if paged.content_id == node.content_id:
            paged.mtime_ns = node.mtime_ns
            return node
        opened = self._store.opened.get(paged.content_id)
        if opened is None or not opened.handles:
            return node
        return replace(node, size=opened.size, mtime_ns=paged.mtime_ns)

    def are_older(self, ino: Ino) -> bool:
        """Whether the kernel's pages are of an older version that somebody still has open: theirs to keep."""
        node = tree.by_ino(self._store.db.reader, ino)
        return node is not None and self.as_paged(node) is not node

    def tell_if_older(self, ino: Ino, closed: OpenContent) -> None:
        """The last handle of an older version was closed: the kernel may have the new size now."""
        if closed.handles:
            return
        now = tree.bytes_of(self._store.db.reader, ino)
        if now is not None and now[0] != closed.content_id:
            self._applier.tell_soon([NodeChanged(ino, content=True)])

    def forget(self, ino: Ino) -> None:
        """The kernel dropped the inode, and its pages."""
        self._paged.pop(ino, None)

    # Bytes that came ahead ---------------------------------------------------------------------------------------

    async def settled(self, ino: Ino) -> None:
        """Return when no bytes are on their way to the kernel. To be asked by who has the content open, before he is
        answered, or cuts it: while it is open no others set out."""
        while (entering := self._entering.get(ino)) is not None:
            await entering.wait()

    def enter(self, deposit: Deposit) -> bool:
        """Bytes are about to be put into the kernel's pages, if they may be; `entered` is to be called then."""
        ino = deposit.of.ino
        if ino in self._entering or self._store.opened.of_node(ino) or not self._is_current(deposit):
            return False
        self._entering[ino] = trio.Event()
        return True

    def entered(self, deposit: Deposit, *, taken: bool) -> None:
        """They were; `taken`: the kernel has them."""
        ino = deposit.of.ino
        node = tree.by_ino(self._store.db.reader, ino)
        if taken and node is not None and node.content_id == deposit.content_id:
            self._paged[ino] = _Paged(deposit.content_id, node.mtime_ns)
        elif taken:
            self._paged[ino] = _Paged(deposit.content_id, 0)  # old: whoever opens next drops them
            self._applier.tell_soon([NodeChanged(ino, content=True)])
        self._entering.pop(ino).set()

    def _is_current(self, deposit: Deposit) -> bool:
        now = tree.bytes_of(self._store.db.reader, deposit.of.ino)
        return now is not None and now[0] == deposit.content_id


class PageStore:
    """Puts bytes that came ahead of their readers into the kernel's page cache, until it is closed."""

    def __init__(self, pages: Pages, knows: Callable[[Ino], bool], kernel: Kernel) -> None:
        self._pages = pages
        self._knows = knows
        self._kernel = kernel
        self._calling = threading.Lock()
        self._closed = False

    async def put(self, deposits: Sequence[Deposit]) -> None:
        """Those whose inodes the kernel knows, and that nobody has open."""
        entering = [each for each in deposits if self._knows(each.of.ino) and self._pages.enter(each)]
        taken: set[Ino] = set()
        try:
            if entering:
                await trio.to_thread.run_sync(self._put_all, entering, taken)
        finally:
            for each in entering:
                self._pages.entered(each, taken=each.of.ino in taken)

    def _put_all(self, deposits: Sequence[Deposit], taken: set[Ino]) -> None:
        """In a worker: a call waits for the kernel, though nobody holds one of these pages."""
        for each in deposits:
            with self._calling:
                if self._closed:
                    return
                try:
                    self._kernel.notify_store(each.of.ino, 0, each.data)
                    taken.add(each.of.ino)
                except OSError as error:
                    if error.errno not in _NORMAL:
                        _log.exception("the kernel did not take the bytes of inode %d", each.of.ino)

    def close(self) -> None:
        """From here on the mount's session may be ended."""
        locked = self._calling.acquire(timeout=_CLOSE_WAIT_S)
        self._closed = True
        if locked:
            self._calling.release()
