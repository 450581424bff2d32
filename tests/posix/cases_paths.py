"""Each call that takes a path, with each path that cannot be walked: which error comes first (path_resolution(7)).

And the calls that take a folder's descriptor beside the path. Done as root, and as somebody whom `shut` keeps out.
"""

from __future__ import annotations

import os

from tests.posix.table import Table
from tests.posix.work import EXCHANGE, Work, make, rename, set_times

CASES = Table()
LONG, TOO_LONG = "n" * 255, "n" * 256
BEYOND = "/".join(["d" * 200] * 21)  # more than PATH_MAX
PATHS = (
    "file", "file/", "file/.", "file/..", "file/x", f"file/{TOO_LONG}", "./file",
    "folder", "folder/", "folder/.", "folder/..", "folder//x", "full", "full/", "full/.", "full/x",
    "link", "link/", "link/x", "to-folder", "to-folder/", "to-folder/.", "to-folder/x",
    "dangling", "dangling/", "dangling/x", "loop", "loop/", "loop/x", "none", "none/", "none/.", "none/x",
    f"none/{TOO_LONG}", "shut", "shut/", "shut/.", "shut/x", "shut/none", "shut/none/x", f"shut/{TOO_LONG}",
    f"shut/{BEYOND}", "blind", "blind/x", "blind/none", "still", "still/x", "still/none", "fifo/", "fifo/x",
    LONG, f"{LONG}/", TOO_LONG, f"{TOO_LONG}/", f"{TOO_LONG}/x", BEYOND, "", ".", "..", "./.",
)  # fmt: skip


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags | os.O_NONBLOCK, 0o644))


LOOKING = {
    "lstat": lambda path: oct(os.lstat(path).st_mode),
    "stat": lambda path: oct(os.stat(path).st_mode),
    "statfs": lambda path: os.statvfs(path).f_namemax,
    "open to read": lambda path: _open(path, os.O_RDONLY),
    "open to write": lambda path: _open(path, os.O_WRONLY),
    "open to list": lambda path: _open(path, os.O_RDONLY | os.O_DIRECTORY),
    "open no link": lambda path: _open(path, os.O_RDONLY | os.O_NOFOLLOW),
    "open as a path": lambda path: _open(path, os.O_PATH | os.O_NOFOLLOW),
    "list": lambda path: len(os.listdir(path)) >= 0,
    "readlink": os.readlink,
    "lchown": lambda path: os.lchown(path, -1, -1),
    "getxattr": lambda path: os.getxattr(path, "user.none"),
    "getxattr of a link": lambda path: os.getxattr(path, "user.none", follow_symlinks=False),
    "removexattr": lambda path: os.removexattr(path, "user.none"),
}
CHANGING = {
    "chmod": lambda path: os.chmod(path, 0o755),
    "chown": lambda path: os.chown(path, os.geteuid(), os.getegid()),
    "mkdir": os.mkdir,
    "mkfifo": os.mkfifo,
    "mknod": lambda path: os.mknod(path, 0o140644),
    "open to make": lambda path: _open(path, os.O_WRONLY | os.O_CREAT),
    "open to make anew": lambda path: _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "open to cut": lambda path: _open(path, os.O_WRONLY | os.O_TRUNC),
    "rename from": lambda path: os.rename(path, "target"),
    "rename to": lambda path: os.rename("source", path),
    "rename a folder to": lambda path: os.rename("sources", path),
    "exchange with": lambda path: rename("source", path, EXCHANGE),
    "exchange": lambda path: rename(path, "sources", EXCHANGE),
    "rmdir": os.rmdir,
    "setxattr": lambda path: os.setxattr(path, "user.a", b"b"),
    "symlink": lambda path: os.symlink("x", path),
    "truncate": lambda path: os.truncate(path, 0),
    "unlink": os.unlink,
    "utimensat": lambda path: set_times(path, (5, 5), (6, 6)),
    "utimensat of a link": lambda path: set_times(path, (5, 5), (6, 6), follow=False),
}


