"""A wire with a meter: a TCP relay that counts bytes each way, and cuts connections after so many."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

STEP_BYTES = 64 << 10


class Meter:
    """`with Meter(server.address) as wire:`; `wire.url` is the way to the server."""

    def __init__(self, server: tuple[str, int], cuts: Iterable[int] = ()) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._cuts = iter(cuts)
        self._next_cut = next(self._cuts, None)
        self.up_bytes = 0
        self.down_bytes = 0
        self.cut_count = 0

    @property
    def url(self) -> str:
        """Where clients find the server through this wire."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            _end(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._server, timeout=DEADLINE_S)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                self._open += [client, server]
                for source, target, up in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._relay, args=(source, target, up), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(STEP_BYTES):
                target.sendall(self._counted(data, up))
        _end(source)
        _end(target)

    def _counted(self, data: bytes, up: bool) -> bytes:
        """What passes of `data`; OSError when the wire is cut here."""
        with self._lock:
            if not up:
                self.down_bytes += len(data)
                return data
            self.up_bytes += len(data)
            if self._next_cut is None or self.up_bytes < self._next_cut:
                return data
            self._next_cut = next(self._cuts, None)
            self.cut_count += 1
            raise OSError("cut")


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
