"""What makes a change outlive power loss: fsync(2) of the file, and of the folder that names it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync_file(path: Path) -> None:
    """Return when the bytes of `path` are on the disk. Raises OSError."""
    _sync(path, os.O_NOFOLLOW)


def sync_folder(folder: Path) -> None:
    """Return when the entries of `folder` are on the disk. Raises OSError."""
    _sync(folder, os.O_DIRECTORY)


def _sync(path: Path, how: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | how)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
