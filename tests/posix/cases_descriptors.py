"""What else Linux does with an open file: vectors, copies, running programs, small reads of a folder, faults beyond the
end of a mapping, watches."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import signal
import struct
import subprocess

from tests.posix.table import Table
from tests.posix.work import Work, checked, make

CASES = Table()
_libc = ctypes.CDLL(None, use_errno=True)
ADVICE = {name: getattr(os, f"POSIX_FADV_{name}") for name in ("NORMAL", "RANDOM", "WILLNEED", "DONTNEED", "NOREUSE")}
_SYS_GETDENTS64 = 217


@CASES.case()
def access_modes(work: Work) -> None:
    """O_ACCMODE has a fourth value: permission to do both is asked for, and neither is given."""
    make("file", "f")
    with work.opened("f", os.O_WRONLY | os.O_RDWR) as descriptor:
        work.do("read", lambda: os.read(descriptor, 1))
        work.do("write", lambda: os.write(descriptor, b"x"))
        work.do("cut", lambda: os.ftruncate(descriptor, 1))
        work.fstat(descriptor)
    with work.opened("f", os.O_RDONLY) as descriptor:
        for name, flag in (
            ("append", os.O_APPEND),
            ("nonblock", os.O_NONBLOCK),
            ("direct", os.O_DIRECT),
            ("noatime", os.O_NOATIME),
        ):
            work.do(f"set {name}", lambda flag=flag: fcntl.fcntl(descriptor, fcntl.F_SETFL, flag))
            told = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            work.tell(name, bool(told & flag))


@CASES.case()
def vectors(work: Work) -> None:
    """preadv2(2) and pwritev2(2)."""
    with work.opened("f", os.O_RDWR | os.O_CREAT) as descriptor:
        work.do("write", lambda: os.pwritev(descriptor, [b"one", b"", b"two", b"three"], 5))
        into = [bytearray(2), bytearray(0), bytearray(9)]
        work.do("read", lambda: (os.preadv(descriptor, into, 4), [bytes(each) for each in into]))
        for name in ("RWF_DSYNC", "RWF_SYNC", "RWF_APPEND"):
            flag = getattr(os, name)
            work.do(name, lambda flag=flag: os.pwritev(descriptor, [b"+"], 0, flag))
            work.fstat(descriptor)
        work.do("RWF_HIPRI", lambda: os.preadv(descriptor, [bytearray(3)], 0, os.RWF_HIPRI))
        work.do("nothing", lambda: os.pwritev(descriptor, [], 0))
        work.do("at a wrong place", lambda: os.pwritev(descriptor, [b"x"], -5))
        work.do("many", lambda: os.pwritev(descriptor, [b"x"] * 1024, 0))
        work.do("too many", lambda: os.pwritev(descriptor, [b"x"] * 1025, 0))
        work.fstat(descriptor)


@CASES.case()
def copying(work: Work) -> None:
    """copy_file_range(2), sendfile(2), splice(2)."""
    with open("f", "wb") as file:
        file.write(bytes(range(256)) * 40)
    with work.opened("f", os.O_RDWR) as source, work.opened("g", os.O_RDWR | os.O_CREAT) as target:
        for what, call in (
            ("all", lambda: os.copy_file_range(source, target, 99_999, 0, 0)),
            ("beyond the end", lambda: os.copy_file_range(source, target, 10, 20_000, 0)),
            ("across the end", lambda: os.copy_file_range(source, target, 500, 10_000, 3)),
            ("onto itself", lambda: os.copy_file_range(source, source, 100, 0, 50)),
            ("within itself", lambda: os.copy_file_range(source, source, 100, 0, 5_000)),
            ("to a hole", lambda: os.copy_file_range(source, target, 10, 0, 1 << 20)),
            ("nothing", lambda: os.copy_file_range(source, target, 0, 0, 0)),
        ):
            with work.moved(what, "f", "g"):
                work.do(what, call)
            work.fstat(target)
        with work.opened("g", os.O_RDONLY) as reader, work.opened("f", os.O_WRONLY | os.O_APPEND) as appender:
            work.do("to a reader", lambda: os.copy_file_range(source, reader, 10, 0, 0))
            work.do("to an appender", lambda: os.copy_file_range(target, appender, 10, 0, 0))
            work.do("send", lambda: os.sendfile(target, source, 10, 300))
            work.do("send to an appender", lambda: os.sendfile(appender, source, 10, 300))
        out, into = os.pipe()
        work.do("splice from it", lambda: os.splice(source, into, 700, offset_src=100))
        work.do("splice to it", lambda: os.splice(out, target, 700, offset_dst=9))
        os.close(out)
        os.close(into)
        work.tell("bytes", hash(os.pread(target, 1 << 21, 0)) == hash(open("g", "rb").read()))
        work.tell("first", os.pread(target, 30, 0).hex())
    with work.opened(".", os.O_RDONLY) as folder, work.opened("g", os.O_RDWR) as target:
        work.do("from a folder", lambda: os.copy_file_range(folder, target, 5, 0, 0))


@CASES.case()
def advice(work: Work) -> None:
    with work.opened("f", os.O_RDWR | os.O_CREAT) as descriptor:
        os.write(descriptor, b"x" * 10_000)
        for name, value in ADVICE.items():
            work.do(name, lambda value=value: os.posix_fadvise(descriptor, 0, 0, value))
        work.do("wrong", lambda: os.posix_fadvise(descriptor, 0, 0, 99))
        work.do("readahead", lambda: checked(_libc.readahead(descriptor, ctypes.c_int64(0), ctypes.c_size_t(5_000))))
        start, length = ctypes.c_int64(0), ctypes.c_int64(100)
        for flags in (0, 1, 2, 7, 8):
            work.do(
                f"sync range {flags}",
                lambda flags=flags: checked(_libc.sync_file_range(descriptor, start, length, flags)),
            )
        work.do("read", lambda: len(os.pread(descriptor, 99_999, 0)))


@CASES.case()
def a_running_program(work: Work) -> None:
    """ETXTBSY, and what may be done with it."""
    shutil.copyfile("/bin/sleep", "program")
    os.chmod("program", 0o755)
    with subprocess.Popen(["./program", "60"], executable="./program") as running:
        for what, call in (
            ("write", lambda: os.close(os.open("program", os.O_WRONLY))),
            ("cut by name", lambda: os.truncate("program", 0)),
            ("open to cut", lambda: os.close(os.open("program", os.O_RDWR | os.O_TRUNC))),
            ("read", lambda: os.close(os.open("program", os.O_RDONLY))),
            ("chmod", lambda: os.chmod("program", 0o700)),
            ("rename", lambda: os.rename("program", "moved")),
            ("replace", lambda: os.rename(make("file", "new") or "new", "moved")),
            ("write the new one", lambda: os.close(os.open("moved", os.O_WRONLY))),
        ):
            work.do(what, call)
        running.send_signal(signal.SIGKILL)
    work.stat("program", "moved")


@CASES.case()
def beyond_a_mapping(work: Work) -> None:
    """Within the last page zeros, beyond it SIGBUS; also of what was cut meanwhile."""
    with open("f", "wb") as file:
        file.write(b"x" * 5_000)
    with work.opened("f", os.O_RDWR) as descriptor:
        shared = mmap.mmap(descriptor, 5_000)
        work.tell("after the end", bytes(shared[4_990:5_000]))
        work.tell("in the page", _touched(descriptor, 8_192, 8_000))
        work.tell("beyond the page", _touched(descriptor, 20_480, 9_000))
        os.ftruncate(descriptor, 100)
        work.tell("cut away", _touched(descriptor, 20_480, 5_000))
        os.ftruncate(descriptor, 5_000)
        work.tell("grown again", (shared[50], shared[150], shared[4_500]))
        shared.close()


def _touched(descriptor: int, length: int, offset: int) -> str:
    """What becomes of a process that reads there."""
    child = os.fork()
    if child == 0:
        _libc.mmap.restype = ctypes.c_void_p
        address = _libc.mmap(
            None, ctypes.c_size_t(length), mmap.PROT_READ, mmap.MAP_SHARED, descriptor, ctypes.c_int64(0)
        )
        os._exit(ctypes.string_at(address + offset, 1)[0])
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@CASES.case()
def small_answers_of_a_folder(work: Work) -> None:
    """getdents64(2) with room for one name at a time, and for none."""
    names = {f"{number:03d}" + "x" * (number * 5 % 250) for number in range(60)}
    for name in names:
        make("symlink", name)
    with work.opened(".", os.O_RDONLY) as descriptor:
        found: list[str] = []
        buffer = ctypes.create_string_buffer(300)
        while (got := checked(_libc.syscall(_SYS_GETDENTS64, descriptor, buffer, 300))) > 0:
            place = 0
            while place < got:
                (length,) = struct.unpack_from("H", buffer.raw, place + 16)
                found.append(buffer.raw[place + 19 : place + length].split(b"\0")[0].decode())
                place += length
        work.tell("each once", (len(found), set(found) == names | {".", ".."}))
        work.do("at the end", lambda: checked(_libc.syscall(_SYS_GETDENTS64, descriptor, buffer, 300)))
        os.lseek(descriptor, 0, os.SEEK_SET)
        work.do("no room", lambda: checked(_libc.syscall(_SYS_GETDENTS64, descriptor, buffer, 10)))
        work.do("read", lambda: os.read(descriptor, 10))
        work.do("pread", lambda: os.pread(descriptor, 10, 0))


@CASES.case()
def own_changes_are_watched(work: Work) -> None:
    """inotify(7) tells of what is done on this machine."""
    os.mkdir("d")
    watch = _libc.inotify_init1(os.O_NONBLOCK)
    checked(_libc.inotify_add_watch(watch, b"d", 0xFFF))
    make("file", "d/a")
    with open("d/a", "ab") as file:
        file.write(b"x")
    os.chmod("d/a", 0o600)
    os.truncate("d/a", 0)
    os.rename("d/a", "d/b")
    os.rename("d/b", "out")
    os.rename("out", "d/c")
    os.mkdir("d/e")
    os.symlink("x", "d/l")
    os.unlink("d/c")
    os.rmdir("d/e")
    os.unlink("d/l")
    os.rmdir("d")
    for mask, name in _events(watch):
        work.tell(f"{mask:x}", name)
    os.close(watch)


def _events(watch: int) -> list[tuple[int, str]]:
    events, place = [], 0
    try:
        told = os.read(watch, 1 << 16)
    except OSError as error:
        return [(0, errno.errorcode[error.errno or 0])]
    while place < len(told):
        _, mask, _, length = struct.unpack_from("iIII", told, place)
        events.append((mask, told[place + 16 : place + 16 + length].rstrip(b"\0").decode()))
        place += 16 + length
    return events
