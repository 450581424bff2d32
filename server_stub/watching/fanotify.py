"""fanotify(7) on the whole file system of the root, by ctypes: needs root (CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH).

Folders are named by file handles, which stay with them through renames and are never used again. What this process does
itself is left out by its pid, but for the paths that it changes. What others do elsewhere on the file system is dropped
where the path is made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, Final

from server_stub.watching.notices import Batch, FolderKey, FolderNames, Notice, Pace, Rename, WatchUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/fanotify.h
_CLOEXEC, _NONBLOCK = 0x1, 0x2
_REPORT_FID, _REPORT_DIR_FID, _REPORT_NAME = 0x200, 0x400, 0x800
_MARK_ADD, _MARK_FILESYSTEM = 0x1, 0x100
MODIFY, ATTRIB, CLOSE_WRITE, CREATE, DELETE = 0x2, 0x4, 0x8, 0x100, 0x200
RENAME, ONDIR, Q_OVERFLOW = 0x10000000, 0x40000000, 0x4000
_FID, _DFID_NAME, _DFID, _OLD_DFID_NAME, _NEW_DFID_NAME = 1, 2, 3, 10, 12
_AT_FDCWD: Final = -100

_METADATA: Final = struct.Struct("=IBBHQii")  # event_len, vers, reserved, metadata_len, mask, fd, pid
_INFO: Final = struct.Struct("=BBHQII")  # info_type, pad, len, fsid, handle_bytes, handle_type
_HANDLE_AT: Final = 12  # from an info's begin to its struct file_handle
_VERSION: Final = 3
_READ_BYTES: Final = 256 << 10
_PATHS_MAX: Final = 16_384  # folders whose path is remembered, also of those elsewhere on the file system
_DELETED: Final = " (deleted)"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


class Event:
    """One event: what happened, who did it, and the entries by type of information."""

    __slots__ = ("entries", "mask", "pid")

    def __init__(self, mask: int, pid: int, entries: dict[int, tuple[bytes, str]]) -> None:
        self.mask = mask
        self.pid = pid
        self.entries = entries


def parse(buffer: bytes) -> Iterator[Event]:
    """The events of one read. OSError for a version of the interface that this is not written for."""
    offset = 0
    while offset < len(buffer):
        length, version, _, begin, mask, _fd, pid = _METADATA.unpack_from(buffer, offset)
        if version != _VERSION:
            raise OSError(errno.EPROTO, f"fanotify speaks version {version}")
        yield Event(mask, pid, _entries(buffer, offset + begin, offset + length))
        offset += length


def _entries(buffer: bytes, start: int, stop: int) -> dict[int, tuple[bytes, str]]:
    """Handle (a struct file_handle) and name by information type; unknown types stay unread."""
    found: dict[int, tuple[bytes, str]] = {}
    while start < stop:
        kind, _, length, _fsid, handle_bytes, _type = _INFO.unpack_from(buffer, start)
        handle_end = start + _HANDLE_AT + 8 + handle_bytes
        name = buffer[handle_end : start + length].partition(b"\0")[0]
        found[kind] = (buffer[start + _HANDLE_AT : handle_end], os.fsdecode(name))
        start += length
    return found


class FanotifySource:
    """`notices.Source` for root. `root_fd` is the exported folder, held open by its owner."""

    kind = "fanotify"

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._fd = -1
        self._own_pid = os.getpid()
        self._paths: dict[bytes, FolderNames | None] = {}

    def fileno(self) -> int:
        """The group's descriptor."""
        return self._fd

    def start(self) -> None:
        """Make the group and mark the file system. WatchUnavailable."""
        flags = _CLOEXEC | _NONBLOCK | _REPORT_FID | _REPORT_DIR_FID | _REPORT_NAME
        self._fd = _libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC)
        if self._fd < 0:
            raise WatchUnavailable(_last_error("fanotify_init"))
        mask = MODIFY | ATTRIB | CLOSE_WRITE | CREATE | DELETE | RENAME | ONDIR
        path = f"/proc/self/fd/{self._root_fd}".encode()
        if _libc.fanotify_mark(self._fd, _MARK_ADD | _MARK_FILESYSTEM, mask, _AT_FDCWD, path) != 0:
            reason = _last_error("fanotify_mark")
            self.close()
            raise WatchUnavailable(reason)
        try:
            os.close(self._opened(_own_handle(self._root_fd)))
        except OSError as error:
            self.close()
            raise WatchUnavailable(f"open_by_handle_at: {error.strerror}") from error

    def close(self) -> None:
        """Give the group back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self) -> Batch:
        """Up to 256 KiB of events."""
        batch = Batch()
        try:
            buffer = os.read(self.fileno(), _READ_BYTES)
        except BlockingIOError:
            return batch
        for event in parse(buffer):
            batch.events += 1
            if event.mask & Q_OVERFLOW:
                batch.is_overflow = True
                continue
            if event.mask & RENAME and event.mask & ONDIR:  # whoever did it: paths below are others now
                self._paths.clear()
                batch.folders_moved = True
            if event.pid != self._own_pid:
                self._take(event, batch)
        return batch

    def _take(self, event: Event, batch: Batch) -> None:
        old, new = event.entries.get(_OLD_DFID_NAME), event.entries.get(_NEW_DFID_NAME)
        here = event.entries.get(_DFID_NAME)
        for entry in (old, new, here):
            if entry is not None and self.names(entry[0]) is not None:
                batch.notices.append(Notice(*entry, _pace(event.mask)))
        if old is not None and new is not None and self.names(old[0]) is not None and self.names(new[0]) is not None:
            batch.renames.append(Rename(*old, *new))
        alone = event.entries.get(_FID)
        if alone is not None and here is None and not event.mask & RENAME:
            self._take_nameless(alone[0], batch)

    def _take_nameless(self, handle: bytes, batch: Batch) -> None:
        """Changed through a file handle, as NFS servers do when they do not know the name."""
        try:
            fd = self._opened(handle)
        except OSError:
            return  # gone already, and with it the news: its deletion has an event of its own
        try:
            found = os.fstat(fd)
            if found.st_nlink and not stat.S_ISDIR(found.st_mode):
                batch.inodes.add(found.st_ino)
        finally:
            os.close(fd)

    def names(self, key: FolderKey) -> FolderNames | None:
        """By the handle; remembered until a folder is renamed anywhere on the file system."""
        assert isinstance(key, bytes)  # noqa: S101 - keys of this source are handles
        if key not in self._paths:
            if len(self._paths) >= _PATHS_MAX:
                self._paths.clear()
            self._paths[key] = self._path(key)
        return self._paths[key]

    def _path(self, handle: bytes) -> FolderNames | None:
        try:
            fd = self._opened(handle)
        except OSError:
            return None
        try:
            path = _path_of(fd)
            if path.endswith(_DELETED) and not os.fstat(fd).st_nlink:
                return None
        except FileNotFoundError:  # a folder on the way was removed meanwhile
            return None
        finally:
            os.close(fd)
        root = _path_of(self._root_fd).rstrip("/")
        if path == (root or "/"):
            return ()
        return tuple(path[len(root) + 1 :].split("/")) if path.startswith(f"{root}/") else None

    def _opened(self, handle: bytes) -> int:
        buffer = ctypes.create_string_buffer(handle, len(handle))
        fd = _libc.open_by_handle_at(self._root_fd, buffer, os.O_PATH | os.O_CLOEXEC)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(fd)


def _pace(mask: int) -> Pace:
    """Of everything that was merged into one event, what can be looked at first."""
    if mask & (CLOSE_WRITE | ATTRIB | DELETE | RENAME | ONDIR):
        return Pace.NOW
    return Pace.OPENING if mask & CREATE else Pace.WRITING


def _own_handle(fd: int) -> bytes:
    """The root's struct file_handle. OSError."""
    room = 128  # MAX_HANDLE_SZ
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", room, 0), 8 + room)
    mount_id = ctypes.c_int()
    at_empty_path = 0x1000
    if _libc.name_to_handle_at(fd, b"", buffer, ctypes.byref(mount_id), at_empty_path) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return bytes(buffer)[: 8 + struct.unpack_from("=I", buffer)[0]]


def _path_of(fd: int) -> str:
    """The path of an open folder. FileNotFoundError when it vanishes meanwhile."""
    names: list[str] = []
    at = os.dup(fd)
    try:
        while True:
            try:
                path = os.readlink(f"/proc/self/fd/{at}")  # noqa: PTH115 - a Path would change what the kernel tells
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:  # the kernel writes out 4,096 bytes at most
                    raise
            else:
                return "/".join((path.rstrip("/"), *reversed(names))) if names else path
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            try:
                names.append(_name_in(above, os.fstat(at).st_ino))
            finally:
                os.close(at)
                at = above
    finally:
        os.close(at)


def _name_in(folder_fd: int, ino: int) -> str:
    with os.scandir(folder_fd) as entries:
        for entry in entries:
            if entry.inode() == ino:
                return entry.name
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _last_error(call: str) -> str:
    return f"{call}: {os.strerror(ctypes.get_errno())}"
