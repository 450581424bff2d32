"""The data of the bench `hydrate`: what each case works on, laid out only if a case that is picked asks for it.

Files of 4 GiB are holes: only what is asked of them counts.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benches.samples import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SMALL_BYTES = 4096
SPARSE_BYTES = 4 << 30
RANDOM_BYTES = 1 << 30  # also when little is asked for: of a smaller file whoever reads ahead has all of it by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything."""

    small_files: int = 2000
    held_files: int = 5000
    many_folders: int = 2000
    large_bytes: int = 1024 * MIB
    held_bytes: int = 256 * MIB
    pieces: int = 64  # of each of the random readers
    memory_files: int = 4
    memory_reads: int = 10  # of one after the other, round and round: what comes again was evicted
    memory_cache: str = "2G"


FULL = Scale()
QUICK = Scale(small_files=300, held_files=1000, many_folders=200, large_bytes=256 * MIB, held_bytes=64 * MIB,
              pieces=16, memory_files=4, memory_reads=4, memory_cache="600M")  # fmt: skip


def build(root: Path, scale: Scale, names: Iterable[str]) -> None:
    """Lay these out below `root`: keys of LAYOUTS."""
    root.mkdir(exist_ok=True)
    for name in sorted(set(names)):
        LAYOUTS[name](root / name, scale)


def memory_file(number: int) -> str:
    """The name of a file of `memory`, below the root."""
    return f"memory/{number}.bin"


def _content() -> random.Random:
    return random.Random(1)  # noqa: S311 - the same bytes every time is what is wanted


def _fill(folder: Path, files: int, content: bytes) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"file-{number:05}.txt").write_bytes(content)


def _few(root: Path, _scale: Scale) -> None:
    for number in range(40):
        _fill(root / f"d{number:03}", 10, b"x")


def _many(root: Path, scale: Scale) -> None:
    for number in range(scale.many_folders):
        _fill(root / f"g{number // 50:03}" / f"d{number % 50:03}", 2, b"x")


def _write(path: Path, size: int) -> None:
    content = _content()
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(content.randbytes(MIB))


def _memory(root: Path, scale: Scale) -> None:
    root.mkdir()
    first = root.parent / memory_file(0)
    _write(first, scale.large_bytes)
    for number in range(1, scale.memory_files):
        shutil.copyfile(first, root.parent / memory_file(number))


def _hole(path: Path, _scale: Scale) -> None:
    with path.open("wb") as file:
        file.truncate(SPARSE_BYTES)


LAYOUTS: dict[str, Callable[[Path, Scale], None]] = {
    "small": lambda path, scale: _fill(path, scale.small_files, _content().randbytes(SMALL_BYTES)),
    "held": lambda path, scale: _fill(path, scale.held_files, _content().randbytes(SMALL_BYTES)),
    "few": _few,
    "many": _many,
    "large.bin": lambda path, scale: _write(path, scale.large_bytes),
    "curled.bin": lambda path, scale: _write(path, scale.large_bytes),
    "random.bin": lambda path, _scale: _write(path, RANDOM_BYTES),
    "held.bin": lambda path, scale: _write(path, scale.held_bytes),
    "memory": _memory,
    "first.sparse": _hole,
    "end.sparse": _hole,
    "middle.sparse": _hole,
}
