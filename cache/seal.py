"""An orderly close leaves a seal beside the catalog: its length and checksum. The next opening breaks it first.

SQLite notices damage only where it breaks a page's form; a flipped bit in a value passes. So what a sealed catalog
holds is believed only if it is, byte for byte, what was closed. The seal is gone, on the disk, before anything is
written; without one the process died, and the catalog is looked at in SQLite's own way.
"""

from __future__ import annotations

import os
import zlib
from enum import Enum, auto
from typing import TYPE_CHECKING

from cache.failpoints import reached
from cache.on_disk import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_WORD = "anchorfs-catalog-1"


class Seal(Enum):
    """What the seal tells of a catalog."""

    WHOLE = auto()
    NONE = auto()  # never closed in order, or the seal itself cannot be read
    BROKEN = auto()  # not what was closed


def put(directory: Path) -> None:
    """Seal `directory`/state.db, which nobody has open; a catalog that still has a log gets none. Raises OSError."""
    reached("closing")
    if _has_log(directory):
        return
    fresh = directory / "seal.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, _words(directory / "state.db").encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.rename(directory / "seal")
    sync_folder(directory)


def look(directory: Path) -> Seal:
    """Compare the seal with the catalog; reads all of it, at the speed of the disk. Raises OSError."""
    try:
        told = (directory / "seal").read_bytes()
    except FileNotFoundError:
        return Seal.NONE
    if not _is_form(told) or _has_log(directory):
        return Seal.NONE
    return Seal.WHOLE if told == _words(directory / "state.db").encode() else Seal.BROKEN


def take_off(directory: Path) -> None:
    """Return when the seal is gone from the disk. Raises OSError."""
    if (directory / "seal").exists():
        (directory / "seal").unlink()
        sync_folder(directory)


def _has_log(directory: Path) -> bool:
    log = directory / "state.db-wal"
    return log.exists() and log.stat().st_size > 0


def _is_form(told: bytes) -> bool:
    """Whether these are a seal's words: they carry their own checksum, so that a damaged seal accuses nobody."""
    words, _, checksum = told.rpartition(b" ")
    return words.startswith(_WORD.encode()) and checksum == b"%08x" % zlib.crc32(words)


def _words(path: Path) -> str:
    size_bytes = checksum = 0
    if path.exists():
        chunk = memoryview(bytearray(_CHUNK_BYTES))  # one for all: the kernel has no fresh pages to clear
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(chunk):
                size_bytes += count
                checksum = zlib.crc32(chunk[:count], checksum)
    words = f"{_WORD} {size_bytes} {checksum:08x}"
    return f"{words} {zlib.crc32(words.encode()):08x}"
