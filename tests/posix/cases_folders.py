"""Folders as such: link counts, `..`, listings with cookies under change."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from tests.posix.table import Table
from tests.posix.work import EXCHANGE, TYPES, Work, make, remove, rename

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Table()
_libc = ctypes.CDLL(None, use_errno=True)
_libc.opendir.restype = _libc.readdir.restype = ctypes.c_void_p
_libc.telldir.restype = ctypes.c_long
MANY = 400  # more than one answer of the kernel holds


class _Entry(ctypes.Structure):
    _fields_ = (
        ("ino", ctypes.c_uint64), ("offset", ctypes.c_int64), ("length", ctypes.c_ushort), ("kind", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )  # fmt: skip


class Listing:
    """opendir(3) and what belongs to it."""

    def __init__(self, path: str) -> None:
        self._stream = ctypes.c_void_p(_libc.opendir(os.fsencode(path)))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        found = _libc.readdir(self._stream)
        if not found:
            raise StopIteration
        return ctypes.cast(found, ctypes.POINTER(_Entry)).contents.name.decode()

    def tell(self) -> int:
        return int(_libc.telldir(self._stream))

    def seek(self, place: int) -> None:
        _libc.seekdir(self._stream, ctypes.c_long(place))

    def rewind(self) -> None:
        _libc.rewinddir(self._stream)

    def close(self) -> None:
        _libc.closedir(self._stream)


def _real(names: Iterator[str]) -> list[str]:
    return [each for each in names if each not in {".", ".."}]


@CASES.case()
def link_counts(work: Work) -> None:
    os.makedirs("a/b")
    os.mkdir("c")
    make("file", "a/f")
    work.stat(".", "a", "a/b", "c")
    os.mkdir("a/d")
    work.stat("a")
    os.rename("a/d", "c/d")
    work.stat("a", "c", "c/d")
    rename("a/f", "c/d", EXCHANGE)
    work.stat("a", "c", "a/f", "c/d")
    os.mkdir("c/empty")
    os.mkdir("e")
    os.rename("e", "c/empty")
    work.stat(".", "c")
    os.rmdir("c/empty")
    work.stat("c", ".")
    for path in ("a/..", "a/b/..", "a/b/../..", "./."):
        above = os.path.normpath(path)
        work.tell(path, os.stat(path).st_ino == os.stat(above).st_ino)


@CASES.case(TYPES)
def types_in_listings(work: Work, kind: str) -> None:
    make(kind, "x")
    with os.scandir(".") as entries:
        for entry in entries:
            same = entry.inode() == os.lstat(entry.name).st_ino
            work.tell(
                entry.name,
                (entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False), entry.is_symlink(), same),
            )


@CASES.case()
def listing(work: Work) -> None:
    os.mkdir("d")
    names = {f"{number:04d}" + "x" * (number % 200) for number in range(MANY)}
    for name in names:
        make("symlink", f"d/{name}")
    every = list(Listing("d"))
    work.tell("each once", (len(every), set(every) == names | {".", ".."}))
    stream = Listing("d")
    places = [(stream.tell(), name) for name in stream]
    good = 0
    for place, name in places[::7]:
        stream.seek(place)
        good += next(stream, "") == name
    work.tell("every place leads to its name", good == len(places[::7]))
    stream.rewind()
    work.tell("from the start", len(list(stream)) == len(every))
    stream.close()
    work.do("seek by descriptor", lambda: _twice("d"))


def _twice(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        first = os.listdir(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return sorted(first) == sorted(os.listdir(descriptor))
    finally:
        os.close(descriptor)


@CASES.case()
def listing_while_it_changes(work: Work) -> None:
    """What stays is told once, what goes or comes may be; nothing is told twice."""
    for number in range(MANY):
        make("symlink", f"s{number:04d}" + "x" * 60)
        make("symlink", f"g{number:04d}")
    stream, seen = Listing("."), list[str]()
    for step, name in enumerate(stream):
        seen.append(name)
        if step % 2 == 0 and step // 2 < MANY:
            os.unlink(f"g{step // 2:04d}")
            make("symlink", f"n{step // 2:04d}")
        if step % 10 == 5 and name.startswith("s"):
            os.rename(name, f"{name[1:]}.moved")
    stream.close()
    stayed = {each for each in seen if each.startswith("s")}
    left = {each for each in os.listdir(".") if each.startswith("s")}
    work.tell("what stayed", left <= stayed)
    work.tell("no name twice", len(seen) == len(set(seen)))
    emptied = Listing(".")
    for name in emptied:
        if name not in {".", ".."}:
            os.unlink(name)
    emptied.close()
    work.tell("left after removing while listing", os.listdir("."))


@CASES.case()
def an_open_listing(work: Work) -> None:
    os.mkdir("d")
    make("file", "d/a")
    stream = Listing("d")
    work.tell("first", _real(stream))
    make("file", "d/b")
    stream.rewind()
    work.tell("after a creation", sorted(_real(stream)))
    os.rename("d", "e")
    stream.rewind()
    work.tell("after a move", sorted(_real(stream)))
    os.unlink("e/a")
    os.unlink("e/b")
    os.rmdir("e")
    stream.rewind()
    work.tell("after its end", _real(stream))
    stream.close()


@CASES.case(TYPES)
def many_names(work: Work, kind: str) -> None:
    """Strange names are just names."""
    for name in (
        " ",
        "\t",
        "\n",
        "-",
        "--",
        "a\\b",
        "*",
        "?",
        "'",
        '"',
        "ä",
        "a\u0308",
        "😀",
        "\x01",
        "\x7f",
        "CON",
        "a:b",
        "x.",
        " x ",
        "...",
        "~",
        "#",
        "A",
        "a",
    ):
        work.do(f"make {name!r}", lambda name=name: make(kind, name))
    work.tell("all there", sorted(os.listdir(".")))
    for name in os.listdir("."):
        remove(kind, name)
    work.tell("left", os.listdir("."))
