"""The delay proxy: the way is longer, the bytes are the same."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from scripts.benches.links import lengthened
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

SENT = bytes(range(256)) * 40_000  # more than any socket buffers


def _answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(100) + SENT)


def test_bytes_come_late_whole_and_counted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        link = lengthened(stack, tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}", 60.0)
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", int(link.url.rpartition(":")[2])), timeout=DEADLINE_S) as client:
            client.sendall(b"hello")
            got = client.recv(1)
            first_s = time.perf_counter() - begun
            while chunk := client.recv(1 << 16):
                got += chunk
    assert got == b"hello" + SENT
    assert first_s >= 0.12, "a round trip for the connection, and one for the answer"
    assert link.down_bytes() == len(got)
