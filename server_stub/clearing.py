"""Removing what lies in the server's own room, however deep it goes: no recursion, one open folder at a time.

What cannot be removed now (a folder that its mode protects) is left, and tried again at the next start.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from server_stub.beneath import FOLDER_FLAGS, open_beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]


@contextlib.contextmanager
def opened_folder(folder_fd: int, names: Path) -> Iterator[int]:
    """A descriptor of a folder below an open one; OSError."""
    fd = open_beneath(folder_fd, names, FOLDER_FLAGS)
    try:
        yield fd
    finally:
        os.close(fd)


def clear(folder_fd: int, name: str, *, keep_files: bool = False) -> None:
    """Remove a name with all below it, if it is there; with `keep_files`, all but regular files and their folders."""
    with contextlib.suppress(OSError):
        if _clear_entry(folder_fd, name, keep_files=keep_files):
            return
    folders: list[Path] = []
    pending: list[Path] = [(name,)]
    while pending:
        folders.append(pending.pop())
        with contextlib.suppress(OSError):
            pending += _clear_folder(folder_fd, folders[-1], keep_files=keep_files)
    for path in reversed(folders):
        with contextlib.suppress(OSError), opened_folder(folder_fd, path[:-1]) as above:
            os.rmdir(path[-1], dir_fd=above)


def _clear_folder(folder_fd: int, path: Path, *, keep_files: bool) -> list[Path]:
    """Remove what is no folder; returns the folders."""
    with opened_folder(folder_fd, path) as fd:
        with os.scandir(fd) as entries:
            names = [entry.name for entry in entries]
        return [(*path, name) for name in names if not _clear_entry(fd, name, keep_files=keep_files)]


def _clear_entry(folder_fd: int, name: str, *, keep_files: bool) -> bool:
    """Remove what is no folder, or leave it as asked; False for a folder. OSError."""
    mode = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        return False
    if not keep_files or stat.S_ISLNK(mode):
        os.unlink(name, dir_fd=folder_fd)
    return True
