"""A small disk of a test's own, whose power can be cut: an ext4 in a file, which then has only what reached the file.

Needs root and a loop device. What a program did not sync stays in the kernel's memory for ten minutes (`commit=`), so
at a cut it is lost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.harness.waiting import until

if TYPE_CHECKING:
    from types import TracebackType

SIZE_BYTES = 128 << 20  # of memory, twice
MEMORY = Path("/dev/shm")


class DiskMissing(Exception):
    """This machine mounts no file as a disk: in a container there may be no loop device left, or none at all."""


class Disk:
    """`with Disk(folder) as disk:` has it mounted at `disk.path`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        self._own = Path(tempfile.mkdtemp(prefix="anchorfs-disk-", dir=MEMORY if MEMORY.is_dir() else folder))
        self._image, self._left = self._own / "image", self._own / "left"

    def __enter__(self) -> Self:
        """DiskMissing where none can be had."""
        with self._image.open("wb") as image:
            image.truncate(SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0", str(self._image))
        try:
            self._mount()
        except subprocess.CalledProcessError as refused:
            shutil.rmtree(self._own)
            raise DiskMissing(refused.stderr.decode().strip()) from refused
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _run("umount", "--lazy", str(self.path))
        shutil.rmtree(self._own)

    def settle(self) -> None:
        """All that was written so far is on the disk."""
        _run("sync", "--file-system", str(self.path))

    def hold(self, pid: int) -> None:
        """The moment of the cut: stop the one process that writes here, and keep what the disk has."""
        os.kill(pid, signal.SIGSTOP)
        until(lambda: _stopped(pid), "all threads to stop")
        shutil.copyfile(self._image, self._left)

    def come_back(self) -> None:
        """The power is back, and has only what it had when it was held. Whoever wrote here is dead by now."""
        _run("umount", str(self.path))
        self._left.replace(self._image)
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop,commit=600", str(self._image), str(self.path))


def _stopped(pid: int) -> bool:
    states = [each.read_text().rpartition(")")[2].split()[0] for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) <= {"T", "t"}


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)
