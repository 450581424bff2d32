"""The work that is timed: plain functions from a path to seconds per unit of work.

What Python itself costs is the same at every place, and is kept small: loops run in C where it matters (`stat`), and
buffers are made before the clock starts.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from itertools import repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_AT_FDCWD = -100  # linux/fcntl.h
_STATX_BASIC_STATS = 0x7FF  # linux/stat.h: what stat(2) tells
_STATX_BYTES = 256
_STAT_REPEATS = 5
_STAT_ROUNDS = 3  # the fastest counts: a round is short enough for another process to double it
_C_LOCALE = {**os.environ, "LC_ALL": "C"}
_libc = ctypes.CDLL(None, use_errno=True)


def _foreign(name: str) -> Callable[..., int]:
    function = getattr(_libc, name)
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]  # ctypes types its functions as Any


# `labs` looks at its first argument only: called like `statx`, it costs what the loop costs and nothing else.
_statx, _nothing = _foreign("statx"), _foreign("labs")


def _called_for_each(function: Callable[..., int], paths: Sequence[bytes], buffer: bytes) -> float:
    """Seconds of one call per path, looped in C. Raises OSError when a statx failed."""
    arguments = (repeat(_AT_FDCWD), paths, repeat(0), repeat(_STATX_BASIC_STATS), repeat(buffer))
    begun = time.perf_counter()
    answers = sum(map(function, *arguments))
    seconds = time.perf_counter() - begun
    if function is _statx and answers != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), paths[0])
    return seconds


def stat(folder: Path) -> float:
    """One statx(2) of a path, less what the same loop costs around a C function that does nothing."""
    paths = [os.fsencode(path) for path in sorted(folder.iterdir())] * _STAT_REPEATS
    buffer = bytes(_STATX_BYTES)
    loop, whole = (
        min(_called_for_each(function, paths, buffer) for _ in range(_STAT_ROUNDS)) for function in (_nothing, _statx)
    )
    return max(whole - loop, 1e-9) / len(paths)


def ls(folder: Path) -> float:
    """`ls -l`, process and sorting included."""
    return command(["ls", "-l", "--color=never", str(folder)])


def scan(folder: Path) -> float:
    """os.scandir and a stat of each entry."""
    begun = time.perf_counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
    return time.perf_counter() - begun


def first_entry(folder: Path) -> float:
    """From the opening of a folder to the first name in it."""
    begun = time.perf_counter()
    with os.scandir(folder) as entries:
        next(entries)
        return time.perf_counter() - begun


def find(folder: Path) -> float:
    """`find` with a condition that needs every file's size."""
    return command(["find", str(folder), "-size", "+1000G"])


def git_status(folder: Path) -> float:
    """`git status` of a clean clone."""
    return command(["git", "-C", str(folder), "status", "--porcelain"])


def command(words: list[str]) -> float:
    """A program from its start to its end, its output thrown away."""
    begun = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=_C_LOCALE)
    return time.perf_counter() - begun


def open_read_close(folder: Path) -> float:
    """One small file: open, read to its end, close."""
    paths = [os.path.join(folder, name) for name in os.listdir(folder)]  # noqa: PTH118, PTH208 - text is what open takes
    begun = time.perf_counter()
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 4096)
        os.close(fd)
    return (time.perf_counter() - begun) / len(paths)


def read(path: Path, block_bytes: int) -> float:
    """One byte, of a file read from begin to end, opening included."""
    buffer = bytearray(block_bytes)
    total = 0
    begun = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return (time.perf_counter() - begun) / total


def write(path: Path, block_bytes: int, total_bytes: int) -> float:
    """One byte, of a new file written from begin to end and closed; not synced. The file is gone afterwards."""
    block = os.urandom(block_bytes)
    begun = time.perf_counter()
    with path.open("xb", buffering=0) as file:
        for _ in range(total_bytes // block_bytes):
            file.write(block)
    seconds = time.perf_counter() - begun
    path.unlink()
    return seconds / total_bytes


def each(change: Callable[[Path], object], paths: Sequence[Path]) -> float:
    """One change of a name."""
    begun = time.perf_counter()
    for path in paths:
        change(path)
    return (time.perf_counter() - begun) / len(paths)
