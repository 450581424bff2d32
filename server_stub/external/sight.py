"""Looking at one name on disk, and marking: statx(2) for the birth time, an extended attribute for the item_id.

The mark is `user.anchorfs.item`; it is never told to clients. A file system or a file that takes no mark, and a
symlink, which cannot carry one, is known by inode and birth time alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from server_stub.external.identity import Seen, same_file
from server_stub.instants import NANOS, clamped
from server_stub.values import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.values import Item

MARK: Final = "user.anchorfs.item"
_AN_ID: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # whoever owns a file can write a mark
KINDS: Final = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.SYMLINK}

_AT_SYMLINK_NOFOLLOW: Final = 0x100
_STATX_CTIME: Final = 0x80
_STATX_BTIME: Final = 0x800
_STATX_SIZE: Final = 256  # bytes of struct statx (linux/stat.h)
_MASK: Final = struct.Struct("=I")  # at 0
_TIMES: Final = struct.Struct("=qI4xqI")  # birth, then ctime: seconds, nanoseconds
_TIMES_AT: Final = 80

_libc = ctypes.CDLL(None, use_errno=True)


def moments(folder_fd: int, name: str) -> tuple[int, int]:
    """(ctime, time of birth) in nanoseconds since the epoch; 0 when nothing is there or the file system does not
    tell.
    """
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    if _libc.statx(folder_fd, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, _STATX_CTIME | _STATX_BTIME, buffer) != 0:
        return 0, 0
    (told,) = _MASK.unpack_from(buffer)
    birth_s, birth_rest, ctime_s, ctime_rest = _TIMES.unpack_from(buffer, _TIMES_AT)
    birth_ns = clamped(birth_s * NANOS + birth_rest) if told & _STATX_BTIME else 0
    return ctime_s * NANOS + ctime_rest, birth_ns


class Marks:
    """Extended attributes of names in open folders; `Unmarked` stands in where there are none."""

    def read(self, folder_fd: int, name: str) -> str | None:
        """The item_id that the file carries; None when it carries nothing that could be one."""
        try:
            value = os.getxattr(_path(folder_fd, name), MARK, follow_symlinks=False)
        except OSError:
            return None
        return value.decode() if _AN_ID.fullmatch(value) else None

    def write(self, folder_fd: int, name: str, item_id: str, flags: int = 0) -> bool:
        """Mark the file; False where that cannot be, and with XATTR_CREATE where a mark is already."""
        try:
            os.setxattr(_path(folder_fd, name), MARK, item_id.encode(), flags, follow_symlinks=False)
        except OSError:
            return False
        return True


class Unmarked(Marks):
    """A file system without extended attributes."""

    def read(self, folder_fd: int, name: str) -> str | None:  # noqa: ARG002
        """Nothing is marked."""
        return None

    def write(self, folder_fd: int, name: str, item_id: str, flags: int = 0) -> bool:  # noqa: ARG002
        """Nothing can be."""
        return False


def _path(folder_fd: int, name: str) -> str:
    return f"/proc/self/fd/{folder_fd}/{name}"


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a folder on disk."""

    name: str
    kind: Kind
    stat: os.stat_result
    target: str | None = None

    @property
    def evidence(self) -> Evidence:
        """What lstat said."""
        return Evidence.of(self.stat)


class Eyes:
    """How names are looked at and marked; `moments` stands in for file systems that tell less."""

    def __init__(self, marks: Marks | None = None, moments: Callable[[int, str], tuple[int, int]] = moments) -> None:
        self._marks = marks or Marks()
        self.moments = moments

    def birth_ns(self, folder_fd: int, name: str) -> int:
        """When an entry was made; 0 when nobody tells."""
        return self.moments(folder_fd, name)[1]

    def mark_new(self, folder_fd: int, name: str, item_id: str) -> bool:
        """Mark an entry that carries no mark yet; False when it does, or cannot be marked."""
        return self._marks.write(folder_fd, name, item_id, os.XATTR_CREATE)

    def identity(self, folder_fd: int, found: Found) -> Seen:
        """What identifies an entry: two or three calls, so only for what differs."""
        mark = None if found.kind is Kind.SYMLINK else self._marks.read(folder_fd, found.name)
        return Seen(found.kind, found.stat.st_ino, self.birth_ns(folder_fd, found.name), mark)

    def is_folder_of(self, item: Item, fd: int) -> bool:
        """Whether an open folder is the item's, and not one that was made since and got its inode number."""
        ino = os.fstat(fd).st_ino
        if item.evidence is None or item.evidence.ino != ino:
            return False
        birth_ns = self.birth_ns(fd, ".")
        mark = None if birth_ns and item.trace.birth_ns else self._marks.read(fd, ".")
        return same_file(item, Seen(Kind.FOLDER, ino, birth_ns, mark))

    def mark(self, folder_fd: int, name: str) -> str | None:
        """The item_id that an entry carries."""
        return self._marks.read(folder_fd, name)

    def write(self, folder_fd: int, name: str, item_id: str) -> bool:
        """Mark an entry, which changes its ctime; False where that cannot be."""
        return self._marks.write(folder_fd, name, item_id)


class Covered(Exception):
    """Something that is no part of the drive lies over this name: a mount point, the server's own room."""


class Sight:
    """Looks at the entries of one open folder; `hidden` are (st_dev, st_ino) of what is no part of the drive."""

    def __init__(self, folder_fd: int, hidden: frozenset[tuple[int, int]]) -> None:
        self.fd = folder_fd
        self.stat = os.fstat(folder_fd)
        self._hidden = hidden

    def look_at(self, name: str) -> Found | None:
        """The entry; None when there is none, or none that the drive can hold (a socket, a target that is no
        text). Covered, OSError.
        """
        try:
            seen = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            target = os.readlink(name, dir_fd=self.fd) if stat.S_ISLNK(seen.st_mode) else None
        except FileNotFoundError:
            return None
        if seen.st_dev != self.stat.st_dev or (seen.st_dev, seen.st_ino) in self._hidden:
            raise Covered(name)
        kind = KINDS.get(stat.S_IFMT(seen.st_mode))
        if kind is None or (target is not None and not _is_text(target)):
            return None
        return Found(name, kind, seen, target)


def _is_text(target: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return bool(target.encode()) or True
    return False
