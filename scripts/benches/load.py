"""Requests over plain sockets, so that the one who asks costs little: each connection asks, reads the whole answer and
asks again. The same for every server.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

_BUFFER_BYTES = 1 << 18
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A GET, as it is sent."""

    address: tuple[str, int]
    target: str
    token: str = ""

    def head(self) -> bytes:
        """The bytes on the wire."""
        signed = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"GET {self.target} HTTP/1.1\r\nHost: localhost\r\n{signed}\r\n".encode()


class Connection:
    """One kept-alive connection."""

    def __init__(self, request: Request) -> None:
        self._socket = socket.create_connection(request.address, timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = request.head()
        self._buffer = bytearray(_BUFFER_BYTES)

    def ask(self) -> int:
        """One request; the body's size. ValueError unless the answer is 200 with a length."""
        self._socket.sendall(self._head)
        got = self._socket.recv_into(self._buffer)
        while (end := self._buffer.find(b"\r\n\r\n", 0, got)) < 0:
            more = self._socket.recv_into(memoryview(self._buffer)[got:])
            if not more:
                raise ValueError("the connection ended in a head")
            got += more
        size_bytes = _length(bytes(self._buffer[:end]))
        left = size_bytes - (got - end - 4)
        while left > 0:
            more = self._socket.recv_into(self._buffer, min(left, _BUFFER_BYTES))
            if not more:
                raise ValueError("the connection ended in a body")
            left -= more
        return size_bytes

    def close(self) -> None:
        """End it."""
        self._socket.close()


def body(request: Request) -> bytes:
    """One answer's body."""
    with socket.create_connection(request.address, timeout=_TIMEOUT_S) as connection:
        connection.sendall(request.head().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        parts = []
        while part := connection.recv(_BUFFER_BYTES):
            parts.append(part)
    head, _, rest = b"".join(parts).partition(b"\r\n\r\n")
    _length(head)
    return rest


def durations(request: Request, count: int) -> list[float]:
    """Seconds of each of `count` requests, one after the other."""
    connection = Connection(request)
    try:
        connection.ask()
        seconds = []
        for _ in range(count):
            begun = time.perf_counter()
            connection.ask()
            seconds.append(time.perf_counter() - begun)
    finally:
        connection.close()
    return seconds


def together(request: Request, *, connections: int, count: int) -> tuple[float, int]:
    """Seconds for `count` requests on each of several connections at once, and all bytes."""
    opened = [Connection(request) for _ in range(connections)]
    received = [0] * connections
    ready = threading.Barrier(connections + 1)

    def work(index: int) -> None:
        ready.wait()
        for _ in range(count):
            received[index] += opened[index].ask()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(connections)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    for connection in opened:
        connection.close()
    return seconds, sum(received)


def percentile(seconds: list[float], percent: int) -> float:
    """The value that so many percent of the samples do not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def _length(head: bytes) -> int:
    lines = head.split(b"\r\n")
    if not lines[0].startswith(b"HTTP/1.1 200"):
        raise ValueError(f"an answer that is no 200: {lines[0]!r}")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without a length")
