"""The exported directory: places named by (folder names, name), always reached from the root's descriptor.

Knows no index. Everything here blocks; it runs on the writer's thread or on a worker thread. The hidden
folder of the server at the top is no place of the drive.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from server_stub.beneath import FOLDER_FLAGS, open_beneath
from server_stub.values import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

# ELOOP and EXDEV: a folder on the way became a symlink or a mount point, which no place of the drive lies behind.
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})
REAL_MODE_MASK = 0o777  # setuid and friends are stored, never set on the real file


class Place(msgspec.Struct, frozen=True):
    """Where something lies: the folder's path as names below the root, and the name in it."""

    folder: tuple[str, ...]
    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The whole path."""
        return (*self.folder, self.name)


class Tree:
    """The exported directory, held open for as long as the server runs."""

    def __init__(self, root: Path) -> None:
        self.path = root
        self.root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the root's descriptor back."""
        os.close(self.root_fd)

    def root_stat(self) -> os.stat_result:
        """What the root is now."""
        return os.fstat(self.root_fd)

    def root_names(self) -> list[str]:
        """The names at the top."""
        with os.scandir(self.root_fd) as entries:
            return [entry.name for entry in entries]

    @contextmanager
    def folder(self, names: tuple[str, ...]) -> Iterator[int]:
        """A descriptor of a folder; OSError."""
        fd = open_beneath(self.root_fd, names, FOLDER_FLAGS)
        try:
            yield fd
        finally:
            os.close(fd)

    def open_file(self, names: tuple[str, ...]) -> int:
        """A descriptor for reading a regular file; OSError, also when something else lies there."""
        fd = open_beneath(self.root_fd, names, os.O_RDONLY | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileNotFoundError(names[-1])
        return fd

    def stat(self, place: Place) -> os.stat_result | None:
        """lstat of a place; None when nothing is there."""
        try:
            with self.folder(place.folder) as fd:
                return os.stat(place.name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise

    def evidence(self, place: Place) -> Evidence | None:
        """The evidence of a place; None when nothing is there."""
        found = self.stat(place)
        return None if found is None else Evidence.of(found)

    def set_attributes(self, place: Place, *, mode: int | None, modified_ns: int | None) -> None:
        """chmod and utimensat without following a symlink; a symlink's mode is nobody's."""
        with self.folder(place.folder) as fd:
            found = os.stat(place.name, dir_fd=fd, follow_symlinks=False)
            if mode is not None and not stat.S_ISLNK(found.st_mode):
                self._chmod(fd, place.name, mode & REAL_MODE_MASK)
            if modified_ns is not None:
                times = (found.st_atime_ns, modified_ns)
                os.utime(place.name, ns=times, dir_fd=fd, follow_symlinks=False)

    def _chmod(self, folder_fd: int, name: str, mode: int) -> None:
        """Through /proc/self/fd, because fchmodat cannot refuse symlinks before Linux 6.6."""
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                Path(f"/proc/self/fd/{fd}").chmod(mode)
        finally:
            os.close(fd)

    def sync(self, *folders: tuple[str, ...]) -> None:
        """fsync the folders: their entries survive power loss."""
        for names in dict.fromkeys(folders):
            with self.folder(names) as fd:
                os.fsync(fd)
