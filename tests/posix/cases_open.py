"""open(2) by its flags, and what an open file goes on seeing: two handles, appends, holes, mappings, unlinked names."""

from __future__ import annotations

import mmap
import os
import select
import socket
import stat
from itertools import product

from tests.posix.table import Table
from tests.posix.work import NOBODY, TYPES, Work, make, synchronise

CASES = Table()
NAMES = (
    "O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND", "O_DIRECTORY", "O_NOFOLLOW", "O_PATH", "O_SYNC", "O_DIRECT",
    "O_NOATIME",
)  # fmt: skip
FLAGS = {name: getattr(os, name) for name in NAMES}
COMBINED = (
    "", "O_CREAT", "O_CREAT|O_EXCL", "O_TRUNC", "O_CREAT|O_TRUNC", "O_APPEND", "O_DIRECTORY", "O_NOFOLLOW", "O_PATH",
    "O_PATH|O_NOFOLLOW", "O_CREAT|O_DIRECTORY", "O_DIRECTORY|O_NOFOLLOW", "O_CREAT|O_NOFOLLOW", "O_TRUNC|O_APPEND",
    "O_SYNC", "O_DIRECT", "O_NOATIME", "O_CREAT|O_EXCL|O_NOFOLLOW|O_TRUNC",
)  # fmt: skip
ACCESS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)


@CASES.case((*TYPES, "none", "link-to-file", "link-to-folder", "loop", "below-a-file", "slash"))
def opening(work: Work, kind: str) -> None:
    with open("file", "wb") as file:
        file.write(b"bytes")
    os.mkdir("folder")
    for count, (names, access) in enumerate(product(COMBINED, ACCESS)):
        path = _target(kind, str(count))
        flags = access | os.O_NONBLOCK
        for name in filter(None, names.split("|")):
            flags |= FLAGS[name]
        what = f"{access} {names}"
        if work.do(what, lambda path=path, flags=flags: _opened(path, flags)) is not None:
            work.do("and tell", lambda path=path: _kind_and_size(path))
        with open("file", "wb") as file:
            file.write(b"bytes")


def _kind_and_size(path: str) -> tuple[int, int]:
    told = os.stat(path)
    return stat.S_IFMT(told.st_mode), 0 if stat.S_ISDIR(told.st_mode) else told.st_size


def _target(kind: str, number: str) -> str:
    made = {"none": number, "below-a-file": "file/x", "slash": "folder/"}.get(kind)
    if made is None:
        made = f"x{number}"
        if kind.startswith("link-to"):
            os.symlink(kind[8:], made)
        elif kind == "loop":
            os.symlink(made, made)
        elif kind in {"char", "block"}:
            made = "/dev/null" if kind == "char" else "device"  # what opens a device is the device's matter
            if kind == "block" and not os.path.lexists(made):
                make("block", made, 0)
        else:
            make(kind, made)
    return made


def _opened(path: str, flags: int) -> str:
    descriptor = os.open(path, flags, 0o640)
    try:
        told = os.fstat(descriptor)
        return (
            "opened a folder"
            if stat.S_ISDIR(told.st_mode)
            else f"opened, {'as a path' if flags & os.O_PATH else told.st_size}"
        )
    finally:
        os.close(descriptor)


@CASES.case()
def opening_errors(work: Work) -> None:
    os.symlink("loop", "loop")
    make("file", "f")
    for path in (
        "loop",
        "loop/x",
        "n" * 255,
        "n" * 256,
        "none/x",
        "",
        ".",
        "..",
        "f/",
        "f/.",
        "new/",
        "/".join(["d" * 200] * 21),
    ):
        for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL):
            work.do(f"{path[:9]} {flags:o}", lambda path=path, flags=flags: _opened(path, flags))
    work.do("running", _busy)


