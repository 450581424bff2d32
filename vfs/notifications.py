"""What the kernel is told unasked, in its own words (FUSE protocol 7.18, linux/fuse.h), from any thread.

libfuse would write these to its number for the channel, where a socket of ours may stand for an instant
(`vfs.answers`): they have a descriptor of their own. It is given back when the last call that uses it has ended.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyfuse3

from vfs.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("=IiQ")  # struct fuse_out_header: length, code, 0
_INVAL_INODE, _INVAL_ENTRY, _STORE, _DELETE = 2, 3, 4, 6  # enum fuse_notify_code
_ATTRIBUTES_ONLY = -1  # an offset below 0: no page is dropped


class Notifications:
    """Of one mount. Each call may block, and raises OSError: ENOSYS before the mount is there, ENODEV after it."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._calling = 0
        self._closed = False
        self._counting = threading.Lock()

    def attach(self, channel_fd: int) -> None:
        """The channel is known from here on."""
        self._fd = os.dup(channel_fd)

    def ensure_attached(self) -> None:
        """Requests are served by now: Failure when the channel is still unknown, as the kernel would never be told."""
        if self._fd is None:
            raise Failure(
                "unknown-binding",
                f"pyfuse3 {pyfuse3.__version__} serves requests in another way than the one that is known here",
                hint="install the version that requirements.lock names",
            )

    def invalidate_inode(self, inode: int, attr_only: bool = False) -> None:
        """Forget attributes, and without `attr_only` the cached pages too."""
        self._tell(_INVAL_INODE, struct.pack("=Qqq", inode, _ATTRIBUTES_ONLY if attr_only else 0, 0))

    def invalidate_entry(self, inode_p: int, name: bytes, deleted: int = 0) -> None:
        """Forget a name; `deleted`: the inode that bore it, whose watchers hear of it."""
        if deleted:
            self._tell(_DELETE, struct.pack("=QQII", inode_p, deleted, len(name), 0) + name + b"\0")
        else:
            self._tell(_INVAL_ENTRY, struct.pack("=QII", inode_p, len(name), 0) + name + b"\0")

    def notify_store(self, inode: int, offset: int, data: bytes) -> None:
        """Have these bytes in the page cache."""
        self._tell(_STORE, struct.pack("=QQII", inode, offset, len(data), 0), data)

    def close(self) -> None:
        """The mount is gone; calls that the kernel still holds end by themselves."""
        with self._counting:
            self._closed = True
            self._close_unused()

    def _tell(self, code: int, *parts: bytes) -> None:
        header = _HEADER.pack(_HEADER.size + sum(map(len, parts)), code, 0)
        with self._calls() as fd:
            os.writev(fd, (header, *parts))

    @contextmanager
    def _calls(self) -> Iterator[int]:
        with self._counting:
            if self._closed or self._fd is None:
                raise OSError(errno.ENODEV if self._closed else errno.ENOSYS, "there is no mount to tell of this")
            self._calling += 1
            fd = self._fd
        try:
            yield fd
        finally:
            with self._counting:
                self._calling -= 1
                self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and not self._calling and self._fd is not None:
            os.close(self._fd)
            self._fd = None
