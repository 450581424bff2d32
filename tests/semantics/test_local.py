"""vfs/SEMANTICS.md, section 9: names, and what the kernel of this machine does by itself; each test quotes its
sentence."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import converge
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

NAMES = (
    b"n" * 255, "ü".encode() * 127, b"new\nline", b"back\\slash", b"control\x01\x1f\x7f", b"trailing. ", b"...",
    b" leading", "🐟".encode(), "\u00e9".encode(), b"e\xcc\x81", b"-rf", b'*?"<>|:', b"con", b"~",
    "\u202ertl".encode(), b"%2F",
)  # fmt: skip
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE = 1, 2, 16
FICLONE = 0x40049409  # linux/fs.h
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_GETVERSION = 0x80086601, 0x40086602, 0x80087601
OFD_LOCK = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 10, 0)

# Takes a lock that somebody else may hold, and tells whether it got it.
TRY = """
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    if sys.argv[2] == "flock":
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif sys.argv[2] == "posix":
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, int(sys.argv[3]))
    else:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, int(sys.argv[3]), 10, 0))
    print("got")
except BlockingIOError:
    print("held")
"""


def _errno(call: Callable[[], object]) -> int:
    with pytest.raises(OSError, match=r".") as caught:
        call()
    assert caught.value.errno is not None
    return caught.value.errno


@contextmanager
def opened(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> Iterator[int]:
    fd = os.open(path, flags, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def another_process(path: Path, kind: str, start: int = 0) -> str:
    """Whether another process gets the lock: got, held."""
    words = [sys.executable, "-c", TRY, str(path), kind, str(start)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout.strip()


def listed(folder: Path) -> dict[bytes, bytes]:
    return {os.fsencode(each.name): each.read_bytes() for each in folder.iterdir()}


def test_s9_1_any_text_is_a_name(one: Path, two: Path, served: Path, first: Mount, second: Mount) -> None:
    """[S9.1] Every name of up to 255 bytes that is UTF-8 is kept as it is, byte for byte, on every machine."""
    for name in NAMES:
        (one / os.fsdecode(name)).write_bytes(name)
    converge(first, second)
    expected = {name: name for name in NAMES}
    assert listed(one) == listed(two) == listed(served) == expected


def test_s9_1_names_that_are_no_text(one: Path, two: Path, served: Path, first: Mount, second: Mount) -> None:
    """[S9.1] A name, or a symlink's target, that is no UTF-8 is `EILSEQ` in every call; on the server's disk it is left
    alone, and not shown."""
    (one / "f").write_bytes(b"x")
    odd = one / os.fsdecode(b"\xff")
    calls: list[Callable[[], object]] = [
        odd.stat,
        odd.touch,
        odd.mkdir,
        odd.unlink,
        (one / os.fsdecode(b"\xed\xa0\x80")).touch,
        lambda: (one / "f").rename(odd),
        lambda: odd.symlink_to("x"),
        lambda: (one / "link").symlink_to(odd.name),
    ]
    assert {_errno(call) for call in calls} == {errno.EILSEQ}
    outside = served / os.fsdecode(b"out\xff")
    outside.write_bytes(b"theirs")
    (one / "g").write_bytes(b"y")
    converge(first, second)
    assert listed(one) == listed(two) == {b"f": b"x", b"g": b"y"}
    assert outside.read_bytes() == b"theirs"


def test_s9_2_paths_of_any_depth(one: Path, two: Path, first: Mount, second: Mount) -> None:
    """[S9.2] A tree may be deeper than one path can tell (`PATH_MAX`): what is relative works there."""
    name, depth = "d" * 250, 17  # 4,267 bytes
    folder = os.open(one, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    with os.fdopen(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=folder), "wb") as file:
        file.write(b"deep")
    os.close(folder)
    assert _errno(one.joinpath(*[name] * depth, "leaf").stat) == errno.ENAMETOOLONG
    converge(first, second)
    folder = os.open(two, os.O_RDONLY)
    for _ in range(depth):
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    with os.fdopen(os.open("leaf", os.O_RDONLY, dir_fd=folder), "rb") as file:
        assert file.read() == b"deep"
    os.close(folder)


def test_s9_3_locks_are_the_kernels(one: Path) -> None:
    """[S9.3] `flock`, `fcntl` and open-file-description locks, and leases, are the kernel's own: they hold between the
    processes of this machine, by range, and end with the descriptor or the process, as on a disk."""
    path = one / "f"
    path.write_bytes(b"x" * 100)
    with opened(path) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert another_process(path, "flock") == "held"
        fcntl.flock(fd, fcntl.LOCK_UN)
        assert another_process(path, "flock") == "got"
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
        assert [another_process(path, "posix", start) for start in (5, 50)] == ["held", "got"]
        fcntl.lockf(fd, fcntl.LOCK_UN)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, OFD_LOCK)
        assert [another_process(path, "ofd", start) for start in (5, 50)] == ["held", "got"]
        assert another_process(path, "posix") == "held"
    assert {another_process(path, kind) for kind in ("flock", "posix", "ofd")} == {"got"}
    with opened(path, os.O_RDONLY) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def test_s9_4_fallocate(one: Path) -> None:
    """[S9.4] `fallocate` is `EOPNOTSUPP` in every mode: room is not promised. `posix_fallocate` writes instead."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    with opened(one / "f") as fd:
        os.write(fd, b"kept")
        for mode in (0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE):
            assert libc.fallocate(fd, mode, 0, 8192) == -1
            assert ctypes.get_errno() == errno.EOPNOTSUPP, mode
        os.posix_fallocate(fd, 0, 10_000)
        assert os.pread(fd, 20_000, 0) == b"kept" + bytes(9_996)


