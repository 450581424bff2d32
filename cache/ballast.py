"""Room kept for the hour when the disk is full: to give bytes back, the catalog must be able to say so.

`DIR/ballast` takes 4 MiB. It is thrown off before room is made on a full disk, and taken on again afterwards. Meanwhile
the catalog's log is folded in, so that there is room in its file: what waits can be sent, and may be evicted then.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

SIZE_BYTES = 4 << 20
_NAME = "ballast"


class Ballast:
    """The file in a state directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME
        self.take_on()

    def take_on(self) -> None:
        """Have it, if the disk can hold it."""
        fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, SIZE_BYTES)
        except OSError as error:
            log.debug("no ballast: %s", error)
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)

    def throw_off(self) -> None:
        """Give its room to the catalog."""
        thrown_off(self._path.parent)


def thrown_off(directory: Path) -> bool:
    """The same, of a state directory that nobody has open yet; whether there was any."""
    path = directory / _NAME
    held = path.exists() and path.stat().st_size > 0
    path.unlink(missing_ok=True)
    return held
