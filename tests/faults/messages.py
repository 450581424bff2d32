"""Framing of HTTP/1.1 messages (RFC 9112): heads as they came, bodies in blocks as they came, nothing understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 1 << 16
HEAD_LIMIT_LINES = 200
_BODILESS = frozenset((b"204", b"304"))


class Broken(Exception):
    """A side ended in the middle, or is made to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A head that was read, and the body that follows on `source`."""

    head: bytes
    source: BinaryIO
    length: int | None  # None: in chunks, or up to the end of the connection
    chunked: bool

    @property
    def method(self) -> str:
        """Of a request."""
        return self.head.split(b" ", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        """Of a request."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return self.length is None and not self.chunked

    def body(self) -> Iterator[bytes]:
        """The body's blocks, framing included."""
        if self.chunked:
            return _chunks(self.source)
        return _blocks(self.source, self.length)


def read_message(source: BinaryIO, answers: str) -> Message | None:
    """The next message; None at the end of the connection. `answers`: the method that an answer is about."""
    lines = [line] if (line := source.readline()) else []
    if not lines:
        return None
    while lines[-1] not in {b"\r\n", b"\n"}:
        lines.append(source.readline())
        if not lines[-1] or len(lines) > HEAD_LIMIT_LINES:
            raise Broken
    facts = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    chunked = facts.get(b"transfer-encoding", b"").lower() == b"chunked"
    length = int(facts[b"content-length"]) if b"content-length" in facts else None
    if answers == "HEAD" or lines[0].split(b" ")[1] in _BODILESS or (length is None and not chunked and not answers):
        length, chunked = 0, False
    return Message(head=b"".join(lines), source=source, length=length, chunked=chunked)


def _blocks(source: BinaryIO, length: int | None) -> Iterator[bytes]:
    while length is None or length > 0:
        block = source.read1(BLOCK_BYTES if length is None else min(BLOCK_BYTES, length))  # type: ignore[attr-defined]
        if not block:
            if length is None:
                return
            raise Broken
        yield block
        length = None if length is None else length - len(block)


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    """Each block is one chunk with its frame, so a stream of events passes as it comes."""
    while True:
        line = source.readline()
        if not line:
            raise Broken
        size = int(line.split(b";")[0], 16)
        data = source.read(size + 2)
        if len(data) < size + 2:
            raise Broken
        yield line + data
        if size == 0:
            return
