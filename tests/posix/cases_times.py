"""Whose times move on with which call, sizes, and times that are set."""

from __future__ import annotations

import os

from tests.posix.table import Table
from tests.posix.work import NOBODY, OTHER, TYPES, UTIME_NOW, UTIME_OMIT, Work, make, set_times

CASES = Table()
SOLID = tuple(kind for kind in TYPES if kind != "symlink")


@CASES.case()
def truncating(work: Work) -> None:
    with open("f", "wb") as file:
        file.write(b"0123456789")
    os.symlink("f", "link")
    os.mkdir("d")
    os.mkfifo("pipe")
    for size in (20, 5, 5, 0, 0, 4096, 1 << 32, 3):
        with work.moved(f"truncate to {size}", "f", "link"):
            work.do(f"truncate to {size}", lambda size=size: os.truncate("f", size))
        work.stat("f")
        if size < 10_000:
            work.do("read", lambda: open("f", "rb").read().hex()[:50])
    for path in ("d", "none", "f/x", "pipe", "link", "n" * 256, ""):
        work.do(f"truncate {path[:9]}", lambda path=path: os.truncate(path, 1))
    for size in (-1, 1 << 43, (1 << 63) - 1):
        with work.moved(f"refused {size}", "f"):
            work.do(f"truncate to {size}", lambda size=size: os.truncate("f", size))
    work.stat("f")
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND):
        with work.opened("f", flags) as descriptor, work.moved("ftruncate", "f"):
            for size in (7, 7, -1):
                work.do(f"ftruncate {flags:o} {size}", lambda d=descriptor, size=size: os.ftruncate(d, size))
            work.fstat(descriptor)


@CASES.case()
def truncating_as_somebody(work: Work) -> None:
    for mode, uid in ((0o644, NOBODY), (0o644, OTHER), (0o666, OTHER), (0o444, NOBODY), (0o200, NOBODY)):
        name = f"{mode:o}-{uid}"
        work.owned("file", name, mode, uid, uid)
        with work.moved("trying", name), work.person(NOBODY):
            work.do(f"truncate {name}", lambda name=name: os.truncate(name, 9))
        work.stat(name)
    work.owned("file", "becomes-shut", 0o644, NOBODY, NOBODY)
    with work.person(NOBODY), work.opened("becomes-shut", os.O_RDWR) as descriptor:
        os.chmod("becomes-shut", 0)
        work.do("through an open one", lambda: os.ftruncate(descriptor, 5))
        work.do("write through it", lambda: os.pwrite(descriptor, b"x", 0))
        work.do("read through it", lambda: os.pread(descriptor, 9, 0))
        work.do("open anew", lambda: os.open("becomes-shut", os.O_RDONLY))


@CASES.case()
def writing(work: Work) -> None:
    with work.opened("f", os.O_RDWR | os.O_CREAT) as descriptor:
        for what, call in (
            ("write", lambda: os.write(descriptor, b"hello")),
            ("write nothing", lambda: os.write(descriptor, b"")),
            ("write the same", lambda: os.pwrite(descriptor, b"hello", 0)),
            ("write beyond", lambda: os.pwrite(descriptor, b"x", 10_000)),
            ("read", lambda: os.pread(descriptor, 8, 0)),
            ("fsync", lambda: os.fsync(descriptor)),
            ("fdatasync", lambda: os.fdatasync(descriptor)),
            ("seek", lambda: os.lseek(descriptor, 3, os.SEEK_SET)),
        ):
            with work.moved(what, "f", ".", descriptor):
                work.do(what, call)
        with work.moved("nothing", "f", descriptor):
            pass
    with work.moved("closing", "f"):
        os.close(os.open("f", os.O_RDWR))
    with work.moved("opening to cut", "f"):
        os.close(os.open("f", os.O_RDWR | os.O_TRUNC))
    with work.moved("opening to cut what is empty", "f"):
        os.close(os.open("f", os.O_RDWR | os.O_TRUNC))
    with work.moved("writing, then closing", "f"):
        descriptor = os.open("f", os.O_RDWR)
        os.write(descriptor, b"x")
        early = os.fstat(descriptor)
        os.close(descriptor)
    late = os.stat("f")
    work.tell("closing moves nothing", (early.st_mtime_ns, early.st_ctime_ns) == (late.st_mtime_ns, late.st_ctime_ns))
    work.tell("mtime is ctime", late.st_mtime_ns == late.st_ctime_ns)


