"""What of a content need not travel: pieces that copy from a base which the remote holds, and the rest. Pure.

Blocks of one length are compared by SHA-256: each block of the new content with the base's block at its own place,
then with all others; what is left is looked for where an insertion or removal before it has moved it to. So an edit
in place, an append, and one cut or insertion anywhere cost about their own length. A rolling checksum would find more
and cost a minute of CPU per GiB in Python.

A stream is `AFDELTA1`, then for each piece `C` offset length, or `L` length bytes; numbers are 64 bits, big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

MAGIC = b"AFDELTA1"
BLOCK_MIN_BYTES = 16 << 10
BLOCKS_WISHED = 1 << 14  # 512 KiB of digests to fetch, and blocks that are small beside the content
_COPY = struct.Struct(">cQQ")
_LITERAL = struct.Struct(">cQ")


class Piece(NamedTuple):
    """`length` bytes: from `offset` of the base, or from `offset` of the new content."""

    copied: bool
    offset: int
    length: int


class Base(NamedTuple):
    """What the remote holds: its length, and the SHA-256 of each block."""

    size: int
    block_bytes: int
    digests: Sequence[bytes]

    def length(self, index: int) -> int:
        """Of one block."""
        return min(self.block_bytes, self.size - index * self.block_bytes)


def block_bytes_for(size: int) -> int:
    """A power of two that cuts a base of `size` bytes into few enough blocks; at most 64 MiB."""
    block_bytes = BLOCK_MIN_BYTES
    while block_bytes * BLOCKS_WISHED < size and block_bytes < 64 << 20:
        block_bytes *= 2
    return block_bytes


def comparing(size: int, base: Base, digest_of: Callable[[int, int], bytes]) -> Generator[None, None, list[Piece]]:
    """Returns the pieces of a content of `size` bytes; yields after each block, for work that is done in slices.

    `digest_of(start, stop)` is the SHA-256 of a part of the content, 32 bytes.
    """
    places = {digest: index for index, digest in reversed(list(enumerate(base.digests)))}
    pieces: list[Piece] = []
    for start in range(0, size, base.block_bytes):
        stop = min(start + base.block_bytes, size)
        digest, own = digest_of(start, stop), start // base.block_bytes
        index = own if own < len(base.digests) and base.digests[own] == digest else places.get(digest)
        if index is not None and base.length(index) == stop - start:
            _add(pieces, Piece(True, index * base.block_bytes, stop - start))
        else:
            _add(pieces, Piece(False, start, stop - start))
        yield
    return (yield from _shifted(pieces, size - base.size, base, digest_of))


def _shifted(
    pieces: list[Piece], by: int, base: Base, digest_of: Callable[[int, int], bytes]
) -> Generator[None, None, list[Piece]]:
    """The same, with the base's blocks found in the rest where they would lie after being moved `by` bytes."""
    last = len(base.digests) - 1
    rest = pieces[-1] if pieces else None
    if by % base.block_bytes == 0 or rest is None or rest.copied or last < 0:
        return pieces
    start = last * base.block_bytes + by
    if start < rest.offset or digest_of(start, start + base.length(last)) != base.digests[last]:
        return pieces  # the ends differ: there is more than one cut or insertion
    found = pieces[:-1]
    first = -(-(rest.offset - by) // base.block_bytes)
    at = rest.offset
    for index in range(max(first, 0), last + 1):
        start, length = index * base.block_bytes + by, base.length(index)
        if digest_of(start, start + length) == base.digests[index]:
            _add(found, Piece(False, at, start - at))
            _add(found, Piece(True, index * base.block_bytes, length))
            at = start + length
        yield
    _add(found, Piece(False, at, rest.offset + rest.length - at))
    return found


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Append, or let the last one grow."""
    if piece.length <= 0:
        return
    last = pieces[-1] if pieces else None
    if last is not None and last.copied is piece.copied and last.offset + last.length == piece.offset:
        pieces[-1] = Piece(piece.copied, last.offset, last.length + piece.length)
    else:
        pieces.append(piece)


class Recipe:
    """Pieces as a stream that can be read again from any offset."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._starts: list[int] = []
        self.literal_bytes = sum(piece.length for piece in pieces if not piece.copied)
        position, told = len(MAGIC), hashlib.sha256()
        for piece in pieces:
            self._starts.append(position)
            head = _head(piece)
            told.update(head)
            position += len(head) + (0 if piece.copied else piece.length)
        self.size = position
        self.identity = told.hexdigest()

    def parts(self, start: int) -> Iterator[bytes | Piece]:
        """The stream from `start`: bytes as they are, and literal pieces whose bytes are the content's."""
        if start < len(MAGIC):
            yield MAGIC[start:]
        first = max(bisect_right(self._starts, start) - 1, 0)
        for position, piece in zip(self._starts[first:], self._pieces[first:], strict=True):
            head, skipped = _head(piece), max(start - position, 0)
            if skipped < len(head):
                yield head[skipped:]
            skipped = max(skipped - len(head), 0)
            if not piece.copied and skipped < piece.length:
                yield Piece(False, piece.offset + skipped, piece.length - skipped)


def _head(piece: Piece) -> bytes:
    if piece.copied:
        return _COPY.pack(b"C", piece.offset, piece.length)
    return _LITERAL.pack(b"L", piece.length)
