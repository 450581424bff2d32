"""Random work on the mount and on a local file system, side by side: the same results, errors and trees at each step.

Examples of 50 steps: 15, with `--long` 4,000; a step that differs is told with the example's seed and what led to it.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from typing import TYPE_CHECKING, Self

import pytest

from tests.harness.mount import Mount  # noqa: TC001 - a fixture's type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse
STEPS = 50
NAMES = ("a", "b", "c", "d", "e" * 255, "f" * 256, "ä ö")
DEPTH = 3
OPEN_FLAGS = (
    os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDONLY | os.O_DIRECTORY,
    os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_NOFOLLOW,
)  # fmt: skip


class Side:
    """One of the two places: the same work gives the same answers on both."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open: dict[int, int] = {}  # a number that both sides know → descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.open.values():
            os.close(descriptor)

    def path(self, relative: str) -> Path:
        """Where a path is on this side."""
        return self.root / relative

    def tree(self) -> dict[str, tuple[object, ...]]:
        """Every entry: kind, mode, links, and size and bytes, or target."""
        return dict(_entries(self.root, ""))


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    for entry in sorted(folder.iterdir()):
        told, name = entry.lstat(), f"{prefix}{entry.name}"
        if stat.S_ISDIR(told.st_mode):
            yield name, ("folder", stat.S_IMODE(told.st_mode), told.st_nlink)
            yield from _entries(entry, f"{name}/")
        elif stat.S_ISLNK(told.st_mode):
            yield name, ("symlink", told.st_size, str(entry.readlink()))
        else:
            mtime_ns = told.st_mtime_ns if told.st_mtime < 2 else None  # as set; else the moment of the write
            facts = (stat.S_IMODE(told.st_mode), told.st_nlink, told.st_size, mtime_ns)
            yield name, ("file", *facts, entry.read_bytes())


