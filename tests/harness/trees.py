"""What a directory tree holds, as a value that two trees can be compared by."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path

CHUNK_BYTES = 1 << 20


def tree_of(root: Path, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """Every entry below `root` by its path: kind, mode, and for files size, mtime (ns) and digest."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder, name)
            found[str(path.relative_to(root))] = _facts(path, times=times)
    return found


def _facts(path: Path, *, times: bool) -> tuple[object, ...]:
    told = path.lstat()
    if stat.S_ISLNK(told.st_mode):
        return ("symlink", str(path.readlink()))
    mode = stat.S_IMODE(told.st_mode)
    if stat.S_ISDIR(told.st_mode):
        return ("folder", mode)
    return ("file", mode, told.st_size, told.st_mtime_ns if times else None, digest_of(path))


def texts_of(root: Path) -> dict[str, str | None]:
    """Every entry below `root` by its path: the text of a file, "-> TARGET" of a symlink, None for a folder."""
    found: dict[str, str | None] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = None if path.is_dir() else path.read_text()
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that differ at every position of a megabyte or so, and between seeds: a shifted range is seen."""
    block = b"".join(hashlib.sha256(f"{seed}:{number}".encode()).digest() for number in range(32768))
    return (block * (size // len(block) + 1))[:size]


def succeed(
    *words: str | Path, cwd: Path | None = None, timeout_s: float = 120.0, expect: int = 0, **variables: str
) -> str:
    """Run a program; AssertionError with its words when it does not end as expected. Returns its output."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == expect, (
        f"{words} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout
