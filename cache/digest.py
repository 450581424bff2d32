"""SHA-256 of a file on this machine, in slices: a long hash can be given up between two of them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from pathlib import Path

SLICE_BYTES = 64 << 20  # some tenths of a second
CHUNK_BYTES = 1 << 20


async def digest_of(fd: int, start: int = 0, stop: int | None = None) -> tuple[int, str]:
    """(size in bytes, `sha-256:<hex>`) of what `fd` holds of [start, stop), to its end at most; raises OSError."""
    hasher, position = hashlib.sha256(), start

    def add_slice() -> int:
        added = 0
        while added < SLICE_BYTES and (chunk := os.pread(fd, _left(position + added, stop), position + added)):
            hasher.update(chunk)
            added += len(chunk)
        return added

    while added := await trio.to_thread.run_sync(add_slice):
        position += added
    return position - start, f"sha-256:{hasher.hexdigest()}"


def _left(position: int, stop: int | None) -> int:
    return CHUNK_BYTES if stop is None else min(CHUNK_BYTES, stop - position)


def digest_of_file(path: Path) -> str:
    """`sha-256:<hex>` of a whole file, on this thread; raises OSError."""
    with path.open("rb") as file:
        return digest_of_part(file.fileno())


def digest_of_part(fd: int, start: int = 0, stop: int | None = None) -> str:
    """The same of [start, stop) of an open file, to its end at most."""
    hasher, position = hashlib.sha256(), start
    while chunk := os.pread(fd, _left(position, stop), position):
        hasher.update(chunk)
        position += len(chunk)
    return f"sha-256:{hasher.hexdigest()}"
