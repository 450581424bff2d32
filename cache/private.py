"""Folders for what is one user's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_private(folder: Path) -> None:
    """Make the folder, and all that is missing above it, open to nobody else (0700). Raises OSError.

    `Path.mkdir(parents=True)` would make those above as the umask has it.
    """
    missing = [folder, *folder.parents]
    for each in reversed(missing[: next(depth for depth, each in enumerate(missing) if each.exists())]):
        each.mkdir(mode=0o700, exist_ok=True)
