"""A socket of ours in the channel's place, for one answer: libfuse's number for the channel leads to it meanwhile.

The channel is the descriptor on which the kernel asks and is answered. What libfuse writes while the socket stands
there comes to us, and goes on to the kernel by a descriptor that libfuse does not know. Both are given back by `close`.
"""

from __future__ import annotations

import os
import socket

PACKET_BYTES = 1 << 20  # a request may be as large as the largest write


class Detour:
    """Of one channel. Raises OSError."""

    def __init__(self, channel_fd: int) -> None:
        self._channel_fd = channel_fd
        self.kernel_fd = os.dup(channel_fd)
        self.ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)

    def begin(self) -> None:
        """From here on libfuse writes to us."""
        os.dup2(self._theirs.fileno(), self._channel_fd, inheritable=False)

    def end(self) -> None:
        """From here on libfuse has the kernel again."""
        os.dup2(self.kernel_fd, self._channel_fd, inheritable=False)

    def taken(self) -> bytes:
        """What libfuse wrote; raises BlockingIOError when it wrote nothing."""
        return self.ours.recv(PACKET_BYTES)

    def close(self) -> None:
        """Of no use any more."""
        os.close(self.kernel_fd)
        self.ours.close()
        self._theirs.close()
