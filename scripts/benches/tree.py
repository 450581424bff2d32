"""The data that every place gets a copy of, the same to the byte."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benches.samples import MIB

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything."""

    listed_entries: int = 5000  # of each folder that is listed
    large_entries: int = 100_000  # of the one whose first entry is waited for
    tree_folders: int = 2000  # below which `find` walks, 50 files each
    small_files: int = 5000
    repository_files: int = 2000
    read_bytes: int = 64 * MIB
    warm_bytes: int = 512 * MIB  # read again: so much that opening and closing the file is nothing beside it
    write_bytes: int = 64 * MIB
    names: int = 100  # made, renamed, removed; rclone takes 70 ms for some of these
    far_names: int = 50  # and here it takes some round trips more


FULL = Scale()
QUICK = Scale(large_entries=20_000, tree_folders=200, small_files=1000, repository_files=1000, read_bytes=32 * MIB,
              warm_bytes=192 * MIB, write_bytes=32 * MIB, names=50, far_names=10)  # fmt: skip


def build(root: Path, scale: Scale, runs: int) -> None:
    """Lay the data out below `root`. What only a first look measures is there once for each run."""
    content = random.Random(1)  # noqa: S311 - the same bytes every time is what is wanted
    for run in range(runs):
        _fill(root / f"listed-{run}", scale.listed_entries, b"sixteen bytes..\n")
    for folder in range(scale.tree_folders):
        _fill(root / "tree" / f"d{folder:03}", 50, b"x")
    _fill(root / "small", scale.small_files, content.randbytes(SMALL_BYTES))
    _fill(root / "large", scale.large_entries, b"")
    (root / "warm.bin").write_bytes(content.randbytes(MIB) * (scale.warm_bytes // MIB))
    for run in range(runs):
        (root / f"first-{run}.bin").write_bytes(content.randbytes(scale.read_bytes))
    for run in range(runs):
        _fill(root / f"there-{run}", 2 * scale.names, b"")
    (root / "work").mkdir()
    _repository(root / "repository", scale.repository_files)


def copy(source: Path, target: Path) -> None:
    """The same data in another folder."""
    subprocess.run(["cp", "-a", "--", str(source), str(target)], check=True)


def _fill(folder: Path, files: int, content: bytes) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"file-{number:05}.txt").write_bytes(content)


def _repository(folder: Path, files: int) -> None:
    for number in range(0, files, 50):
        _fill(folder / f"package_{number:05}", 50, b"import this\n" * 40)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Everything"]):
        subprocess.run(["git", "-C", str(folder), *identity, *words], check=True)
