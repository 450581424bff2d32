"""Opening and renaming that cannot leave a folder: openat2(2) and renameat2(2) by ctypes.

No symlink is followed anywhere in a path and no other file system is entered, whatever happens to the tree
meanwhile. Kernels without openat2 get a walk component by component with O_NOFOLLOW.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SYS_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE: Final = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH (linux/openat2.h)
_RENAME_NOREPLACE: Final = 1
_PATH_MAX_BYTES: Final = 4000  # below PATH_MAX; longer chains are opened in several steps

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder_fd: int, names: Sequence[str], flags: int) -> int:
    """A new descriptor for the path below the folder; OSError. No names: the folder itself, opened again."""
    parts = list(_chunks(names)) or ["."]
    current = folder_fd
    try:
        for part in parts[:-1]:
            following = _open(current, part, FOLDER_FLAGS)
            if current != folder_fd:
                os.close(current)
            current = following
        return _open(current, parts[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    finally:
        if current != folder_fd:
            os.close(current)


def rename_new(src_fd: int, src: str, dst_fd: int, dst: str) -> None:
    """Rename that fails with EEXIST when the target exists."""
    done = _libc.renameat2(src_fd, os.fsencode(src), dst_fd, os.fsencode(dst), _RENAME_NOREPLACE)
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(code, os.strerror(code), dst)
    _rename_checked(src_fd, src, dst_fd, dst)


def sync_file_system(fd: int) -> None:
    """Everything written to this file system is durable when it returns (syncfs(2)); OSError."""
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _rename_checked(src_fd: int, src: str, dst_fd: int, dst: str) -> None:
    """For file systems that cannot refuse by themselves; others must then not write at the same moment."""
    try:
        os.stat(dst, dir_fd=dst_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(src, dst, src_dir_fd=src_fd, dst_dir_fd=dst_fd)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), dst)


def _chunks(names: Sequence[str]) -> Iterator[str]:
    part: list[str] = []
    size_bytes = 0
    for name in names:
        length = len(os.fsencode(name)) + 1
        if part and size_bytes + length > _PATH_MAX_BYTES:
            yield "/".join(part)
            part, size_bytes = [], 0
        part.append(name)
        size_bytes += length
    if part:
        yield "/".join(part)


def _open(folder_fd: int, path: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE)
    encoded = os.fsencode(path)
    while True:
        fd = _libc.syscall(_SYS_OPENAT2, folder_fd, encoded, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        if code == errno.ENOSYS:
            return _walk(folder_fd, path.split("/"), flags)
        if code not in {errno.EAGAIN, errno.EINTR}:  # EAGAIN: a rename raced with the resolution
            raise OSError(code, os.strerror(code), path)


def _walk(folder_fd: int, names: list[str], flags: int) -> int:
    current = folder_fd
    try:
        for name in names[:-1]:
            following = os.open(name, FOLDER_FLAGS, dir_fd=current)
            if current != folder_fd:
                os.close(current)
            current = following
        return os.open(names[-1], flags, dir_fd=current)
    finally:
        if current != folder_fd:
            os.close(current)