def _place() -> None:
    """What the paths lead through."""
    for name in ("folder", "full", "shut", "blind", "still", "sources"):
        os.mkdir(name)
    for name in ("file", "source", "full/x", "shut/x", "blind/x", "still/x"):
        make("file", name)
    for name, target in (("link", "file"), ("to-folder", "folder"), ("dangling", "nowhere"), ("loop", "loop")):
        os.symlink(target, name)
    os.mkfifo("fifo")
    for name, mode in (("shut", 0o600), ("blind", 0o300), ("still", 0o500)):
        os.chmod(name, mode)


@CASES.case(LOOKING)
def looking(work: Work, call: str) -> None:
    _place()
    for path in PATHS:
        work.do(f"{path[:24]!r} {len(path)}", lambda path=path: LOOKING[call](path))


@CASES.case(CHANGING)
def changing(work: Work, call: str) -> None:
    """In a new place after each change."""
    with work.opened(".", os.O_RDONLY) as top:
        changed = True
        for number, path in enumerate(PATHS):
            if changed:
                os.fchdir(top)
                os.mkdir(f"{number}")
                os.chdir(f"{number}")
                _place()
            before = len(work.lines)
            work.do(f"{path[:24]!r} {len(path)}", lambda path=path: CHANGING[call](path))
            changed = work.lines[before].endswith("done")


@CASES.case()
def beside_a_descriptor(work: Work) -> None:
    """openat(2) and its like: what the path is relative to."""
    _place()
    with (
        work.opened("folder", os.O_RDONLY) as folder,
        work.opened("folder", os.O_PATH) as place,
        work.opened("file", os.O_RDWR) as file,
        work.opened("shut", os.O_RDONLY) as shut,
    ):
        os.mkdir("gone")
        gone = os.open("gone", os.O_RDONLY)
        os.rmdir("gone")
        for what, where in (
            ("folder", folder),
            ("place", place),
            ("file", file),
            ("shut", shut),
            ("gone", gone),
            ("none", 999),
        ):
            for name in ("x", "/dev/null", "", "."):
                work.do(f"stat {what} {name}", lambda w=where, n=name: oct(os.stat(n, dir_fd=w).st_mode))
                work.do(f"open {what} {name}", lambda w=where, n=name: os.close(os.open(n, os.O_RDONLY, dir_fd=w)))
            work.do(f"mkdir {what}", lambda w=where: os.mkdir("made", dir_fd=w))
            work.do(f"symlink {what}", lambda w=where: os.symlink("made", "link", dir_fd=w))
            work.do(f"readlink {what}", lambda w=where: os.readlink("link", dir_fd=w))
            work.do(f"rename {what}", lambda w=where: os.rename("made", "moved", src_dir_fd=w, dst_dir_fd=w))
            work.do(f"into {what}", lambda w=where: os.rename("source", "source", dst_dir_fd=w))
            work.do(f"out of {what}", lambda w=where: os.rename("source", "source", src_dir_fd=w))
            work.do(f"chmod {what}", lambda w=where: os.chmod("moved", 0o700, dir_fd=w))
            work.do(f"times {what}", lambda w=where: os.utime("moved", ns=(1, 2), dir_fd=w))
            work.do(f"unlink {what}", lambda w=where: os.unlink("link", dir_fd=w))
            work.do(f"rmdir {what}", lambda w=where: os.rmdir("moved", dir_fd=w))
        os.close(gone)
        for what, where in (("file", file), ("place", place)):
            for name, call in (
                ("read", lambda w=where: os.read(w, 1)),
                ("write", lambda w=where: os.write(w, b"x")),
                ("cut", lambda w=where: os.ftruncate(w, 1)),
                ("fchmod", lambda w=where: os.fchmod(w, 0o700)),
                ("fchown", lambda w=where: os.fchown(w, -1, -1)),
                ("fsync", lambda w=where: os.fsync(w)),
                ("fchdir", lambda w=where: os.fchdir(w)),
                ("list", lambda w=where: os.listdir(w)),
                ("times", lambda w=where: os.utime(w, ns=(1, 2))),
                ("seek", lambda w=where: os.lseek(w, 0, os.SEEK_SET)),
                ("fgetxattr", lambda w=where: os.getxattr(w, "user.none")),
            ):
                work.do(f"{name} of {what}", call)