MOMENTS = (
    (0, 0),
    (1, 1),
    (1_000_000_000, 123_456_789),
    (1_600_000_000, 999_999_999),
    (2**31 + 5, 7),
    (2**33, 0),
    (-1, 5),
    (-5, 0),
)


@CASES.case(TYPES)
def setting_times(work: Work, kind: str) -> None:
    make(kind, "x")
    os.symlink("x", "link")
    for moment in MOMENTS:
        with work.moved(f"setting {moment}", "link"):
            work.do(f"set {moment}", lambda moment=moment: set_times("x", moment, moment, follow=False))
        told = os.lstat("x")
        work.tell(f"mtime {moment}", told.st_mtime_ns)
    set_times("x", (5, 5), (6, 6), follow=False)
    for what, atime, mtime in (
        ("both now", (0, UTIME_NOW), (0, UTIME_NOW)), ("both left", (0, UTIME_OMIT), (0, UTIME_OMIT)),
        ("mtime alone", (0, UTIME_OMIT), (9, 9)), ("now and left", (0, UTIME_OMIT), (0, UTIME_NOW)),
        ("wrong", (0, 2_000_000_000), (0, 0)),
    ):  # fmt: skip
        with work.moved(what, "x"):
            work.do(what, lambda atime=atime, mtime=mtime: set_times("x", atime, mtime, follow=False))
        told = os.lstat("x").st_mtime_ns
        work.tell("mtime", told if told < 10**11 else "recent")
    set_times("link", (7, 7), (8, 8), follow=False)
    work.tell("a link's own", os.lstat("link").st_mtime_ns)
    if kind != "symlink":
        work.do("through a link", lambda: set_times("link", (3, 3), (4, 4)))
        work.tell("mtime through a link", os.lstat("x").st_mtime_ns)
    for path in ("none", "x/y", "n" * 256):
        work.do(f"set {path[:8]}", lambda path=path: set_times(path, (1, 1), (1, 1)))


@CASES.case(TYPES)
def access_times(work: Work, kind: str) -> None:
    """Set, they are told back; what moves them by itself is the mount's policy."""
    make(kind, "x")
    set_times("x", (1_500_000_000, 123_456_789), (1_400_000_000, 5), follow=False)
    work.tell("as set", os.lstat("x").st_atime_ns)
    set_times("x", (1_600_000_000, 5), (0, UTIME_OMIT), follow=False)
    work.tell("alone", (os.lstat("x").st_atime_ns, os.lstat("x").st_mtime_ns))
    if kind != "symlink":
        os.chmod("x", 0o600)
        work.tell("after chmod", os.lstat("x").st_atime_ns)


@CASES.case(SOLID)
def setting_times_as_somebody(work: Work, kind: str) -> None:
    for mode, uid in ((0o644, NOBODY), (0o444, NOBODY), (0o644, OTHER), (0o666, OTHER)):
        name = f"{mode:o}-{uid}"
        work.owned(kind, name, mode, uid, uid)
        os.utime(name, ns=(10, 10))
        with work.person(NOBODY):
            for what, atime, mtime in (
                ("now", (0, UTIME_NOW), (0, UTIME_NOW)), ("then", (5, 5), (6, 6)), ("mtime", (0, UTIME_OMIT), (7, 7)),
                ("mtime now", (0, UTIME_OMIT), (0, UTIME_NOW)), ("left", (0, UTIME_OMIT), (0, UTIME_OMIT)),
            ):  # fmt: skip
                with work.moved(what, name):
                    work.do(f"{what} of {name}", lambda n=name, a=atime, m=mtime: set_times(n, a, m))


@CASES.case(TYPES)
def reading_moves_nothing_else(work: Work, kind: str) -> None:
    make(kind, "x")
    with work.moved("looking", "x", "."):
        os.lstat("x")
        os.listdir(".")
        if kind == "symlink":
            os.readlink("x")
        if kind == "file":
            open("x", "rb").read()
    with work.moved("failing", "x", "."):
        work.do("make again", lambda: make(kind, "x"))
        work.do("wrong removal", lambda: (os.unlink if kind == "folder" else os.rmdir)("x"))
        work.do("into itself", lambda: os.rename("x", "x/y"))
