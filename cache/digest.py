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


async def digest_of(fd: int) -> tuple[int, str]:
    """(size in bytes, `sha-256:<hex>`) of what `fd` holds from its beginning to its end; raises OSError."""
    hasher, position = hashlib.sha256(), 0

    def add_slice() -> int:
        added = 0
        while added < SLICE_BYTES and (chunk := os.pread(fd, CHUNK_BYTES, position + added)):
            hasher.update(chunk)
            added += len(chunk)
        return added

    while added := await trio.to_thread.run_sync(add_slice):
        position += added
    return position, f"sha-256:{hasher.hexdigest()}"


def digest_of_file(path: Path) -> str:
    """`sha-256:<hex>` of a whole file, on this thread; raises OSError."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return f"sha-256:{hasher.hexdigest()}"
