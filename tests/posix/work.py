"""What a case of the table does to a file system, and how it tells what came of it.

A case works with relative paths in a folder of its own and with calls by name; each call adds one line: the call, its
arguments, and its result or errno. Two file systems that behave alike give the same lines. Nothing that may differ
between two runs on one file system is told: no inode numbers, no moments; of times only which of them moved on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY, OTHER, THIRD = 65_534, 65_533, 65_532  # ids that own nothing else
TYPES = ("file", "folder", "symlink", "fifo", "socket", "char", "block")
SPECIAL = ("fifo", "socket", "char", "block")
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_AT_FDCWD = -100
_COARSE = 5  # CLOCK_REALTIME_COARSE, which the time module does not name
_FORMATS = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "char": stat.S_IFCHR, "block": stat.S_IFBLK}
_DEVICE = os.makedev(1, 3)
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def checked(result: int) -> int:
    """The result of a C call, or its errno as OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def rename(old: str, new: str, flags: int) -> None:
    """renameat2(2)."""
    checked(_libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags))


def set_times(path: str, atime: tuple[int, int], mtime: tuple[int, int], *, follow: bool = True) -> None:
    """utimensat(2) with (seconds, nanoseconds); nanoseconds may be UTIME_NOW or UTIME_OMIT."""
    both = (_Timespec * 2)(_Timespec(*atime), _Timespec(*mtime))
    checked(_libc.utimensat(_AT_FDCWD, os.fsencode(path), both, 0 if follow else 0x100))


def synchronise(descriptor: int) -> None:
    """syncfs(2)."""
    checked(_libc.syncfs(descriptor))


def make(kind: str, path: str, mode: int = 0o644) -> None:
    """Something of each type that a folder can hold."""
    if kind == "file":
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    elif kind == "folder":
        os.mkdir(path, mode)
    elif kind == "symlink":
        os.symlink("nowhere", path)
    else:
        os.mknod(path, _FORMATS[kind] | mode, _DEVICE if kind in {"char", "block"} else 0)


def remove(kind: str, path: str) -> None:
    """unlink or rmdir."""
    (os.rmdir if kind == "folder" else os.unlink)(path)


def described(told: os.stat_result) -> str:
    """What stat tells that two file systems can agree on."""
    size = "" if stat.S_ISDIR(told.st_mode) else f" size {told.st_size}"
    device = f" device {told.st_rdev}" if stat.S_ISCHR(told.st_mode) or stat.S_ISBLK(told.st_mode) else ""
    return f"{stat.filemode(told.st_mode)} links {told.st_nlink} {told.st_uid}:{told.st_gid}{size}{device}"


class Work:
    """One case, under way in the current folder."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, what: str, fact: object) -> None:
        """A fact that both file systems should agree on."""
        self.lines.append(f"{what}: {fact}")

    def do(self, what: str, call: Callable[[], object]) -> object:
        """Call, and tell the result or the errno; None after an error."""
        try:
            result = call()
        except OSError as error:
            self.tell(what, errno.errorcode.get(error.errno or 0, str(error)))
            return None
        self.tell(what, "done" if result is None else result)
        return result

    def stat(self, *paths: str) -> None:
        """Tell what lstat says."""
        for path in paths:
            self.do(f"stat {_short(path)}", lambda path=path: described(os.lstat(path)))

    def fstat(self, descriptor: int, what: str = "fstat") -> None:
        """Tell what fstat says."""
        self.do(what, lambda: described(os.fstat(descriptor)))

    @contextmanager
    def moved(self, what: str, *paths: str | int, atime: bool = False) -> Iterator[None]:
        """Tell which times of these paths (or descriptors) moved on during the block."""
        before = [_times(path) for path in paths]
        _tick(before)
        yield
        for path, old in zip(paths, before, strict=True):
            new = _times(path)
            names = "amc" if atime else "mc"
            said = "".join(each for each in names if old is None or new is None or old[each] != new[each])
            back = any(old is not None and new is not None and new[each] < old[each] for each in "c")
            self.tell(
                f"times after {what} of {path if isinstance(path, str) else 'open'}", (said or "none") + " BACK" * back
            )

    @contextmanager
    def opened(self, path: str, flags: int, mode: int = 0o644) -> Iterator[int]:
        """A descriptor for the block; an error fails the case."""
        descriptor = os.open(path, flags, mode)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def person(self, uid: int, gid: int | None = None, groups: tuple[int, ...] = ()) -> Iterator[None]:
        """Be somebody without privileges for the block; whoever is that already stays who he is."""
        if (os.getuid(), os.getgid(), groups) == (uid, uid if gid is None else gid, ()):
            yield
            return
        before = os.getgroups()
        os.setgroups(list(groups))
        os.setegid(uid if gid is None else gid)
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before)

    def owned(self, kind: str, path: str, mode: int, uid: int = 0, gid: int = 0) -> None:
        """Something with this mode and owner."""
        make(kind, path)
        os.lchown(path, uid, gid)
        if kind != "symlink":
            os.chmod(path, mode)


def _short(path: str) -> str:
    return path if len(path) <= 40 else f"{path[:20]}…{len(path)}"


def _times(path: str | int) -> dict[str, int] | None:
    try:
        told = os.fstat(path) if isinstance(path, int) else os.lstat(path)
    except OSError:
        return None
    return {"a": told.st_atime_ns, "m": told.st_mtime_ns, "c": told.st_ctime_ns}


def _tick(before: list[dict[str, int] | None]) -> None:
    """Let the kernel's coarse clock, which disks take their stamps from, pass what was told (4 ms at most)."""
    latest = max((told["c"] for told in before if told is not None), default=0)
    while time.clock_gettime_ns(_COARSE) <= latest:
        time.sleep(0.001)
