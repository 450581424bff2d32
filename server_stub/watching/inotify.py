"""inotify(7) on every folder of the tree, by ctypes: for a server that is not root.

A folder is watched before it is listed, so what appears in it meanwhile is told by one or the other. Events do not say
who caused them: what this process does itself is looked at too, and found to be known. Each folder costs about 1 KiB of
kernel memory and one of fs.inotify.max_user_watches.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from typing import TYPE_CHECKING, Final

from server_stub.beneath import FOLDER_FLAGS, open_beneath
from server_stub.names import HIDDEN_FOLDER
from server_stub.watching.notices import Batch, FolderKey, FolderNames, Notice, Pace, Rename, WatchUnavailable
from server_stub.watching.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/inotify.h
_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
_CREATE, _DELETE, _UNMOUNT, _Q_OVERFLOW, _IGNORED = 0x100, 0x200, 0x2000, 0x4000, 0x8000
_ONLYDIR, _EXCL_UNLINK, _ISDIR = 0x01000000, 0x04000000, 0x40000000
_MASK: Final = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLYDIR | _EXCL_UNLINK

_EVENT: Final = struct.Struct("=iIII")  # wd, mask, cookie, len
_READ_BYTES: Final = 256 << 10
_PAIR_WITHIN_S: Final = 1.0  # the second half of a rename follows the first at once, when it follows
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.ESTALE})

_libc = ctypes.CDLL(None, use_errno=True)


class InotifySource:
    """`notices.Source` without privileges. `hidden` are (st_dev, st_ino) of folders that are no part of the drive."""

    kind = "inotify"

    def __init__(self, root_fd: int, hidden: frozenset[tuple[int, int]]) -> None:
        self._root_fd = root_fd
        self._hidden = hidden
        self._fd = -1
        self._root = -1
        self._watches = Watches()
        self._halves: dict[int, tuple[float, int, str, int | None]] = {}  # cookie → when, folder, name, its watch

    def __len__(self) -> int:
        return len(self._watches)

    def fileno(self) -> int:
        """The instance's descriptor."""
        return self._fd

    def start(self) -> None:
        """Watch every folder. WatchUnavailable, also when the user may not watch so many."""
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise WatchUnavailable(f"inotify_init1: {os.strerror(ctypes.get_errno())}")
        try:
            self._root = self._add(self._root_fd)
            self._watches.set_root(self._root)
            self._watch_below((), Batch())
        except OSError as error:
            self.close()
            too_many = error.errno == errno.ENOSPC
            reason = "more folders than fs.inotify.max_user_watches" if too_many else str(error.strerror)
            raise WatchUnavailable(f"inotify_add_watch: {reason}") from error

    def close(self) -> None:
        """Give the instance back, with all its watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self) -> Batch:
        """Up to 256 KiB of events; new folders are watched on the way."""
        batch = Batch()
        try:
            buffer = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            buffer = b""
        for watch, mask, cookie, name in _parse(buffer):
            batch.events += 1
            self._take(watch, mask, cookie, name, batch)
        self._forget_halves()
        if batch.is_overflow:
            self._watch_below((), batch)  # folders that appeared while nothing was told
        return batch

    def names(self, key: FolderKey) -> FolderNames | None:
        """As far as the events that were read tell."""
        assert isinstance(key, int)  # noqa: S101 - keys of this source are watch descriptors
        return self._watches.names(key)

    def _take(self, watch: int, mask: int, cookie: int, name: str, batch: Batch) -> None:
        if mask & _Q_OVERFLOW:
            batch.is_overflow = True
        elif mask & (_IGNORED | _UNMOUNT):
            self._take_end(watch, mask, batch)
        elif watch in self._watches and not self._is_hidden(watch, name):
            batch.notices.append(Notice(watch, name, _pace(mask)) if name else Notice(watch, "."))
            if mask & (_MOVED_FROM | _MOVED_TO):
                self._take_half(watch, mask, cookie, name, batch)
            elif mask & _CREATE and mask & _ISDIR:
                self._take_folder(watch, name, batch)

    def _is_hidden(self, watch: int, name: str) -> bool:
        return watch == self._root and name == HIDDEN_FOLDER

    def _take_end(self, watch: int, mask: int, batch: Batch) -> None:
        if watch == self._root:
            batch.is_gone = "the disk was unmounted" if mask & _UNMOUNT else "the exported folder is gone"
        elif mask & _IGNORED:
            self._watches.drop(watch)

    def _take_half(self, watch: int, mask: int, cookie: int, name: str, batch: Batch) -> None:
        if mask & _MOVED_FROM:
            moved = self._watches.child(watch, name) if mask & _ISDIR else None
            if moved is not None:
                self._watches.take_out(moved)
            self._halves[cookie] = (time.monotonic(), watch, name, moved)
            return
        _, source, source_name, moved = self._halves.pop(cookie, (0.0, None, "", None))
        if source is not None:
            batch.renames.append(Rename(source, source_name, watch, name))
        if mask & _ISDIR:
            batch.folders_moved = True
            if moved is None:
                self._take_folder(watch, name, batch)
            else:
                self._watches.place(moved, watch, name)

    def _take_folder(self, watch: int, name: str, batch: Batch) -> None:
        """A folder that was not here before: watched, then listed, with all below it."""
        parent = self._watches.names(watch)
        if parent is None:
            return
        try:
            self._watch_below((*parent, name), batch)
        except OSError as error:
            batch.is_gone = f"inotify_add_watch: {error.strerror}"

    def _watch_below(self, names: FolderNames, batch: Batch) -> None:
        """Watch a folder and all below it; what lies in those that were not watched is in doubt. OSError."""
        pending = [names]
        while pending:
            here = pending.pop()
            try:
                fd = open_beneath(self._root_fd, here, FOLDER_FLAGS)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                continue
            try:
                pending.extend((*here, name) for name in self._watch(fd, here, batch))
            finally:
                os.close(fd)

    def _watch(self, fd: int, names: FolderNames, batch: Batch) -> list[str]:
        """One folder, after which its subfolders are told."""
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) in self._hidden:
            return []
        if names:
            parent = self._parent_of(names)
            if parent is None:
                return []
            watch = self._add(fd)
            if watch not in self._watches:
                batch.notices.append(Notice(watch, None))
            self._watches.place(watch, parent, names[-1])
        with os.scandir(fd) as entries:
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return folders if names else [name for name in folders if name != HIDDEN_FOLDER]

    def _parent_of(self, names: FolderNames) -> int | None:
        at: int | None = self._root
        for name in names[:-1]:
            at = None if at is None else self._watches.child(at, name)
        return at

    def _add(self, fd: int) -> int:
        watch = _libc.inotify_add_watch(self._fd, f"/proc/self/fd/{fd}".encode(), _MASK)
        if watch < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(watch)

    def _forget_halves(self) -> None:
        """Folders that were moved out of the tree are watched no longer."""
        now_s = time.monotonic()
        for cookie in [each for each, half in self._halves.items() if now_s - half[0] > _PAIR_WITHIN_S]:
            moved = self._halves.pop(cookie)[3]
            for watch in () if moved is None else list(self._watches.below(moved)):
                _libc.inotify_rm_watch(self._fd, watch)  # its IN_IGNORED drops it


def _parse(buffer: bytes) -> Iterator[tuple[int, int, int, str]]:
    offset = 0
    while offset < len(buffer):
        watch, mask, cookie, length = _EVENT.unpack_from(buffer, offset)
        start = offset + _EVENT.size
        yield watch, mask, cookie, os.fsdecode(buffer[start : start + length].partition(b"\0")[0])
        offset = start + length


def _pace(mask: int) -> Pace:
    """One event tells one thing here."""
    if mask & _MODIFY:
        return Pace.WRITING
    return Pace.OPENING if mask & _CREATE and not mask & _ISDIR else Pace.NOW