def _busy() -> str:
    with open("/bin/true", "rb") as source, open("program", "wb") as target:
        target.write(source.read())
    os.chmod("program", 0o755)
    with open("program", "ab"):
        child = os.fork()
        if child == 0:
            try:
                os.execv("./program", ["program"])
            except OSError as error:
                os._exit(error.errno or 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return f"exit {code}"


@CASES.case()
def creating(work: Work) -> None:
    os.mkdir("d")
    for name, mode, umask in (("a", 0o777, 0o022), ("b", 0o000, 0), ("c", 0o7777, 0), ("e", 0o444, 0o077)):
        os.umask(umask)
        with work.moved(f"creating {name}", "d"):
            descriptor = os.open(f"d/{name}", os.O_RDWR | os.O_CREAT, mode)
        work.do("write in spite of its mode", lambda descriptor=descriptor: os.write(descriptor, b"x"))
        os.close(descriptor)
        work.stat(f"d/{name}")
        with work.moved(f"opening {name} again", "d", f"d/{name}"):
            os.close(os.open(f"d/{name}", os.O_RDWR | os.O_CREAT, 0o600))
        work.stat(f"d/{name}")
    os.umask(0o022)
    with work.person(NOBODY):
        work.do("where one may not", lambda: os.open("d/new", os.O_RDWR | os.O_CREAT))
        work.do("what is there", lambda: _opened("d/a", os.O_RDONLY | os.O_CREAT))
        work.do("exclusively", lambda: _opened("d/a", os.O_RDONLY | os.O_CREAT | os.O_EXCL))
    work.do("O_TMPFILE", lambda: os.close(os.open("d", os.O_TMPFILE | os.O_RDWR)))


@CASES.case()
def two_handles(work: Work) -> None:
    with (
        work.opened("f", os.O_RDWR | os.O_CREAT) as one,
        work.opened("f", os.O_RDWR) as other,
        work.opened("f", os.O_RDONLY) as third,
    ):
        os.write(one, b"0123456789")
        work.do("the other reads", lambda: os.pread(other, 99, 0))
        os.pwrite(other, b"AB", 8)
        work.do("the third reads", lambda: os.pread(third, 99, 0))
        os.ftruncate(other, 4)
        work.do("cut under a reader", lambda: os.pread(third, 99, 0))
        work.do("beyond the cut", lambda: os.pread(third, 99, 6))
        os.truncate("f", 8)
        work.do("grown under a reader", lambda: os.pread(third, 99, 0))
        os.write(one, b"end")
        work.fstat(third)
        work.do("a hole between", lambda: os.pread(third, 99, 0))
        work.do("write to the reader", lambda: os.write(third, b"x"))
        with work.opened("f", os.O_WRONLY | os.O_TRUNC):
            work.do("emptied under a reader", lambda: os.pread(third, 99, 0))
        os.write(one, b"!")
        work.do("where the writer stood", lambda: os.pread(third, 99, 0))
        work.do("read from a writer", lambda: _read_from_writer("f"))


def _read_from_writer(path: str) -> bytes:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return os.read(descriptor, 1)
    finally:
        os.close(descriptor)


@CASES.case()
def unlinked(work: Work) -> None:
    with work.opened("f", os.O_RDWR | os.O_CREAT) as descriptor:
        os.write(descriptor, b"hello")
        with work.moved("unlink", descriptor):
            os.unlink("f")
        work.fstat(descriptor)
        work.do("read", lambda: os.pread(descriptor, 9, 0))
        with work.moved("write", descriptor):
            work.do("write", lambda: os.pwrite(descriptor, b"longer than before", 0))
        work.fstat(descriptor)
        for size in (30, 6, 0):
            with work.moved("cut", descriptor):
                work.do(f"cut to {size}", lambda size=size: os.ftruncate(descriptor, size))
            work.fstat(descriptor)
        with work.moved("fchmod", descriptor):
            work.do("fchmod", lambda: os.fchmod(descriptor, 0o600))
        work.do("fchown", lambda: os.fchown(descriptor, NOBODY, NOBODY))
        work.do("futimens", lambda: os.utime(descriptor, ns=(5, 6)))
        work.fstat(descriptor)
        work.tell("its mtime", os.fstat(descriptor).st_mtime_ns)
        work.do("fsync", lambda: os.fsync(descriptor))
        work.do("open it anew", lambda: os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)))
        make("file", "f")
        os.pwrite(descriptor, b"still the old one", 0)
        work.do("the new one", lambda: open("f", "rb").read())
        work.do("link it back", lambda: os.link(f"/proc/self/fd/{descriptor}", "back", follow_symlinks=True))


