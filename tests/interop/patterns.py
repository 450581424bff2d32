"""How programs save a file, call by call, as strace shows it (Debian 12): each takes the path and the new bytes.

Each is the program's own order of calls, flags and modes, with the calls that it survives without (a hard link, an
unnamed file, a shared block) tried first as it tries them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Pattern = Callable[[Path, bytes], None]

_FICLONE = 0x40049409  # linux/fs.h
_PAGE_BYTES = 4096
_NOT_HERE = (errno.EOPNOTSUPP, errno.EPERM, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EXDEV)
NEW = os.O_CREAT | os.O_EXCL


def _all(path: Path, flags: int, data: bytes, mode: int = 0o666, *, sync: bool = False) -> None:
    descriptor = os.open(path, flags, mode)
    try:
        os.write(descriptor, data)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _survives(error: OSError) -> None:
    """What the program takes for "not on this file system"; anything else ends it."""
    if error.errno not in _NOT_HERE:
        raise error


def _beside(path: Path, name: str) -> Path:
    return path.with_name(name.format(path.name))


def _swap_file(path: Path) -> tuple[Path, int]:
    """vim's: made, made again beside another one (is this a DOS disk?), and the second one kept."""
    swap, other = _beside(path, ".{}.swp"), _beside(path, ".{}.swx")
    descriptors = [os.open(each, os.O_RDWR | NEW, 0o600) for each in (swap, other)]
    for descriptor in reversed(descriptors):
        os.close(descriptor)
    other.unlink()
    swap.unlink()
    descriptor = os.open(swap, os.O_RDWR | NEW | os.O_NOFOLLOW, 0o600)
    for block in (0, 0, 1, 2):
        os.pwrite(descriptor, b"b0VIM 9.0\0".ljust(_PAGE_BYTES, b"\0"), block * _PAGE_BYTES)
    os.fsync(descriptor)
    return swap, descriptor


def vim_by_rename(path: Path, data: bytes) -> None:
    """backupcopy=no: the old file becomes the backup, the new one is made under the name."""
    swap, descriptor = _swap_file(path)
    probe = path.with_name("4913")
    os.close(os.open(probe, os.O_WRONLY | NEW | os.O_NOFOLLOW, 0o100644))
    os.chown(probe, os.getuid(), os.getgid())
    probe.unlink()
    backup, mode = _beside(path, "{}~"), path.stat().st_mode
    path.rename(backup)
    _all(path, os.O_WRONLY | os.O_CREAT, data, 0o644, sync=True)
    path.chmod(mode & 0o7777)
    os.close(descriptor)
    swap.unlink()
    backup.unlink()


def vim_in_place(path: Path, data: bytes) -> None:
    """backupcopy=yes: a copy is the backup and stays (set backup), the file itself is cut and written anew."""
    swap, descriptor = _swap_file(path)
    told = path.stat()
    backup = _beside(path, "{}~")
    backup.unlink(missing_ok=True)
    _all(backup, os.O_WRONLY | NEW | os.O_NOFOLLOW, path.read_bytes(), 0o644)
    os.utime(backup, ns=(told.st_atime_ns, told.st_mtime_ns))
    saved = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.ftruncate(saved, 0)
    os.write(saved, data)
    os.fsync(saved)
    os.fchmod(saved, told.st_mode & 0o7777)
    os.close(saved)
    os.close(descriptor)
    swap.unlink()


def nano(path: Path, data: bytes) -> None:
    """A lock file of its own, then the file cut as it is opened."""
    lock = _beside(path, ".{}.swp")
    _all(lock, os.O_WRONLY | NEW, b"b0nano".ljust(1024, b"\0"), 0o666)
    _all(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, data, 0o666, sync=True)
    lock.unlink()


def emacs(path: Path, data: bytes) -> None:
    """The lock is a symlink to nowhere; the old file becomes the backup, whose mode and time it keeps."""
    lock = _beside(path, ".#{}")
    lock.symlink_to(f"me@host.{os.getpid()}:1795331126")
    mode = path.stat().st_mode
    path.rename(_beside(path, "{}~"))
    _all(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, data)
    path.chmod(mode & 0o7777)
    lock.unlink()


def emacs_precious(path: Path, data: bytes) -> None:
    """file-precious-flag: written beside it, then renamed over it."""
    lock, beside = _beside(path, ".#{}"), path.with_name("tmp32bWPt")
    lock.symlink_to(f"me@host.{os.getpid()}:1795331126")
    os.close(os.open(beside, os.O_RDWR | NEW | os.O_CLOEXEC, 0o600))
    _all(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, data, sync=True)
    beside.chmod(path.stat().st_mode & 0o7777)
    beside.rename(path)
    lock.unlink()


def libreoffice(path: Path, data: bytes) -> None:
    """The lock file dance; a temporary file is reserved and filled, the document is cut and filled from it."""
    lock = _beside(path, ".~lock.{}#")
    _all(lock, os.O_RDWR | NEW, b",me,host,22.11.2026 07:15,file:///home/me;", 0o666)
    held = os.open(path, os.O_RDWR)
    fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    temporary = path.with_name("lu4711abc.tmp")
    _all(temporary, os.O_RDWR | NEW, data, 0o600)
    position = 0
    os.ftruncate(held, 0)
    with temporary.open("rb") as filled:
        while piece := filled.read(32 << 10):
            position += os.pwrite(held, piece, position)
    os.ftruncate(held, position)
    os.fsync(held)
    temporary.unlink()
    os.close(held)
    assert b"me,host" in lock.read_bytes()
    lock.unlink()


