"""What pyfuse3 cannot have libfuse answer: that the kernel may keep a folder's listing.

pyfuse3's opendir answers a number and no flags. So its answer makes a detour (`vfs.detour`), and has the flags added on
the way (FUSE protocol, linux/fuse.h). It is written before the worker that handled the request comes back for the next
one: there it is passed on, by the lock between pyfuse3's workers, which is ours (`vfs.channel`). Nobody else writes to
the channel meanwhile: this is one thread, and notifications have a way of their own (`vfs.notifications`).
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from vfs.detour import Detour

KEEP_CACHE = 1 << 1  # FOPEN_KEEP_CACHE: the pages that earlier opens filled are right
CACHE_DIR = 1 << 3  # FOPEN_CACHE_DIR: fill pages with the listing, and answer from them
_HEADER = struct.Struct("=IiQ")  # struct fuse_out_header: length, error, unique
_FLAGS_AT = _HEADER.size + 8  # struct fuse_open_out: fh, open_flags


class Answers:
    """The answers of one mount; owned by the trio thread."""

    def __init__(self) -> None:
        self._detour: Detour | None = None
        self._flags = 0
        self.pending = False
        self.workers_waiting = 0  # beyond one, a worker that has answered ends, and comes back no more
        self.passed_on = False  # workers come by at all: of a pyfuse3 whose do not, no answer may make a detour

    def attach(self, channel_fd: int) -> None:
        """The channel is known from here on."""
        self._detour = Detour(channel_fd)

    def flag(self, flags: int) -> bool:
        """Add flags to the answer of the opendir that calls this last of all, with no await after it.

        False when that cannot be done now: the kernel keeps no listing then, and drops what it had.
        """
        if self._detour is None or not self.passed_on or self.workers_waiting > 1:
            return False
        self._flags, self.pending = flags, True
        self._detour.begin()
        return True

    def pass_on(self) -> None:
        """The answer is written: the kernel gets it."""
        assert self._detour is not None  # noqa: S101  # by flag
        self.pending = False
        with suppress(OSError):  # as libfuse: who asked is gone, or the mount is; or nothing was answered
            os.write(self._detour.kernel_fd, flagged(self._detour.taken(), self._flags))
        self._detour.end()

    def close(self) -> None:
        """The mount is gone."""
        if self._detour is not None:
            if self.pending:
                self.pass_on()
            self._detour.close()
            self._detour = None


def flagged(answer: bytes, flags: int) -> bytes:
    """libfuse's answer to an opendir, with flags added; a refusal as it is."""
    _, error, _ = _HEADER.unpack_from(answer)
    if error:
        return answer
    changed = bytearray(answer)
    (answered,) = struct.unpack_from("=I", answer, _FLAGS_AT)
    struct.pack_into("=I", changed, _FLAGS_AT, answered | flags)
    return bytes(changed)
