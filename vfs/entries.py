"""From the file system's values to pyfuse3's, and names back and forth.

Entries are built anew for each answer: measured at 0.4 µs. A bounded cache of kept ones would save half of
that, and could go stale.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyfuse3

from cache.model import NAME_MAX_BYTES, TIME_MAX_NS, Kind
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from sync.remote import Space
    from vfs.attributes import Attributes

_TYPE_BITS = {
    Kind.FILE: stat.S_IFREG,
    Kind.FOLDER: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.SOCKET: stat.S_IFSOCK,
    Kind.CHAR: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
}
_KINDS = {bits: kind for kind, bits in _TYPE_BITS.items()} | {0: Kind.FILE}  # mknod(2): no type is a regular file
_STAT_BLOCK_BYTES = 512  # the unit of st_blocks, whatever st_blksize says
_STATFS_BLOCK_BYTES = 4096
_TARGET_MAX_BYTES = 4095  # PATH_MAX without the closing zero
# What the change feed covers is invalidated when it changes: the kernel may believe it as long as it likes.
# A day bounds what a lost notification could do.
BELIEVED_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose everything in the mount is that nobody gave to somebody else."""

    uid: int
    gid: int
    umask: int = 0  # permission bits that nobody gets


def entry_of(attributes: Attributes, owner: Owner) -> pyfuse3.EntryAttributes:
    """The kernel's form of `attributes`."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = attributes.ino
    entry.entry_timeout = BELIEVED_S
    entry.attr_timeout = BELIEVED_S
    entry.st_mode = _TYPE_BITS[attributes.kind] | (attributes.mode & 0o7777 & ~owner.umask)
    entry.st_nlink = attributes.nlink
    entry.st_uid = owner.uid if attributes.uid is None else attributes.uid
    entry.st_gid = owner.gid if attributes.gid is None else attributes.gid
    entry.st_rdev = attributes.device
    entry.st_size = attributes.size
    entry.st_blocks = -(-attributes.disk_bytes // _STAT_BLOCK_BYTES)
    entry.st_atime_ns = attributes.atime_ns
    entry.st_mtime_ns = attributes.mtime_ns
    entry.st_ctime_ns = attributes.ctime_ns
    return entry


def kind_of(mode: int) -> Kind:
    """The kind that mknod asks for; raises FUSEError (EINVAL)."""
    kind = _KINDS.get(stat.S_IFMT(mode))
    if kind in {None, Kind.FOLDER, Kind.SYMLINK}:
        raise pyfuse3.FUSEError(errno.EINVAL)
    return kind


def absent() -> pyfuse3.EntryAttributes:
    """No such name, and the kernel may remember that. Raising ENOENT would not be remembered."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = BELIEVED_S
    return entry


def change_of(asked: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields) -> AttributeChange:
    """What setattr asks for. A change of ctime alone asks for nothing: it follows from every other change."""
    return AttributeChange(
        size=asked.st_size if fields.update_size else None,
        mode=asked.st_mode & 0o7777 if fields.update_mode else None,
        uid=asked.st_uid if fields.update_uid else None,
        gid=asked.st_gid if fields.update_gid else None,
        mtime_ns=_held(asked.st_mtime_ns) if fields.update_mtime else None,
        atime_ns=_held(asked.st_atime_ns) if fields.update_atime else None,
    )


def _held(time_ns: int) -> int:
    """The nearest time that can be kept, as the kernel does for the file systems of a disk."""
    return min(max(time_ns, -TIME_MAX_NS), TIME_MAX_NS)


def statvfs_of(space: Space) -> pyfuse3.StatvfsData:
    """Room in blocks. The number of files has no bound that we know: 0 of 0, as btrfs tells it."""
    answer = pyfuse3.StatvfsData()
    answer.f_bsize = answer.f_frsize = _STATFS_BLOCK_BYTES
    answer.f_blocks = space.total // _STATFS_BLOCK_BYTES
    answer.f_bfree = answer.f_bavail = space.free // _STATFS_BLOCK_BYTES
    answer.f_namemax = NAME_MAX_BYTES
    return answer


def name_of(name: bytes) -> str:
    """A name from the kernel. Raises FUSEError: ENAMETOOLONG over 255 bytes, EILSEQ for what is not UTF-8."""
    if len(name) > NAME_MAX_BYTES:
        raise pyfuse3.FUSEError(errno.ENAMETOOLONG)
    return text_of(name)


def text_of(raw: bytes) -> str:
    """A symlink's target from the kernel. Raises FUSEError(EILSEQ) for bytes that are not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise pyfuse3.FUSEError(errno.EILSEQ) from error


def target_bytes(target: str) -> bytes:
    """A symlink's target for the kernel. Raises FUSEError(EIO) for what no path can be."""
    raw = target.encode()
    if not raw or len(raw) > _TARGET_MAX_BYTES or b"\0" in raw:
        raise pyfuse3.FUSEError(errno.EIO)
    return raw
