"""Deltas: a content told as what to copy from a base, and what to add. Blocking; runs on worker threads.

    delta   = "AFDELTA1" *piece
    piece   = "C" offset length          that range of the base
            / "L" length bytes           these bytes
    offset, length = unsigned, 64 bits, big-endian; a length is at least 1

The pieces stand in the order of the content. Everything is checked before it is done: a range outside of the base, more
bytes than announced, or more pieces than PIECES_MAX end it, so the work is bounded by what the upload announced.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from server_stub import holes

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"AFDELTA1"
PIECES_MAX: Final = 1 << 18  # twice the most blocks of a content
_COPY: Final = struct.Struct(">QQ")
_LENGTH: Final = struct.Struct(">Q")
_STEP_BYTES: Final = 1 << 20
_KERNEL_STEP_BYTES: Final = 1 << 30
_NO_KERNEL_COPY: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EBADF})


class BadDelta(Exception):
    """These bytes are no delta over that base."""


class Piece(NamedTuple):
    """[offset, offset + length) of the base, or of the delta itself."""

    is_copy: bool
    offset: int
    length: int


def pieces(delta_fd: int, length: int, *, base_bytes: int, size: int) -> Iterator[Piece]:
    """The pieces of a delta of `length` bytes, checked one by one; together they are `size` bytes. BadDelta."""
    if _read(delta_fd, len(MAGIC), 0, length) != MAGIC:
        raise BadDelta("it does not begin as a delta")
    position, made, count = len(MAGIC), 0, 0
    while position < length:
        piece, position = _piece(delta_fd, position, length)
        made, count = made + piece.length, count + 1
        if piece.length == 0 or made > size or count > PIECES_MAX:
            raise BadDelta("an empty piece, more bytes than announced, or too many pieces")
        if piece.offset + piece.length > (base_bytes if piece.is_copy else length):
            raise BadDelta("a range that is not there")
        yield piece
    if made != size:
        raise BadDelta("fewer bytes than announced")


def _piece(fd: int, position: int, end: int) -> tuple[Piece, int]:
    """The piece that begins at `position`, and where the next one does."""
    kind, position = _read(fd, 1, position, end), position + 1
    if kind == b"C":
        offset, length = _COPY.unpack(_read(fd, _COPY.size, position, end))
        return Piece(True, offset, length), position + _COPY.size
    if kind == b"L":
        (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size, position, end))
        position += _LENGTH.size
        return Piece(False, position, length), position + length
    raise BadDelta("a piece of an unknown kind")


def _read(fd: int, count: int, position: int, end: int) -> bytes:
    data = os.pread(fd, max(min(count, end - position), 0), position)
    if len(data) != count:
        raise BadDelta("it ends inside of a piece")
    return data


def apply(delta_fd: int, length: int, base_fd: int, target_fd: int, size: int) -> None:
    """Write the content that a delta tells to an empty file. BadDelta, OSError."""
    base_bytes, at = os.fstat(base_fd).st_size, 0
    for piece in pieces(delta_fd, length, base_bytes=base_bytes, size=size):
        _copy(base_fd if piece.is_copy else delta_fd, piece.offset, target_fd, at, piece.length)
        at += piece.length
    os.ftruncate(target_fd, at)  # it may end with a hole


def _copy(source: int, start: int, target: int, at: int, length: int) -> None:
    """Blocks are shared where the file system can, holes stay holes."""
    if os.fstat(source).st_size < start + length:
        raise BadDelta("the base became shorter")
    for begin, stop in holes.stretches(source, start, start + length):
        position = begin
        while position < stop:
            there = at + position - start
            count = _kernel_copy(source, position, target, there, min(stop - position, _KERNEL_STEP_BYTES))
            position += count or _plain_copy(source, position, target, there, min(stop - position, _STEP_BYTES))


def _kernel_copy(source: int, start: int, target: int, at: int, count: int) -> int:
    """Bytes copied; 0 where the kernel cannot, which the plain copy decides."""
    try:
        return os.copy_file_range(source, target, count, start, at)
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
        return 0


def _plain_copy(source: int, start: int, target: int, at: int, count: int) -> int:
    data = os.pread(source, count, start)
    if not data:
        raise BadDelta("the base became shorter")
    return os.pwrite(target, data, at)