@CASES.case()
def unlinked_folder(work: Work) -> None:
    os.mkdir("d")
    top, gone = os.open(".", os.O_RDONLY), os.open("d", os.O_RDONLY)
    os.chdir("d")
    with work.moved("rmdir", gone):
        os.rmdir("../d")
    work.fstat(gone)
    work.do("make in it", lambda: make("file", "x"))
    work.do("mkdir in it", lambda: os.mkdir("x"))
    work.do("move into it", lambda: os.rename(f"/proc/self/fd/{top}", "x"))
    work.do("list it", lambda: os.listdir(gone))
    work.do("stat .", lambda: os.stat(".").st_nlink)
    work.do("look up", lambda: os.stat("..").st_nlink >= 2)
    work.do("getcwd", os.getcwd)
    work.do("chmod", lambda: os.chmod(".", 0o700))
    work.do("sync", lambda: os.fsync(gone))
    os.fchdir(top)
    os.close(gone)
    os.close(top)


@CASES.case()
def appending(work: Work) -> None:
    with (
        work.opened("f", os.O_WRONLY | os.O_CREAT | os.O_APPEND) as one,
        work.opened("f", os.O_RDWR | os.O_APPEND) as other,
    ):
        for number in range(20):
            os.write(one if number % 2 else other, b"%02d" % number)
        work.do("in turns", lambda: open("f", "rb").read())
        os.lseek(other, 0, os.SEEK_SET)
        os.write(other, b"|seek")
        os.pwrite(other, b"|pwrite", 0)
        work.do("always at the end", lambda: open("f", "rb").read())
        os.truncate("f", 3)
        os.write(one, b"!")
        work.do("after a cut", lambda: open("f", "rb").read())
    children = [_appender(bytes([65 + number])) for number in range(4)]
    for child in children:
        os.waitpid(child, 0)
    whole = open("log", "rb").read()
    lines = whole.splitlines()
    work.tell(
        "of four processes", (len(whole), len(lines), sorted({(line[:1], len(line), len(set(line))) for line in lines}))
    )


def _appender(letter: bytes) -> int:
    child = os.fork()
    if child == 0:
        descriptor = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for _ in range(50):
            os.write(descriptor, letter * 600 + b"\n")
        os._exit(0)
    return child


@CASES.case()
def holes(work: Work) -> None:
    with work.opened("f", os.O_RDWR | os.O_CREAT) as descriptor:
        os.pwrite(descriptor, b"end", (1 << 30) - 3)
        work.fstat(descriptor)
        work.do("the hole", lambda: os.pread(descriptor, 5, 1 << 20))
        work.do("across its edge", lambda: os.pread(descriptor, 99, (1 << 30) - 5))
        work.do("at the end", lambda: os.pread(descriptor, 5, 1 << 30))
        work.do("beyond", lambda: os.pread(descriptor, 5, 1 << 31))
        work.tell("takes little room", os.fstat(descriptor).st_blocks < 100)
        os.ftruncate(descriptor, 1 << 20)
        os.ftruncate(descriptor, 1 << 21)
        work.do("cut and grown", lambda: os.pread(descriptor, 3, (1 << 20) - 1))
        work.do("at a wrong place", lambda: os.pread(descriptor, 5, -1))
        work.do("write at a wrong place", lambda: os.pwrite(descriptor, b"x", -1))
        work.do("beyond all bounds", lambda: os.pwrite(descriptor, b"x", (1 << 63) - 5))
        for whence, offset in ((os.SEEK_SET, -1), (os.SEEK_END, 5), (os.SEEK_CUR, -1 << 40), (99, 0)):
            work.do(f"seek {whence} {offset}", lambda w=whence, o=offset: os.lseek(descriptor, o, w))


