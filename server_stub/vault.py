"""The server's own room on the drive's file system: staged content not yet in the tree, and older contents.

`staging/` is emptied at start (after recovery); `kept/` holds one file per retained content version,
`uploads/` one per upload that is not in the drive. All lie on the file system of the root, so that every way
in and out of the tree is one atomic rename or link.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from server_stub import failpoints, holes
from server_stub.clearing import clear
from server_stub.names import HIDDEN_FOLDER
from server_stub.tree import REAL_MODE_MASK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Room(StrEnum):
    """Where something complete waits to be placed."""

    STAGING = "staging"
    UPLOADS = "uploads"


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """Something complete and durable in `staging/`, ready to be placed."""

    name: str
    ino: int
    size: int = 0
    digest: str | None = None


def vault_path(root: Path, state: Path) -> Path:
    """In the state folder when that is on the root's file system, else hidden in the root."""
    same = state.stat().st_dev == root.stat().st_dev
    return state / "vault" if same else root / HIDDEN_FOLDER


class Writing:
    """A file being staged: bytes in, digest on the way, durable at `finish`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.name = secrets.token_hex(12)
        self._digest = hashlib.sha256()
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self.name, flags, 0o600, dir_fd=vault.staging_fd)

    def write(self, chunk: bytes) -> None:
        """Append; OSError when the disk is full."""
        view = memoryview(chunk)
        while view:
            written = holes.append(self._fd, view, self.size)
            self.size += written
            view = view[written:]
        self._digest.update(chunk)

    def finish(self, *, mode: int, modified_ns: int) -> Staged:
        """Set mode and time, fsync, close."""
        os.fchmod(self._fd, mode & REAL_MODE_MASK)
        os.utime(self._fd, ns=(modified_ns, modified_ns))
        os.fsync(self._fd)
        failpoints.reach("staged")
        ino = os.fstat(self._fd).st_ino
        os.close(self._fd)
        self._fd = -1
        return Staged(name=self.name, ino=ino, size=self.size, digest=self._digest.hexdigest())

    def abandon(self) -> None:
        """Close and drop; nothing happens after `finish` but the drop."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._vault.discard(self.name)


class Vault:
    """`staging/` and `kept/` by descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("", "staging", "kept", "uploads"):
            (path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.staging_fd = _open_folder(path / "staging")
        self.kept_fd = _open_folder(path / "kept")
        self.uploads_fd = _open_folder(path / "uploads")

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.staging_fd)
        os.close(self.kept_fd)
        os.close(self.uploads_fd)

    def room_fd(self, room: Room) -> int:
        """The folder of a room."""
        return self.staging_fd if room is Room.STAGING else self.uploads_fd

    def begin(self) -> Writing:
        """Start staging a file."""
        return Writing(self)

    def stage_folder(self, *, mode: int, modified_ns: int) -> Staged:
        """Stage an empty folder."""
        name = secrets.token_hex(12)
        os.mkdir(name, 0o700, dir_fd=self.staging_fd)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.staging_fd)
        try:
            os.fchmod(fd, mode & REAL_MODE_MASK)
            os.utime(fd, ns=(modified_ns, modified_ns))
            os.fsync(fd)
            return Staged(name=name, ino=os.fstat(fd).st_ino)
        finally:
            os.close(fd)

    def stage_symlink(self, target: str, *, modified_ns: int) -> Staged:
        """Stage a symlink."""
        name = secrets.token_hex(12)
        os.symlink(target, name, dir_fd=self.staging_fd)
        os.utime(name, ns=(modified_ns, modified_ns), dir_fd=self.staging_fd, follow_symlinks=False)
        ino = os.stat(name, dir_fd=self.staging_fd, follow_symlinks=False).st_ino
        return Staged(name=name, ino=ino, size=len(os.fsencode(target)))

    def new_name(self) -> str:
        """A free name in the staging room."""
        return secrets.token_hex(12)

    def discard_skeleton(self, name: str) -> None:
        """Drop folders and symlinks that were staged, if they are still there; a content that could not be put
        back where it came from stays for recovery.
        """
        clear(self.staging_fd, name, keep_files=True)

    def discard(self, name: str) -> None:
        """Drop something staged, if it is still there."""
        clear(self.staging_fd, name)

    def open_kept(self, content_version: str) -> int:
        """A descriptor of an older content; OSError."""
        return os.open(content_version, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.kept_fd)

    def kept_ino(self, content_version: str) -> int:
        """The inode of an older content; FileNotFoundError."""
        return os.stat(content_version, dir_fd=self.kept_fd, follow_symlinks=False).st_ino

    def drop_kept(self, content_version: str) -> None:
        """Forget an older content."""
        clear(self.kept_fd, content_version)

    def drop_all_kept(self, content_versions: Iterable[str]) -> None:
        """Forget older contents."""
        for content_version in content_versions:
            clear(self.kept_fd, content_version)

    def sweep(self, kept_versions: set[str], upload_ids: set[str]) -> int:
        """Empty `staging/`, drop from `kept/` and `uploads/` what no row names; returns how many went. Only at
        start, after recovery.
        """
        strays = [(self.staging_fd, name) for name in _names(self.staging_fd)]
        strays += [(self.kept_fd, name) for name in _names(self.kept_fd) if name not in kept_versions]
        strays += [(self.uploads_fd, name) for name in _names(self.uploads_fd) if name not in upload_ids]
        for fd, name in strays:
            clear(fd, name)
        return len(strays)


def _names(folder_fd: int) -> list[str]:
    with os.scandir(folder_fd) as entries:
        return [entry.name for entry in entries]


def _open_folder(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
