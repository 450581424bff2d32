"""Files that hold many small contents each: `root/<bundle_id>`, written once, never changed, read by place.

To make a file costs a file system more than the bytes of a small one: 4 KiB are written in 11 µs, a file for them is
made in 50 µs on an idle ext4, and in 1.5 ms where many files were deleted a moment ago. So small contents that arrive
together share a file. Only bytes that the remote has are in one: what is to be changed gets a blob of its own first.

Where a content lies stands in its row. A bundle is numbered as the first content in it; it goes with the last row that
names it, and until then the room of those that went is given back. Everything here is synchronous.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from cache.holes import make_hole
from cache.model import Bundled, BundleId
from cache.on_disk import sync_file, sync_folder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BUNDLED_MAX_BYTES = 64 << 10  # of one content: larger ones are worth a file
_GRAIN_BYTES = 4096  # where contents begin, so that holes for them are whole pages, and whole blocks of most disks


class Bundles:
    """The bundles below `root`, which is created when it is missing. An OSError passes as it is."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._text = os.fspath(root)
        root.mkdir(mode=0o700, exist_ok=True)

    def write(self, bundle_id: BundleId, contents: Sequence[bytes]) -> None:
        """A new bundle of these, in the places that `places` tells. One that a transaction left that rolled back is
        overwritten: no row names it."""
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._name(bundle_id), flags, 0o600)
        try:
            data = memoryview(b"".join(each + bytes(-len(each) % _GRAIN_BYTES) for each in contents))
            while data:
                data = data[os.write(fd, data) :]
        except OSError:  # a full disk needs its room
            self.delete(bundle_id)
            raise
        finally:
            os.close(fd)

    def open(self, bundle_id: BundleId) -> int:
        """A descriptor for reading; the caller closes it. Raises FileNotFoundError."""
        return os.open(self._name(bundle_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def read(self, place: Bundled, size: int) -> bytes:
        """All of one content."""
        fd = self.open(place.bundle_id)
        try:
            return os.pread(fd, size, place.start)
        finally:
            os.close(fd)

    def delete(self, bundle_id: BundleId) -> None:
        """Remove the file; descriptors that are open go on working. Nothing happens when it is not there."""
        with suppress(FileNotFoundError):
            os.unlink(self._name(bundle_id))  # noqa: PTH108  # thousands of them: a path object costs as much again

    def give_back(self, place: Bundled, size: int) -> None:
        """Give the room of one content back, where the disk can make holes."""
        with suppress(OSError):
            fd = os.open(self._name(place.bundle_id), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                make_hole(fd, place.start, place.start + _padded(size))
            finally:
                os.close(fd)

    def sync(self, bundle_id: BundleId) -> None:
        """Return when the bytes are on the disk; `sync_names` is for the names."""
        sync_file(self._root / str(bundle_id))

    def sync_names(self) -> None:
        """Return when the names are on the disk."""
        sync_folder(self._root)

    def length(self, bundle_id: BundleId) -> int:
        """Bytes from its beginning to its end. Raises FileNotFoundError."""
        return os.stat(self._name(bundle_id)).st_size  # noqa: PTH116

    def ids(self) -> Iterator[BundleId]:
        """Every bundle, in no order. Files of other names are passed over."""
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.isascii() and entry.name.isdecimal():
                    yield BundleId(int(entry.name))

    def _name(self, bundle_id: BundleId) -> str:
        return f"{self._text}/{bundle_id}"


def places(bundle_id: BundleId, sizes: Sequence[int]) -> Iterator[Bundled]:
    """Where contents of these sizes lie in a bundle."""
    start = 0
    for size in sizes:
        yield Bundled(bundle_id=bundle_id, start=start)
        start += _padded(size)


def is_named(connection: sqlite3.Connection, bundle_id: BundleId) -> bool:
    """Whether any content lies in a bundle."""
    row = connection.execute("SELECT 1 FROM content WHERE bundle = ? LIMIT 1", (bundle_id,)).fetchone()
    return row is not None


def _padded(size: int) -> int:
    return size + -size % _GRAIN_BYTES
