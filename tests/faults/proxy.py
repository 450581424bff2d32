"""A link between a real client and a real server that breaks as a test says.

It relays HTTP/1.1 requests one by one, so a fault hits an exact place: before the request, in the middle of its body,
after the server has applied it, in the middle of the answer. `rule` is asked once per request and may be replaced
at any time; None lets everything pass. Threads, blocking sockets, no knowledge of the protocol beyond message framing.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from tests.faults.faults import (
    CutAnswer,
    CutRequest,
    Drip,
    Fault,
    Flip,
    Gate,
    HoldAnswer,
    HoldRequest,
    LoseAnswer,
    Refuse,
    Request,
    Reset,
    Stall,
    Twice,
)
from tests.faults.messages import Broken, Message, read_message
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


HOLD_LIMIT_S = 2 * DEADLINE_S  # a test that forgot to open a gate ends nevertheless


class FaultProxy:
    """Listens on a port of its own until `close`; `server` is a (host, port)."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self._closed = threading.Event()
        self.rule: Callable[[Request], Fault | None] | None = None
        self.requests: list[Request] = []
        threading.Thread(target=self._accept, daemon=True, name="fault-proxy").start()

    @property
    def url(self) -> str:
        """Where clients find the drive through this link."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """The link is gone: what runs is reset, what comes is refused."""
        self._cut = True
        self._reset_all()

    def mend(self) -> None:
        """The link is back."""
        self._cut = False

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reset_all()

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method, with `part` in their target, came so far."""
        with self._lock:
            return sum(1 for each in self.requests if each.method == method and part in each.target)

    # Connections ---------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                client, _ = self._listener.accept()
                self._keep(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _keep(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        if self._cut or self._closed.is_set():
            self._reset(connection)

    def _reset_all(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            self._reset(connection)

    def _reset(self, connection: socket.socket) -> None:
        """RST, at once; a thread that waits for it wakes."""
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RD)
        with contextlib.suppress(OSError):
            connection.close()

    def _serve(self, client: socket.socket) -> None:
        upstream: socket.socket | None = None
        try:
            upstream = socket.create_connection(self._server, timeout=DEADLINE_S)
            upstream.settimeout(None)
            self._keep(upstream)
            with client.makefile("rb") as asked, upstream.makefile("rb") as told:
                while (request := read_message(asked, "")) is not None:
                    self._relay(request, client, upstream, lambda method: read_message(told, method))
        except (Broken, OSError, ValueError):
            pass  # the fault, or the end of one side: both sides end below
        finally:
            for connection in (client, upstream):
                if connection is not None:
                    self._reset(connection)

    # One exchange --------------------------------------------------------------------------------------------------

    def _relay(
        self,
        message: Message,
        client: socket.socket,
        upstream: socket.socket,
        answer_of: Callable[[str], Message | None],
    ) -> None:
        request = Request(method=message.method, target=message.target)
        with self._lock:
            self.requests.append(request)
        fault = None if self.rule is None else self.rule(request)
        if isinstance(fault, Reset):
            raise Broken
        if isinstance(fault, Refuse):
            _refuse(message, client, fault)
            return
        if isinstance(fault, Stall):
            self._closed.wait(fault.seconds)
        answer = _answered(message, fault, upstream, answer_of)
        if isinstance(fault, LoseAnswer):
            _drain(answer)
            raise Broken
        _send(client, answer.head, _answer_body(answer, fault))
        if answer.ends_with_connection:
            raise Broken


def _send(connection: socket.socket, head: bytes, body: Iterator[bytes]) -> None:
    connection.sendall(head)
    for block in body:
        connection.sendall(block)


def _answered(
    message: Message, fault: Fault | None, upstream: socket.socket, answer_of: Callable[[str], Message | None]
) -> Message:
    """The server's answer to a request that reached it, once or twice."""
    body = _request_body(message, fault)
    if isinstance(fault, Twice):
        kept = list(body)
        _send(upstream, message.head, iter(kept))
        first = answer_of(message.method)
        if first is None or first.ends_with_connection:
            raise Broken
        _drain(first)
        body = iter(kept)
    _send(upstream, message.head, body)
    answer = answer_of(message.method)
    if answer is None:
        raise Broken
    return answer


def _refuse(message: Message, client: socket.socket, fault: Refuse) -> None:
    _drain(message)
    head = f"HTTP/1.1 {fault.status} Refused\r\ncontent-length: 0\r\n"
    retry = "" if fault.retry_after_s is None else f"retry-after: {fault.retry_after_s}\r\n"
    client.sendall(f"{head}{retry}\r\n".encode())


def _drain(message: Message) -> None:
    for _ in message.body():
        continue


def _request_body(message: Message, fault: Fault | None) -> Iterator[bytes]:
    if isinstance(fault, CutRequest):
        return _cut_after(message.body(), fault.after_bytes)
    if isinstance(fault, HoldRequest):
        return _held_at(message.body(), fault.gate, fault.after_bytes)
    return message.body()


def _answer_body(answer: Message, fault: Fault | None) -> Iterator[bytes]:
    if isinstance(fault, CutAnswer):
        return _cut_after(answer.body(), fault.after_bytes)
    if isinstance(fault, HoldAnswer):
        return _held_at(answer.body(), fault.gate, fault.after_bytes)
    if isinstance(fault, Drip):
        return _dripped(answer.body(), fault)
    if isinstance(fault, Flip):
        return _flipped(answer.body(), fault.at)
    return answer.body()


def _cut_after(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:count]
        count -= len(block)
        if count <= 0:
            raise Broken


def _held_at(blocks: Iterator[bytes], gate: Gate, count: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[: max(count, 0)]
        rest = block[max(count, 0) :]
        count -= len(block)
        if rest:
            gate.reached.set()
            gate.go.wait(HOLD_LIMIT_S)
            yield rest


def _dripped(blocks: Iterator[bytes], fault: Drip) -> Iterator[bytes]:
    left = fault.pieces
    for block in blocks:
        start = 0
        while start < len(block) and left > 0:
            time.sleep(fault.pause_s)
            yield block[start : start + fault.piece_bytes]
            start += fault.piece_bytes
            left -= 1
        yield block[start:]


def _flipped(blocks: Iterator[bytes], at: int) -> Iterator[bytes]:
    """One bit of the body is another; the framing stays right."""
    for block in blocks:
        if 0 <= at < len(block):
            yield block[:at] + bytes([block[at] ^ 0x40]) + block[at + 1 :]
        else:
            yield block
        at -= len(block)
