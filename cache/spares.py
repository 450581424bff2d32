"""Files made ahead, without a name: to make one takes a disk longer than all else that a program's creation of a file
needs (ext4: 75 to 1,000 µs, most where many were deleted just before), to give it a name takes 10 µs.

They are empty, bear the mark of unsent bytes (`cache.blobs`), and go with the process: nothing of them is ever found.
Where the file system makes no nameless files (O_TMPFILE), or there is no /proc, there are none. Owned by the trio
thread; made in a worker.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

WANTED = 64
_MADE_TOGETHER = 16
_RETRY_S = 5.0  # after a failure of the disk: meanwhile files are made when they are wanted
NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})  # open(2), of O_TMPFILE


class Spares:
    """Those of one blob store; there are some only while `run` runs."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._mode = mode
        self._fds: list[int] = []
        self._names = -1  # the folder /proc/self/fd, by which the nameless have names
        self._wanted = trio.Event()

    @property
    def ready(self) -> int:
        """How many there are."""
        return len(self._fds)

    def take(self, path: str) -> bool:
        """Give one the name `path`, made this moment; False: there is none. Raises FileExistsError."""
        if len(self._fds) <= WANTED - _MADE_TOGETHER:
            self._wanted.set()
        if not self._fds:
            return False
        fd = self._fds.pop()
        try:
            os.utime(fd)
            os.link(str(fd), path, src_dir_fd=self._names, follow_symlinks=True)  # without a folder it does not follow
        except FileExistsError:
            raise
        except OSError as error:
            log.debug("a file made ahead is of no use: %s", error)
            return False
        finally:
            os.close(fd)
        return True

    async def run(self) -> None:
        """Until cancelled."""
        try:
            self._names = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            log.debug("no files are made ahead: %s", error)
            return
        try:
            while True:
                await self._fill()
                self._wanted = trio.Event()
                await self._wanted.wait()
        finally:
            os.close(self._names)
            while self._fds:
                os.close(self._fds.pop())

    async def _fill(self) -> None:
        while len(self._fds) < WANTED:
            try:
                self._fds += await trio.to_thread.run_sync(self._made)
            except OSError as error:
                if error.errno in NO_NAMELESS_FILES:
                    await trio.sleep_forever()
                await trio.sleep(_RETRY_S)

    def _made(self) -> list[int]:
        made: list[int] = []
        try:
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            made.extend(os.open(self._folder, flags, self._mode) for _ in range(_MADE_TOGETHER))
        except OSError:
            if not made:
                raise
        return made
