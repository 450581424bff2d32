"""What is agreed with the kernel beyond what libfuse 3.14 can ask for.

Without FUSE_HANDLE_KILLPRIV_V2 the kernel asks before every write(2) whether the file has `security.capability`: two
requests per write instead of one. So the first request of a mount, FUSE_INIT, and its answer go through our hands, by a
socket that stands in the channel's place for as long; the answer says yes to that, too (FUSE protocol 7.33,
linux/fuse.h). It then is ours to take set-user-id and set-group-id bits off: `vfs.privileges`. A kernel that does not
offer it is answered as libfuse answers.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

import trio

from vfs.detour import PACKET_BYTES, Detour

HANDLE_KILLPRIV_V2 = 1 << 28
_REQUEST_FLAGS_AT = 40 + 12  # struct fuse_in_header; major, minor, max_readahead
_ANSWER_FLAGS_AT = 16 + 12  # struct fuse_out_header; the same
_ANSWER_ERROR_AT = 4


class Handshake:
    """Stands between libfuse and the kernel, from `begin` to `finish`. Raises OSError when the mount is gone."""

    def __init__(self, channel_fd: int) -> None:
        self._detour = Detour(channel_fd)
        self._detour.begin()
        self._offered = 0

    async def begin(self) -> None:
        """The kernel's offer is on the channel when this returns."""
        try:
            await trio.lowlevel.wait_readable(self._detour.kernel_fd)
            offer = os.read(self._detour.kernel_fd, PACKET_BYTES + 4096)
            (self._offered,) = struct.unpack_from("=I", offer, _REQUEST_FLAGS_AT)
            self._detour.ours.send(offer)
        except BaseException:
            self._step_aside()
            raise

    def finish(self) -> None:
        """libfuse has answered: the kernel gets that answer, and the channel is the kernel's own again."""
        try:
            with suppress(BlockingIOError):  # not answered: nobody is mounted here
                os.write(self._detour.kernel_fd, agreed(self._detour.taken(), self._offered))
        finally:
            self._step_aside()

    def _step_aside(self) -> None:
        self._detour.end()
        self._detour.close()


def agreed(answer: bytes, offered: int) -> bytes:
    """libfuse's answer to FUSE_INIT, with what is agreed beyond it, as far as it is offered; a refusal as it is."""
    (error,) = struct.unpack_from("=i", answer, _ANSWER_ERROR_AT)
    if error:
        return answer
    changed = bytearray(answer)
    (flags,) = struct.unpack_from("=I", answer, _ANSWER_FLAGS_AT)
    struct.pack_into("=I", changed, _ANSWER_FLAGS_AT, flags | (offered & HANDLE_KILLPRIV_V2))
    return bytes(changed)
