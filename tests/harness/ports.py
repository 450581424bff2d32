"""Ports that stay a test's own while nothing listens on them: from one life of a server to its next one, too.

A socket that is bound and does not listen keeps the kernel from giving its port to whoever wants any (bind(2) to port
0, connect(2)). Who names the port and sets SO_REUSEADDR, as servers do, has it nevertheless (socket(7)).
"""

from __future__ import annotations

import os
import socket
import weakref


class Port:
    """One of 127.0.0.1, kept for as long as this object lives."""

    def __init__(self) -> None:
        kept = socket.socket()
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        self.number = int(kept.getsockname()[1])
        weakref.finalize(self, os.close, kept.detach())
