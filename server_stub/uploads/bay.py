"""The bytes of uploads: one file each in the vault. Blocking; runs on worker threads.

The row's offset is the truth. What a file holds beyond it is scratch: it is cut off before the next byte is
appended, and a checksum that does not agree leaves its bytes there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Final

from server_stub import holes
from server_stub.vault import Room, Staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from hashlib import _Hash

    from server_stub.vault import Vault

_STEP_BYTES: Final = 1 << 20
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class BytesLost(Exception):
    """An upload's file holds less than was acknowledged: somebody reached into the vault, or a backup is older."""


class Appending:
    """An upload's file, open behind its durable bytes; `digest` is over everything, when it is known."""

    def __init__(self, fd: int, offset: int, digest: _Hash | None) -> None:
        self._fd = fd
        self._lock = threading.Lock()  # a cancelled request leaves its write running; close waits for it
        self._is_doubtful = False
        self.size = offset
        self.digest = digest

    def write(self, chunk: bytes | bytearray) -> None:
        """Append; OSError when the disk is full."""
        with self._lock:
            view = memoryview(chunk)
            while view:
                written = holes.append(self._fd, view, self.size)
                if self.digest is not None:
                    self.digest.update(view[:written])
                self.size += written
                view = view[written:]

    def sync(self) -> None:
        """Durable when it returns. After a failure never again: the kernel forgets what it could not write, so a
        second attempt would succeed over lost bytes.
        """
        with self._lock:
            if self._is_doubtful:
                raise OSError(errno.EIO, "an earlier write of these bytes failed")
            self._is_doubtful = True
            os.fdatasync(self._fd)
            self._is_doubtful = False

    def close(self) -> None:
        """Give the descriptor back, once."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class Bay:
    """Files of uploads by id."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._folder_fd = vault.room_fd(Room.UPLOADS)

    def create(self, upload_id: str) -> None:
        """An empty file whose name is durable."""
        os.close(os.open(upload_id, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=self._folder_fd))
        os.fsync(self._folder_fd)

    def append(self, upload_id: str, offset: int, digest: _Hash | None) -> Appending:
        """Open behind `offset`; OSError, BytesLost. `digest` is over the bytes before it; None: not known."""
        fd = self._open(upload_id, os.O_WRONLY)
        try:
            _cut(fd, offset)
        except (OSError, BytesLost):
            os.close(fd)
            raise
        return Appending(fd, offset, hashlib.sha256() if offset == 0 else digest)

    def _open(self, upload_id: str, flags: int) -> int:
        try:
            return os.open(upload_id, flags | _FLAGS, dir_fd=self._folder_fd)
        except FileNotFoundError:
            raise BytesLost(upload_id) from None

    def join(self, upload_id: str, parts: Iterable[str]) -> _Hash:
        """A new durable file of the parts' bytes in order; the digest over all. OSError."""
        self.create(upload_id)
        appending = self.append(upload_id, 0, None)
        try:
            for part in parts:
                self._copy(part, appending)
            appending.sync()
        finally:
            appending.close()
        return appending.digest or hashlib.sha256()

    def _copy(self, part: str, appending: Appending) -> None:
        fd = self._open(part, os.O_RDONLY)
        try:
            while chunk := os.read(fd, _STEP_BYTES):
                appending.write(chunk)
        finally:
            os.close(fd)

    def seal(self, upload_id: str, *, size: int, modified_ns: int, digest: _Hash | None) -> Staged:
        """Ready to be placed: exactly `size` bytes, its time set, durable. OSError, BytesLost."""
        with contextlib.suppress(FileNotFoundError):  # told by the opening
            os.chmod(upload_id, 0o600, dir_fd=self._folder_fd)  # an attempt that met drift may have left another mode
        fd = self._open(upload_id, os.O_RDWR)
        try:
            _cut(fd, size)
            return self.finish(fd, upload_id, size=size, modified_ns=modified_ns, digest=digest)
        finally:
            os.close(fd)

    @staticmethod
    def finish(fd: int, name: str, *, size: int, modified_ns: int, digest: _Hash | None) -> Staged:
        """What `fd` holds is complete: its time set, durable, its digest known. OSError."""
        known = _digest_of(fd) if digest is None else digest
        os.utime(fd, ns=(modified_ns, modified_ns))
        os.fsync(fd)
        return Staged(name=name, ino=os.fstat(fd).st_ino, size=size, digest=known.hexdigest())

    @contextlib.contextmanager
    def reading(self, upload_id: str, size: int) -> Iterator[int]:
        """A descriptor of an upload's bytes; BytesLost when there are fewer than `size`."""
        fd = self._open(upload_id, os.O_RDONLY)
        try:
            if os.fstat(fd).st_size < size:
                raise BytesLost(upload_id)
            yield fd
        finally:
            os.close(fd)

    def drop(self, upload_id: str) -> None:
        """Forget the bytes, if they are still here."""
        try:
            os.unlink(upload_id, dir_fd=self._folder_fd)
        except FileNotFoundError:
            return


def _cut(fd: int, size: int) -> None:
    if os.fstat(fd).st_size < size:
        raise BytesLost("shorter than what was acknowledged")
    os.ftruncate(fd, size)


def _digest_of(fd: int) -> _Hash:
    digest, position = hashlib.sha256(), 0
    while chunk := os.pread(fd, _STEP_BYTES, position):
        digest.update(chunk)
        position += len(chunk)
    return digest