class Draw:
    """Draws work from a seed; every piece is a function that is done on one side, then on the other."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._numbers = 0
        self._kinds = [
            self.create, self.write, self.write, self.append, self.truncate, self.unlink, self.mkdir, self.mkdir,
            self.rmdir, self.rename, self.rename, self.rename, self.symlink, self.chmod, self.times, self.read,
            self.stat, self.list, self.open, self.open, self.pwrite, self.pwrite, self.pread, self.ftruncate,
            self.fstat, self.close, self.replace_by_rename,
        ]  # fmt: skip

    def next(self) -> tuple[str, Callable[[Side], object]]:
        """What to call it, and what to do."""
        return self.chance.choice(self._kinds)()

    def _path(self) -> str:
        names = NAMES[:4] if self.chance.random() < 0.9 else NAMES
        return "/".join(self.chance.choice(names) for _ in range(self.chance.randint(1, DEPTH)))

    def _data(self) -> bytes:
        return self.chance.randbytes(self.chance.choice((0, 1, 7, 100, 4096, 5000, 70_000)))

    def _offset(self) -> int:
        return self.chance.choice((0, 1, 5, 4095, 4096, 10_000, 200_000))

    def create(self) -> tuple[str, Callable[[Side], object]]:
        path, data = self._path(), self._data()

        def act(side: Side) -> int:
            with side.path(path).open("xb") as file:
                return file.write(data)

        return f"create {path}", act

    def write(self) -> tuple[str, Callable[[Side], object]]:
        path, data = self._path(), self._data()
        return f"write {path}", lambda side: side.path(path).write_bytes(data)

    def append(self) -> tuple[str, Callable[[Side], object]]:
        path, data = self._path(), self._data()

        def act(side: Side) -> int:
            with side.path(path).open("ab") as file:
                return file.write(data)

        return f"append {path}", act

    def truncate(self) -> tuple[str, Callable[[Side], object]]:
        path, size = self._path(), self._offset()
        return f"truncate {path} {size}", lambda side: os.truncate(side.path(path), size)

    def unlink(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"unlink {path}", lambda side: side.path(path).unlink()

    def mkdir(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"mkdir {path}", lambda side: side.path(path).mkdir()

    def rmdir(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"rmdir {path}", lambda side: side.path(path).rmdir()

    def rename(self) -> tuple[str, Callable[[Side], object]]:
        path, target = self._path(), self._path()
        return f"rename {path} {target}", lambda side: str(side.path(path).rename(side.path(target)).name)

    def replace_by_rename(self) -> tuple[str, Callable[[Side], object]]:
        path, data = self._path(), self._data()

        def act(side: Side) -> None:
            beside = side.path(f"{path}.new")
            beside.write_bytes(data)
            try:
                beside.rename(side.path(path))
            finally:
                beside.unlink(missing_ok=True)

        return f"save {path}", act

    def symlink(self) -> tuple[str, Callable[[Side], object]]:
        path, target = self._path(), self._path()
        return f"symlink {path} {target}", lambda side: side.path(path).symlink_to(target)

    def chmod(self) -> tuple[str, Callable[[Side], object]]:
        path, mode = self._path(), self.chance.choice((0o600, 0o644, 0o755, 0o444))
        return f"chmod {path} {mode:o}", lambda side: side.path(path).chmod(mode)

    def times(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"utime {path}", lambda side: os.utime(side.path(path), ns=(1_000, 1_000))

    def read(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"read {path}", lambda side: side.path(path).read_bytes()

    def stat(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"stat {path}", lambda side: stat.S_IFMT(side.path(path).stat().st_mode)

    def list(self) -> tuple[str, Callable[[Side], object]]:
        path = self._path()
        return f"list {path}", lambda side: sorted(each.name for each in side.path(path).iterdir())

    def open(self) -> tuple[str, Callable[[Side], object]]:
        path, flags = self._path(), self.chance.choice(OPEN_FLAGS)
        self._numbers += 1
        number = self._numbers

        def act(side: Side) -> None:
            side.open[number] = os.open(side.path(path), flags, 0o644)

        return f"open {path} {flags:o} as {number}", act

    def pwrite(self) -> tuple[str, Callable[[Side], object]]:
        offset, data = self._offset(), self._data()
        return self._on_open(f"pwrite {len(data)} at {offset}", lambda descriptor: os.pwrite(descriptor, data, offset))

    def pread(self) -> tuple[str, Callable[[Side], object]]:
        offset, size = self._offset(), self.chance.choice((0, 1, 5000, 300_000))
        return self._on_open(f"pread {size} at {offset}", lambda descriptor: os.pread(descriptor, size, offset))

    def ftruncate(self) -> tuple[str, Callable[[Side], object]]:
        size = self._offset()
        return self._on_open(f"ftruncate {size}", lambda descriptor: os.ftruncate(descriptor, size))

    def fstat(self) -> tuple[str, Callable[[Side], object]]:
        def facts(descriptor: int) -> tuple[int, ...]:
            told = os.fstat(descriptor)
            folder = stat.S_ISDIR(told.st_mode)
            return (told.st_mode, 0 if folder else told.st_nlink, 0 if folder else told.st_size)

        return self._on_open("fstat", facts)

    def close(self) -> tuple[str, Callable[[Side], object]]:
        number = self.chance.randint(1, max(self._numbers, 1))

        def act(side: Side) -> None:
            if number in side.open:
                os.close(side.open.pop(number))

        return f"close {number}", act

    def _on_open(self, name: str, act: Callable[[int], object]) -> tuple[str, Callable[[Side], object]]:
        number = self.chance.randint(1, max(self._numbers, 1))
        return f"{name} of {number}", lambda side: act(side.open[number]) if number in side.open else None


def _told(act: Callable[[Side], object], side: Side) -> object:
    try:
        return act(side)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def test_random_work_has_the_same_results_as_on_a_local_file_system(
    mount: Mount, tmp_path: Path, often: Callable[[int, int], int]
) -> None:
    for seed in range(often(15, 4_000)):
        roots = (mount.path / str(seed), tmp_path / "local" / str(seed))
        for root in roots:
            root.mkdir(parents=True)
        _compare(seed, *roots)


def _compare(seed: int, ours: Path, theirs: Path) -> None:
    draw, done = Draw(seed), list[str]()
    with Side(ours) as here, Side(theirs) as there:
        for _ in range(STEPS):
            name, act = draw.next()
            done.append(name[:200])
            found, expected = _told(act, here), _told(act, there)
            assert found == expected, f"seed {seed}: {done}"
            assert here.tree() == there.tree(), f"seed {seed}: {done}"
