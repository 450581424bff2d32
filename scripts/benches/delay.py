"""A TCP proxy that makes the way longer and nothing else: every byte comes `--one-way-ms` after it was sent.

Bytes are stamped when they arrive and passed on when they are due, up to AHEAD_CHUNKS under way in each direction, so
that distance costs time but no throughput. A new connection costs a round trip first, as TCP's handshake does. What
passed is counted in a file: native unsigned 64-bit numbers, bytes towards the server, bytes back, requests (HTTP/1.1).
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

CHUNK_BYTES = 1 << 18
AHEAD_CHUNKS = 1024  # in each direction of a connection: 256 MiB, 20 ms at 12 GB/s
SWITCH_INTERVAL_S = 0.0002  # a chunk that is due does not wait for another thread's turn
COUNTS = struct.Struct("=QQQ")
_REQUEST = b" HTTP/1.1\r\n"


class Counts:
    """Bytes that passed, up and down, where another process can read them."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(COUNTS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), COUNTS.size)
        self._lock = threading.Lock()
        self._passed = [0, 0, 0]

    def add(self, way: int, chunk: bytes) -> None:
        """`way`: 0 up, 1 down."""
        with self._lock:
            self._passed[way] += len(chunk)
            self._passed[2] += chunk.count(_REQUEST) if way == 0 else 0
            COUNTS.pack_into(self._shared, 0, *self._passed)


class _Way:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket, delay_s: float, not_before_s: float) -> None:
        self._source = source
        self._sink = sink
        self._delay_s = delay_s
        self._not_before_s = not_before_s
        self._travelling: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        self._room = threading.Semaphore(AHEAD_CHUNKS)

    def receive(self) -> None:
        """Stamp what arrives, until the end."""
        chunk = b"begin"
        while chunk:
            self._room.acquire()  # given back by `send`
            try:
                chunk = self._source.recv(CHUNK_BYTES)
            except OSError:
                chunk = b""
            self._travelling.put((max(time.perf_counter(), self._not_before_s) + self._delay_s, chunk))

    def send(self, counts: Counts, way: int) -> None:
        """Pass on what is due, until the end."""
        while True:
            due_s, chunk = self._travelling.get()
            self._room.release()
            wait_s = due_s - time.perf_counter()
            if wait_s > 0:
                time.sleep(wait_s)
            try:
                if not chunk:
                    self._sink.shutdown(socket.SHUT_WR)
                    return
                self._sink.sendall(chunk)
            except OSError:
                with contextlib.suppress(OSError):  # the other side is told by its next read
                    self._source.shutdown(socket.SHUT_RD)
                return
            counts.add(way, chunk)


def _carry(client: socket.socket, upstream: tuple[str, int], one_way_s: float, counts: Counts) -> None:
    arrived_s = time.perf_counter()
    with client, socket.create_connection(upstream) as server:
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = [
            _Way(client, server, one_way_s, arrived_s + 2 * one_way_s),
            _Way(server, client, one_way_s, arrived_s),
        ]
        threads = [threading.Thread(target=way.receive, daemon=True) for way in ways]
        threads += [threading.Thread(target=way.send, args=(counts, at), daemon=True) for at, way in enumerate(ways)]
        for thread in threads:
            thread.start()
        for thread in threads[2:]:
            thread.join()


def main() -> None:
    """Until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--one-way-ms", type=float, required=True)
    parser.add_argument("--ready-file", type=Path, required=True, help="gets the port")
    parser.add_argument("--counts-file", type=Path, required=True)
    given = parser.parse_args()
    host, _, port = given.upstream.rpartition(":")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    counts = Counts(given.counts_file)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        ready = given.ready_file.with_suffix(".new")
        ready.write_text(str(listener.getsockname()[1]), encoding="ascii")
        ready.rename(given.ready_file)
        while True:
            client, _ = listener.accept()
            arguments = (client, (host, int(port)), given.one_way_ms / 1000, counts)
            threading.Thread(target=_carry, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main()
