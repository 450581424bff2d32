"""Staging by copying on the server: single contents and whole trees, durable before they are placed.

Blocks are shared where the file system can (FICLONE), else copied in the kernel; no byte passes through Python
unless neither works. A source that changes while it is copied is told, never copied half.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub import holes
from server_stub.beneath import sync_file_system
from server_stub.clearing import Path, opened_folder
from server_stub.tree import REAL_MODE_MASK
from server_stub.values import Evidence, Item, Kind
from server_stub.vault import Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server_stub.vault import Vault

_FICLONE: Final = 0x40049409
_PIECE_BYTES: Final = 1 << 26  # so that a stopping server waits for one piece at most
_UNABLE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM})


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a tree and its path below the top, which has none."""

    item: Item
    path: Path


class SourceChanged(Exception):
    """The source at this path below the top is not what its row says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


def copy_bytes(source_fd: int, target_fd: int) -> None:
    """All bytes of one open file into another, empty one. OSError."""
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    else:
        return
    size = os.fstat(source_fd).st_size
    os.ftruncate(target_fd, size)
    for start, stop in holes.stretches(source_fd, 0, size):
        position = start
        while position < stop:
            copied = _copy_piece(source_fd, target_fd, position, stop - position)
            if copied == 0:
                return  # it became shorter: told by its evidence
            position += copied


def _copy_piece(source_fd: int, target_fd: int, position: int, count: int) -> int:
    copied = 0
    try:
        copied = os.copy_file_range(source_fd, target_fd, min(count, _PIECE_BYTES), position, position)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    # Some file systems answer 0 where there are bytes: the plain copy decides.
    return copied or os.pwrite(target_fd, os.pread(source_fd, min(count, 1 << 20), position), position)


def stage_copy(vault: Vault, source_fd: int, *, mode: int, modified_ns: int, digest: str | None) -> Staged:
    """A durable copy of an open content. OSError; nothing is left then."""
    name = secrets.token_hex(12)
    try:
        ino, size = _copy_file(vault.staging_fd, name, source_fd, mode=mode, modified_ns=modified_ns, durable=True)
    except BaseException:
        vault.discard(name)
        raise
    return Staged(name=name, ino=ino, size=size, digest=digest)


def _copy_file(
    folder_fd: int, name: str, source_fd: int, *, mode: int, modified_ns: int, durable: bool
) -> tuple[int, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(name, flags, 0o600, dir_fd=folder_fd)
    try:
        copy_bytes(source_fd, fd)
        os.fchmod(fd, mode & REAL_MODE_MASK)
        os.utime(fd, ns=(modified_ns, modified_ns))
        if durable:
            os.fsync(fd)
        found = os.fstat(fd)
        return found.st_ino, found.st_size
    finally:
        os.close(fd)


def stage_tree(vault: Vault, members: Sequence[Member], open_source: Callable[[Path], int]) -> Staged:
    """A durable copy of a whole tree, `members` from the top down. SourceChanged, OSError; nothing is left then."""
    staged = stage_skeleton(vault, members)
    try:
        for member in members:
            if member.item.kind is Kind.FILE:
                with opened_folder(vault.staging_fd, (staged.name, *member.path[:-1])) as fd:
                    _copy_member(fd, member, open_source)
        with opened_folder(vault.staging_fd, (staged.name,)) as fd:
            for path, mode, modified_ns in folder_attributes(members):
                _finish_folder(fd, path, mode, modified_ns)
            sync_file_system(fd)  # one call instead of an fsync per file
    except BaseException:
        vault.discard(staged.name)
        raise
    return staged


def stage_skeleton(vault: Vault, members: Sequence[Member]) -> Staged:
    """Folders and symlinks of a tree; the top is a folder. OSError; nothing is left then."""
    top = vault.stage_folder(mode=0o700, modified_ns=0)
    try:
        for member in members[1:]:
            with opened_folder(vault.staging_fd, (top.name, *member.path[:-1])) as fd:
                if member.item.is_folder:
                    os.mkdir(member.path[-1], 0o700, dir_fd=fd)
                elif member.item.kind is Kind.SYMLINK:
                    _make_symlink(fd, member)
    except BaseException:
        vault.discard(top.name)
        raise
    return top


def folder_attributes(members: Sequence[Member]) -> list[tuple[Path, int, int]]:
    """(path, mode, modified_ns) of every folder, the deepest first."""
    folders = [member for member in members if member.item.is_folder]
    return [(member.path, member.item.mode, member.item.modified_ns) for member in reversed(folders)]


def _make_symlink(folder_fd: int, member: Member) -> None:
    item, name = member.item, member.path[-1]
    os.symlink(item.symlink_target or "", name, dir_fd=folder_fd)
    os.utime(name, ns=(item.modified_ns, item.modified_ns), dir_fd=folder_fd, follow_symlinks=False)


def _copy_member(folder_fd: int, member: Member, open_source: Callable[[Path], int]) -> None:
    item = member.item
    try:
        source_fd = open_source(member.path)
    except OSError as error:
        raise SourceChanged(member.path) from error
    try:
        if Evidence.of(os.fstat(source_fd)) != item.evidence:
            raise SourceChanged(member.path)
        mode, modified_ns = item.mode, item.modified_ns
        _copy_file(folder_fd, member.path[-1], source_fd, mode=mode, modified_ns=modified_ns, durable=False)
        if Evidence.of(os.fstat(source_fd)) != item.evidence:
            raise SourceChanged(member.path)
    finally:
        os.close(source_fd)


def _finish_folder(top_fd: int, path: Path, mode: int, modified_ns: int) -> None:
    with opened_folder(top_fd, path) as fd:
        os.fchmod(fd, mode & REAL_MODE_MASK)
        os.utime(fd, ns=(modified_ns, modified_ns))