def test_s9_5_copies_inside_the_kernel(one: Path) -> None:
    """[S9.5] `copy_file_range` and `sendfile` copy; `FICLONE` is `EOPNOTSUPP`, so `cp --reflink=auto` copies too."""
    (one / "f").write_bytes(b"x" * 10_000)
    with opened(one / "f") as source, opened(one / "range") as target, opened(one / "sent") as sent:
        assert os.copy_file_range(source, target, 10_000, 0, 0) == 10_000
        assert os.sendfile(sent, source, 0, 10_000) == 10_000
        assert _errno(lambda: fcntl.ioctl(target, FICLONE, source)) == errno.EOPNOTSUPP
    subprocess.run(["cp", "--reflink=auto", one / "f", one / "copy"], check=True, timeout=DEADLINE_S)
    assert {(one / name).read_bytes() for name in ("range", "sent", "copy")} == {b"x" * 10_000}
    assert subprocess.run(
        ["cp", "--reflink=always", one / "f", one / "no"], check=False, capture_output=True
    ).returncode


def test_s9_6_sparse_files(one: Path, two: Path, served: Path, first: Mount, second: Mount) -> None:
    """[S9.6] What was never written takes no room: not here, not on the server's disk, and not where it is read again.
    `SEEK_DATA` and `SEEK_HOLE` see one stretch of data, up to the end."""
    size_bytes = 64 << 20
    with opened(one / "f") as fd:
        os.pwrite(fd, b"head", 0)
        os.pwrite(fd, b"tail", size_bytes - 4)
        assert (os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE)) == (0, size_bytes)
        assert _errno(lambda: os.lseek(fd, size_bytes, os.SEEK_DATA)) == errno.ENXIO
    converge(first, second)
    body = (two / "f").read_bytes()
    assert (body[:4], body[-4:], len(body), body.count(0)) == (b"head", b"tail", size_bytes, size_bytes - 8)
    assert (one / "f").stat().st_blocks * 512 < 1 << 20
    assert (served / "f").stat().st_blocks * 512 < 4 << 20
    blobs = [each.stat() for each in second.cache_dir.rglob("*") if each.is_file()]
    (kept,) = (each.st_blocks * 512 for each in blobs if each.st_size == size_bytes)
    assert kept < 4 << 20


def test_s9_7_durability_by_other_calls(one: Path) -> None:
    """[S9.7] `fsync` of a folder, `fdatasync`, `sync_file_range` and `syncfs` succeed."""
    libc = ctypes.CDLL(None, use_errno=True)
    with opened(one / "f") as fd:
        os.write(fd, b"x")
        os.fdatasync(fd)
        assert libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), 7) == 0
        assert libc.syncfs(fd) == 0
    with opened(one, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def test_s9_8_statfs(one: Path, served: Path) -> None:
    """[S9.8] `statfs` tells the room at the server; the number of files has no bound that is known, and is 0 of 0."""

    def size_bytes(place: Path) -> int:
        told = os.statvfs(place)
        return told.f_blocks * told.f_frsize

    # A server that does not answer within 2 s is asked again after a while.
    until(lambda: size_bytes(one) == pytest.approx(size_bytes(served), rel=0.01), "the server's room")
    here, there = os.statvfs(one), os.statvfs(served)
    assert here.f_bavail * here.f_frsize == pytest.approx(there.f_bavail * there.f_frsize, abs=4 << 30)
    assert (here.f_files, here.f_ffree, here.f_namemax) == (0, 0, 255)


def test_s9_9_times(one: Path, first: Mount) -> None:
    """[S9.9] Times have nanoseconds, also through an eviction; those beyond the years 1678 to 2261 become the nearest
    of these. There is no time of birth."""
    path = one / "f"
    path.write_bytes(b"x")
    for moment_ns in (10**18 + 1, 7_000_000_000 * 10**9, -(10**18) + 123_456_789):
        os.utime(path, ns=(moment_ns, moment_ns))
        assert path.stat().st_mtime_ns == moment_ns
    for moment_s, kept_s in ((10**10, 9_223_372_035), (-(10**10), -9_223_372_035)):
        os.utime(one, (moment_s, moment_s))
        assert one.stat().st_mtime_ns == kept_s * 10**9
    first.sync()
    first.command("evict", str(path))
    until(lambda: path.stat().st_blocks == 0, "the bytes to be gone")
    assert path.stat().st_mtime_ns == -(10**18) + 123_456_789
    assert path.read_bytes() == b"x"
    if shutil.which("stat"):
        told = subprocess.run(
            ["stat", "-c", "%w", path], capture_output=True, text=True, check=True, timeout=DEADLINE_S
        )
        assert told.stdout.strip() == "-"


def test_s9_10_no_flags_of_inodes_and_no_access_lists(one: Path) -> None:
    """[S9.10] `lsattr` and `chattr` get `ENOTTY`; access control lists are `ENOTSUP`."""
    (one / "f").touch()
    everybody = 0xFFFFFFFF
    access_list = struct.pack("<IHHIHHIHHI", 2, 1, 7, everybody, 4, 5, everybody, 32, 5, everybody)  # as 0755
    with opened(one / "f") as fd:
        for request in (FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_GETVERSION):
            with pytest.raises(OSError, match=os.strerror(errno.ENOTTY)):
                fcntl.ioctl(fd, request, bytes(8))
    for name in ("system.posix_acl_access", "system.posix_acl_default"):
        with pytest.raises(OSError, match=os.strerror(errno.ENOTSUP)):
            os.setxattr(one, name, access_list)
        with pytest.raises(OSError, match=os.strerror(errno.ENOTSUP)):
            os.getxattr(one, name)
