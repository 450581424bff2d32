"""One of the two places where steps are done: a folder in the mount, or its shadow on a local file system."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import stat
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.steps import Step

READ_BYTES = 4 << 20


class Side:
    """The same steps give the same answers on both sides. An answer is a value, or the name of an errno."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[int, int] = {}
        self._maps: dict[int, mmap.mmap] = {}

    def __enter__(self) -> Self:
        self.root.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self.close_all()

    def close_all(self) -> None:
        """No open file, no mapping."""
        for mapped in self._maps.values():
            mapped.close()
        for descriptor in self._open.values():
            os.close(descriptor)
        self._maps.clear()
        self._open.clear()

    def do(self, step: Step) -> object:
        """Do it; what came of it."""
        try:
            return getattr(self, step.kind)(step)
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    # Open files ---------------------------------------------------------------------------------------------------

    def open(self, step: Step) -> None:
        """Into a slot; what was open there is closed before."""
        self.close(step)
        self._open[step.slot] = os.open(self.root / step.path, step.flags, 0o644)

    def close(self, step: Step) -> None:
        """A mapping of it lives on."""
        if (descriptor := self._open.pop(step.slot, None)) is not None:
            os.close(descriptor)

    def again(self, step: Step) -> str:
        """The open file once more, by its descriptor: also when it has no name any more."""
        if (descriptor := self._open.get(step.other)) is None or step.other == step.slot:
            return ""
        self.close(step)
        self._open[step.slot] = os.open(f"/proc/self/fd/{descriptor}", step.flags & ~(os.O_CREAT | os.O_EXCL))
        return "opened"

    def _on(self, slot: int) -> int:
        if (descriptor := self._open.get(slot)) is None:
            raise OSError(errno.EBADF, "nothing is open there")
        return descriptor

    def pwrite(self, step: Step) -> int:
        """At an offset, within the file or beyond its end."""
        return os.pwrite(self._on(step.slot), step.data, step.offset)

    def write(self, step: Step) -> int:
        """Where the descriptor stands, or at the end under O_APPEND."""
        return os.write(self._on(step.slot), step.data)

    def pread(self, step: Step) -> str:
        """The bytes at an offset, by their digest."""
        return _digest(os.pread(self._on(step.slot), step.size, step.offset))

    def read(self, step: Step) -> str:
        """From where the descriptor stands."""
        return _digest(os.read(self._on(step.slot), step.size))

    def ftruncate(self, step: Step) -> None:
        """Cut, or grown by a hole."""
        os.ftruncate(self._on(step.slot), step.offset)

    def allocate(self, step: Step) -> None:
        """posix_fallocate(3), which the C library imitates where the file system cannot: under O_RDWR alone."""
        descriptor = self._on(step.slot)
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND) == os.O_RDWR:
            os.posix_fallocate(descriptor, step.offset, max(step.size, 1))

    def copy_range(self, step: Step) -> int:
        """copy_file_range(2) from one open file to another."""
        return os.copy_file_range(self._on(step.slot), self._on(step.other), step.size, 0, step.offset)

    def send(self, step: Step) -> int:
        """sendfile(2), to where the other one stands."""
        return os.sendfile(self._on(step.other), self._on(step.slot), step.offset, step.size)

    def fsync(self, step: Step) -> None:
        """Odd ones by fdatasync."""
        (os.fdatasync if step.seed % 2 else os.fsync)(self._on(step.slot))

    def fstat(self, step: Step) -> tuple[int, ...]:
        """Type, mode, links and size."""
        return _told(os.fstat(self._on(step.slot)))

    # Mappings -----------------------------------------------------------------------------------------------------

    def map(self, step: Step) -> int:
        """All of an open file, shared."""
        self.unmap(step)
        descriptor = self._on(step.slot)
        facts = os.fstat(descriptor)
        size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0  # a folder's is as each file system likes it
        if size == 0:
            return 0
        self._maps[step.slot] = mmap.mmap(descriptor, size)
        return size

    def unmap(self, step: Step) -> None:
        """The mapping in a slot, if there is one."""
        if (mapped := self._maps.pop(step.slot, None)) is not None:
            mapped.close()

    def _mapped(self, step: Step) -> tuple[mmap.mmap, int, int]:
        """A mapping, and what of the wanted range is in it and still in the file: beyond it waits a SIGBUS."""
        mapped = self._maps.get(step.slot)
        if mapped is None:
            raise OSError(errno.ENXIO, "nothing is mapped there")
        end = min(len(mapped), mapped.size())
        start = min(step.offset, end)
        return mapped, start, min(start + step.size, end)

    def map_write(self, step: Step) -> int:
        """Through memory."""
        mapped, start, stop = self._mapped(step)
        mapped[start:stop] = step.data[: stop - start]
        return stop - start

    def map_read(self, step: Step) -> str:
        """Through memory."""
        mapped, start, stop = self._mapped(step)
        return _digest(mapped[start:stop])

    def map_sync(self, step: Step) -> None:
        """msync(2) of all of it that is still in the file."""
        mapped, _, _ = self._mapped(step)
        mapped.flush()

    # Names --------------------------------------------------------------------------------------------------------

    def stat(self, step: Step) -> tuple[int, ...]:
        """Type, mode, and for files links and size."""
        return _told((self.root / step.path).lstat())

    def truncate(self, step: Step) -> None:
        """By its name."""
        os.truncate(self.root / step.path, step.offset)

    def rename(self, step: Step) -> None:
        """Of files and folders, over others too."""
        (self.root / step.path).rename(self.root / step.target)

    def unlink(self, step: Step) -> None:
        """It may be open."""
        (self.root / step.path).unlink()

    def mkdir(self, step: Step) -> None:
        """One of the folders that paths go through, as a rule."""
        self._folder(step).mkdir()

    def rmdir(self, step: Step) -> None:
        """Of the same ones."""
        self._folder(step).rmdir()

    def _folder(self, step: Step) -> Path:
        path = self.root / step.path
        return path if path.parent == self.root else path.parent

    def list(self, step: Step) -> list[str]:
        """All names of a folder."""
        return sorted(os.listdir(self._folder(step)))  # noqa: PTH208 - any errno is an answer

    def chmod(self, step: Step) -> None:
        """Both for the owner to read and write."""
        (self.root / step.path).chmod(0o600 if step.seed % 2 else 0o755)

    def utime(self, step: Step) -> int:
        """A time with nanoseconds, told as it was set."""
        os.utime(self.root / step.path, ns=(1, step.seed * 1_000_003))
        return (self.root / step.path).stat().st_mtime_ns

    def link(self, step: Step) -> None:
        """A symlink."""
        (self.root / step.path).symlink_to(step.target)

    def save(self, step: Step) -> None:
        """As editors do: a new file beside it, synced, renamed over it."""
        beside = (self.root / step.path).with_name(".new")
        with beside.open("wb") as file:
            file.write(step.data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(self.root / step.path)

    def copy(self, step: Step) -> int:
        """All of a file into another, which is emptied before."""
        data = (self.root / step.path).read_bytes()
        return (self.root / step.target).write_bytes(data)

    def look(self, step: Step) -> str:
        """All of a file."""
        with (self.root / step.path).open("rb") as file:
            return _digest(file.read())


def _told(facts: os.stat_result) -> tuple[int, ...]:
    """What both sides must tell alike. A symlink's mode is what the system makes of it, a folder's size anything."""
    if stat.S_ISREG(facts.st_mode):
        return (facts.st_mode, facts.st_nlink, facts.st_size)
    return (stat.S_IFMT(facts.st_mode),)


def _digest(data: bytes) -> str:
    """Length and digest: short to tell, and different for different bytes."""
    return f"{len(data)}:{hashlib.blake2b(data, digest_size=8).hexdigest()}"
