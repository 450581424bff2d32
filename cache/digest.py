"""SHA-256 of a file on this machine, in slices: a long hash can be given up between two of them."""

from __future__ import annotations

import hashlib
import os

import trio

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