def keepassxc(path: Path, data: bytes) -> None:
    """Qt's QSaveFile: a file without a name first, which is linked into place; where there is none, one with a name."""
    beside = _beside(path, "{}.pejtYB")
    try:
        unnamed = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _survives(error)
        unnamed = os.open(beside, os.O_RDWR | NEW | os.O_CLOEXEC, 0o600)
    else:
        raise AssertionError("unnamed files are supported: let this pattern link them")
    os.fchmod(unnamed, path.stat().st_mode & 0o7777)
    os.write(unnamed, data)
    os.fdatasync(unnamed)
    os.close(unnamed)
    beside.rename(path)


def gnome(path: Path, data: bytes) -> None:
    """g_file_replace with a backup: a hard link if there are some, else the old file is renamed."""
    beside, backup = path.with_name(".goutputstream-4M0QV3"), _beside(path, "{}~")
    descriptor = os.open(beside, os.O_RDWR | NEW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, path.stat().st_mode & 0o7777)
    os.write(descriptor, data)
    os.fsync(descriptor)
    backup.unlink(missing_ok=True)
    try:
        backup.hardlink_to(path)
    except OSError as error:
        _survives(error)
        path.rename(backup)
    os.close(descriptor)
    beside.rename(path)


def office(path: Path, data: bytes) -> None:
    """Word's: the new file beside it, the old one out of the way, the new one into its place, the old one deleted."""
    owner, beside, old = _beside(path, "~${}"), path.with_name("~WRD0001.tmp"), path.with_name("~WRL0002.tmp")
    _all(owner, os.O_RDWR | NEW, b"\x02me".ljust(162, b"\0"))
    _all(beside, os.O_RDWR | NEW, data, sync=True)
    path.rename(old)
    beside.rename(path)
    old.unlink()
    owner.unlink()


def rsync(path: Path, data: bytes) -> None:
    """A hidden file, its time, its mode, then its name."""
    beside = _beside(path, ".{}.QkjXKd")
    mode = path.stat().st_mode & 0o7777
    descriptor = os.open(beside, os.O_RDWR | NEW | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)
    os.utime(beside, ns=(1_700_000_000_000_000_001,) * 2, follow_symlinks=False)
    beside.chmod(mode)
    beside.rename(path)


def rsync_in_place(path: Path, data: bytes) -> None:
    """Blocks that differ are written over, in their places; the rest is cut off."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for start in range(0, len(data), 700):
        os.lseek(descriptor, start, os.SEEK_SET)
        os.write(descriptor, data[start : start + 700])
    os.ftruncate(descriptor, len(data))
    os.close(descriptor)
    os.utime(path, ns=(1_700_000_000_000_000_002,) * 2)


def cp_reflink(path: Path, data: bytes) -> None:
    """cp --reflink=auto of another file over this one: shared blocks, else copied by the kernel."""
    source = _beside(path, "{}.source")
    source.write_bytes(data)
    reader, writer = os.open(source, os.O_RDONLY), os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        _survives(error)
        while os.copy_file_range(reader, writer, 1 << 30):
            pass
    os.close(reader)
    os.close(writer)


def resumed_download(path: Path, data: bytes) -> None:
    """curl -C - and wget -c: what is there is kept, the rest is appended, in a second run."""
    half = len(data) // 2
    _all(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, data[:half])
    assert path.stat().st_size == half
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for start in range(half, len(data), 16 << 10):
        os.write(descriptor, data[start : start + (16 << 10)])
    os.close(descriptor)
    os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)


def browser_download(path: Path, data: bytes) -> None:
    """An empty file keeps the name, the bytes come beside it, and then are renamed over it."""
    part = _beside(path, "{}.part")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    descriptor = os.open(part, os.O_WRONLY | NEW, 0o600)
    for start in range(0, len(data), 8 << 10):
        os.write(descriptor, data[start : start + (8 << 10)])
    os.fsync(descriptor)
    os.close(descriptor)
    part.chmod(0o644)
    part.rename(path)


def package_manager(path: Path, data: bytes) -> None:
    """dpkg: unpacked beside it, the old one linked away if it can be, synced, renamed over it."""
    beside, old = _beside(path, "{}.dpkg-new"), _beside(path, "{}.dpkg-tmp")
    _all(beside, os.O_WRONLY | NEW, data, 0)
    beside.chmod(0o644)
    try:
        old.hardlink_to(path)
    except OSError as error:
        _survives(error)
        path.rename(old)
    descriptor = os.open(beside, os.O_WRONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    beside.rename(path)
    old.unlink()


PATTERNS: tuple[Pattern, ...] = (
    vim_by_rename, vim_in_place, nano, emacs, emacs_precious, libreoffice, keepassxc, gnome, office, rsync,
    rsync_in_place, cp_reflink, resumed_download, browser_download, package_manager,
)  # fmt: skip
