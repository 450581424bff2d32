"""Whether the mount is paused: `DIR/paused`, apart from the catalog, so that a catalog that is told anew stays paused.

Nobody who paused must find that changes were sent because a disk went bad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.on_disk import sync_folder

if TYPE_CHECKING:
    from pathlib import Path


class Pause:
    """The file in a state directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "paused"

    @property
    def on(self) -> bool:
        """Whether there is one."""
        return self._path.exists()

    def put(self, *, on: bool) -> None:
        """Durable when it returns; waits for the disk. Raises OSError."""
        if on:
            self._path.touch(mode=0o600)
        else:
            self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)
