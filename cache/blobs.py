"""Sparse content files, one per content id: `root/XX/<content_id>`, mode 0600 in folders of mode 0700.

This module keeps bytes and knows nothing of versions: which bytes of a file mean anything is recorded
elsewhere. Everything here is synchronous and touches the disk; the caller chooses the thread. An OSError
passes as it is. A file is created exclusively and its name is never used again, so an open descriptor always
means one content. A file whose bytes may exist nowhere else is *marked* in its mode: a second witness beside the
catalog, so that whoever finds it without its row does not delete it. Small clean contents may lie in `bundles` instead.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cache.bundles import Bundles
from cache.holes import make_hole
from cache.model import Bundled, ContentId
from cache.on_disk import sync_folder
from cache.spares import NO_NAMELESS_FILES, Spares

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDERS = 256  # each stays small for file systems that scan their folders
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_COPY_CHUNK_BYTES = 1 << 20  # the plain copy's buffer: hides the system calls, small beside a thread
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS})
_STAT_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own block is
_PLAIN, _UNSENT = 0o600, 0o600 | stat.S_ISVTX  # Linux gives the sticky bit of a plain file no meaning: it is free


class Blobs:
    """The blob store below `root`, which is created when it is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._text = os.fspath(root)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # All at once, with one sync: made one by one, each would have a file's creation wait for the disk.
        made = [self._made_folder(root / f"{number:02x}") for number in range(_FOLDERS)]
        if any(made):
            sync_folder(root)
        self.bundles = Bundles(root / "bundles")
        self.spares = Spares(root, _UNSENT)

    def path(self, content_id: ContentId) -> Path:
        """Where the bytes of `content_id` are."""
        return self._root / self._name(content_id)

    @staticmethod
    def _name(content_id: ContentId) -> str:
        return f"{content_id % _FOLDERS:02x}/{content_id}"

    def create(self, content_id: ContentId, size: int, *, unsent: bool = False) -> None:
        """A new file of `size` bytes that takes no room, marked if `unsent`. Raises FileExistsError: an id is used
        once."""
        if unsent and size == 0 and self.spares.take(f"{self._text}/{self._name(content_id)}"):
            return
        with self._new(content_id, _UNSENT if unsent else _PLAIN) as fd:
            os.ftruncate(fd, size)

    def write_whole(self, content_id: ContentId, data: bytes) -> None:
        """A new file of these bytes. Raises FileExistsError."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(f"{self._text}/{self._name(content_id)}", flags, 0o600)
        try:
            written = 0
            while written < len(data):
                written += os.write(fd, data[written:] if written else data)
        except OSError:  # a full disk needs its room
            self.delete(content_id)
            raise
        finally:
            os.close(fd)

    @staticmethod
    def mark(fd: int) -> None:
        """The bytes behind `fd` may exist nowhere else from here on."""
        os.fchmod(fd, _UNSENT)

    def mark_again(self, content_id: ContentId) -> None:
        """Have the mark on the file, whatever happened to it. Raises FileNotFoundError."""
        self.path(content_id).chmod(_UNSENT)

    def unmark(self, content_id: ContentId) -> None:
        """The bytes exist elsewhere too, or nobody wants them. Nothing happens when the file is not there."""
        with suppress(FileNotFoundError):
            self.path(content_id).chmod(_PLAIN)

    def is_marked(self, content_id: ContentId) -> bool:
        """Whether the bytes may exist nowhere else. Raises FileNotFoundError."""
        return bool(self.path(content_id).stat().st_mode & stat.S_ISVTX)

    def give_away(self, content_id: ContentId, target: Path) -> None:
        """Move the file to `target`, a place outside the store on the same file system. The mark goes last: who is
        killed before finds it, in the one place or the other."""
        self.path(content_id).rename(target)
        target.chmod(_PLAIN)

    def open(self, content_id: ContentId, writable: bool) -> int:
        """A descriptor of its own; the caller closes it. Raises FileNotFoundError."""
        access = os.O_RDWR if writable else os.O_RDONLY
        # As text: a path object costs as much as the opening itself, and files are opened by the thousand.
        return os.open(f"{self._text}/{self._name(content_id)}", access | os.O_CLOEXEC | os.O_NOFOLLOW)

    def open_at(self, content_id: ContentId, bundled: Bundled | None) -> tuple[int, int]:
        """A descriptor, of a blob for writing too, and where in it the content begins. Raises FileNotFoundError."""
        if bundled is None:
            return self.open(content_id, writable=True), 0
        return self.bundles.open(bundled.bundle_id), bundled.start

    def delete(self, content_id: ContentId) -> None:
        """Remove the file; descriptors that are open go on working. Nothing happens when it is not there."""
        self.path(content_id).unlink(missing_ok=True)

    def punch(self, content_id: ContentId, start: int, stop: int) -> None:
        """Give the whole disk blocks inside [start, stop) back; all its bytes read as zero. The size stays.

        Raises OSError(EOPNOTSUPP) where the file system cannot (fallocate(2))."""
        with self._opened(content_id) as fd:
            make_hole(fd, start, stop)

    def disk_bytes(self, content_id: ContentId) -> int:
        """What the file really takes on the disk."""
        return self.path(content_id).stat().st_blocks * _STAT_BLOCK_BYTES

    def has_other_names(self, content_id: ContentId) -> bool:
        """Whether the same file stands elsewhere, too (`cache.aside`)."""
        return self.path(content_id).stat().st_nlink > 1

    def size(self, content_id: ContentId) -> int:
        """The file's length, holes included."""
        return self.path(content_id).stat().st_size

    def length(self, content_id: ContentId) -> int | None:
        """The same; None when there is no file."""
        try:
            return self.size(content_id)
        except FileNotFoundError:
            return None

    def set_time(self, content_id: ContentId, mtime_ns: int) -> None:
        """Set the time of the last change, in nanoseconds. Raises FileNotFoundError."""
        os.utime(self.path(content_id), ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def sync(self, fd: int) -> None:
        """Return when the bytes and the length behind `fd` are on the disk."""
        os.fdatasync(fd)

    def sync_name(self, content_id: ContentId) -> None:
        """Return when the file's name is on the disk: a synced file without a name is lost in a power cut."""
        sync_folder(self.path(content_id).parent)

    def ids(self) -> Iterator[ContentId]:
        """Every content id that has a file here, in no order. Files of other names are passed over."""
        for content_id, _ in self.census():
            yield content_id

    def census(self) -> Iterator[tuple[ContentId, bool]]:
        """The same, each with whether it is marked; costs a stat of each."""
        for number in range(_FOLDERS):
            with suppress(FileNotFoundError), os.scandir(self._root / f"{number:02x}") as entries:
                for entry in entries:
                    name = entry.name
                    if not (name.isascii() and name.isdecimal()):
                        continue
                    if (int(name) % _FOLDERS, str(int(name))) != (number, name):
                        continue
                    with suppress(FileNotFoundError):  # deleted meanwhile: the others of this folder are still there
                        mode = entry.stat(follow_symlinks=False).st_mode
                        yield ContentId(int(name)), bool(mode & stat.S_ISVTX)

    def copy(self, content_id: ContentId, new_id: ContentId) -> None:
        """A second file with the same bytes and holes, sharing the disk blocks where the file system can.

        Raises FileExistsError when `new_id` has a file already; leaves nothing behind when it fails."""
        with self._opened(content_id) as source, self._new(new_id) as target:
            _clone(source, target)

    def snapshot(self, content_id: ContentId) -> int:
        """A descriptor of a nameless copy, which goes when the caller closes it; shares the blocks where it can."""
        target = self._nameless()
        try:
            with self._opened(content_id) as source:
                _clone(source, target)
        except BaseException:
            os.close(target)
            raise
        return target

    def _nameless(self) -> int:
        try:
            return os.open(self._root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in NO_NAMELESS_FILES:
                raise
        fd, name = tempfile.mkstemp(dir=self._root)  # what a kill leaves of it here is empty
        os.unlink(name)  # noqa: PTH108  # as mkstemp gave it
        return fd

    def free_bytes(self) -> int:
        """Room left for us on the file system that holds the store."""
        room = os.statvfs(self._root)
        return room.f_bavail * room.f_frsize

    @contextmanager
    def _opened(self, content_id: ContentId) -> Iterator[int]:
        fd = self.open(content_id, writable=True)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _new(self, content_id: ContentId, mode: int = _PLAIN) -> Iterator[int]:
        path = self.path(content_id)
        self._ensure_folder(path.parent)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            yield fd
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def _ensure_folder(self, folder: Path) -> None:
        if self._made_folder(folder):  # somebody removed it while we run
            sync_folder(self._root)

    @staticmethod
    def _made_folder(folder: Path) -> bool:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return False
        return True


def _clone(source: int, target: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
        _copy_segments(source, target)


def _copy_segments(source: int, target: int) -> None:
    """Copy what is data and leave what is a hole."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        position = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, position)


def _copy_range(source: int, target: int, start: int, stop: int) -> None:
    while start < stop:
        try:
            count = os.copy_file_range(source, target, stop - start, start, start)
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            count = 0
        # Some file systems answer 0 where there are bytes: the plain copy decides.
        start += count or _copy_chunk(source, target, start, min(_COPY_CHUNK_BYTES, stop - start))


def _copy_chunk(source: int, target: int, start: int, size: int) -> int:
    chunk = os.pread(source, size, start)
    if not chunk:
        raise OSError(errno.EIO, "the file ended while it was copied")
    return os.pwrite(target, chunk, start)