@CASES.case()
def mapped(work: Work) -> None:
    with work.opened("f", os.O_RDWR | os.O_CREAT) as descriptor:
        os.ftruncate(descriptor, 10_000)
        with mmap.mmap(descriptor, 10_000) as shared, mmap.mmap(descriptor, 10_000, flags=mmap.MAP_PRIVATE) as private:
            with work.moved("storing", "f"):
                shared[0:5] = b"hello"
                shared[9_995:] = b"world"
                shared.flush()
            work.do("read", lambda: (os.pread(descriptor, 5, 0), os.pread(descriptor, 99, 9_990)))
            os.pwrite(descriptor, b"WRITE", 4_000)
            work.tell("a write is seen", shared[4_000:4_005])
            private[0:5] = b"mine!"
            work.do("what is private", lambda: os.pread(descriptor, 5, 0))
            os.unlink("f")
            shared[5_000:5_003] = b"***"
            shared.flush()
            work.do("unlinked", lambda: os.pread(descriptor, 3, 5_000))
    with work.opened("r", os.O_RDONLY | os.O_CREAT) as descriptor:
        os.truncate("r", 5)
        work.do("writable from a reader", lambda: mmap.mmap(descriptor, 5).close())
        work.do("readable", lambda: bytes(mmap.mmap(descriptor, 5, prot=mmap.PROT_READ)[:]))


@CASES.case()
def direct(work: Work) -> None:
    """O_DIRECT, beside a handle that goes through the kernel's pages."""
    page = mmap.mmap(-1, 8192)
    page[:] = b"d" * 8192
    with work.opened("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT) as straight, work.opened("f", os.O_RDWR) as cached:
        work.do("write", lambda: os.pwritev(straight, [page], 0))
        work.do("read through pages", lambda: os.pread(cached, 8192, 0) == b"d" * 8192)
        os.pwrite(cached, b"c" * 4096, 4096)
        work.do("read back", lambda: os.preadv(straight, [page], 0))
        work.tell("what was read", (page[:4096] == b"d" * 4096, page[4096:] == b"c" * 4096))
        work.do("at the end", lambda: os.preadv(straight, [page], 8192))
        work.fstat(straight)


@CASES.case()
def synchronising(work: Work) -> None:
    os.mkdir("d")
    make("file", "d/f")
    for path, flags in (("d/f", os.O_RDWR), ("d/f", os.O_RDONLY), ("d", os.O_RDONLY)):
        with work.opened(path, flags) as descriptor:
            for name, call in (("fsync", os.fsync), ("fdatasync", os.fdatasync), ("syncfs", synchronise)):
                work.do(f"{name} of {path} {flags}", lambda call=call, descriptor=descriptor: call(descriptor))
    with work.opened("s", os.O_WRONLY | os.O_CREAT | os.O_SYNC) as descriptor:
        work.do("O_SYNC", lambda: os.write(descriptor, b"x"))
    with work.opened("s", os.O_WRONLY | os.O_DSYNC) as descriptor:
        work.do("O_DSYNC", lambda: os.write(descriptor, b"x"))


@CASES.case()
def pipes(work: Work) -> None:
    """A FIFO of the mount is one between two processes."""
    make("fifo", "pipe")
    work.do("write without a reader", lambda: os.open("pipe", os.O_WRONLY | os.O_NONBLOCK))
    with work.opened("pipe", os.O_RDONLY | os.O_NONBLOCK) as reader, work.opened("pipe", os.O_WRONLY) as writer:
        os.write(writer, b"through")
        work.do("read", lambda: os.read(reader, 99))
        os.rename("pipe", "moved")
        os.write(writer, b"still")
        work.tell("ready", bool(select.select([reader], [], [], 5)[0]))
        work.do("read", lambda: os.read(reader, 99))
        work.do("seek", lambda: os.lseek(reader, 0, os.SEEK_SET))
        work.do("cut", lambda: os.truncate("moved", 0))
    work.stat("moved")


@CASES.case()
def sockets(work: Work) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with work.moved("binding", "."):
            work.do("bind", lambda: server.bind("sock"))
        work.stat("sock")
        work.do("connect to nobody", lambda: client.connect("sock"))
        server.listen()
        work.do("connect", lambda: client.connect("sock"))
        work.do("bind again", lambda: socket.socket(socket.AF_UNIX).bind("sock"))
        os.rename("sock", "moved")
        work.do("connect after a move", lambda: socket.socket(socket.AF_UNIX).connect("moved"))
        work.do("open", lambda: os.open("moved", os.O_RDWR))
    os.unlink("moved")
