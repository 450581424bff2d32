"""The kernel's requests: translate, call the file system, translate back. No behaviour lives here.

Each answer that gives the kernel an inode counts one reference, at the moment of the answer and with no
await after it. Every handler is wrapped: FUSEError and cancellation leave it, nothing else does (see
vfs.errnos). Permissions are the kernel's business (`default_permissions`).
"""

from __future__ import annotations

import errno
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pyfuse3

from cache.errors import NotFound
from cache.model import Ino
from vfs.answers import CACHE_DIR, KEEP_CACHE, Answers
from vfs.attributes import Person
from vfs.entries import Owner, absent, change_of, entry_of, kind_of, name_of, statvfs_of, target_bytes, text_of
from vfs.errnos import guarded
from vfs.inodes import Inodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyfuse3 import EntryAttributes, FileInfo, ReaddirToken, RequestContext, SetattrFields, StatvfsData

    from vfs.attributes import Attributes
    from vfs.behaviour import Behaviour

_RENAME_FLAGS = pyfuse3.RENAME_NOREPLACE | pyfuse3.RENAME_EXCHANGE
_FILE_CAPABILITIES = b"security.capability"


@guarded
class Operations(pyfuse3.Operations):
    """The request handlers of one mount."""

    supports_dot_lookup = False  # only an NFS export asks for "." and ".."
    enable_writeback_cache = False  # the kernel would own size and mtime, and hide remote changes
    enable_acl = False

    def __init__(self, filesystem: Behaviour, *, uid: int, gid: int, umask: int = 0) -> None:
        super().__init__()
        self._filesystem = filesystem
        self._owner = Owner(uid=uid, gid=gid, umask=umask)
        self._inodes = Inodes()
        self.answers = Answers()
        filesystem.kernel_is(self.knows)

    def knows(self, ino: Ino) -> bool:
        """Whether the kernel may hold anything about `ino`."""
        return self._inodes.knows(ino)

    def may_miss(self, folder: Ino, name: str) -> bool:
        """Whether the kernel may believe that a folder has no such name."""
        return self._inodes.may_miss(folder, name)

    def keeps_pages(self, ino: Ino) -> bool:
        """Whether the pages of `ino` are still right for those who have it open."""
        return self._filesystem.pages_are_older(ino)

    def unmounted(self) -> None:
        """The mount is gone: the kernel gives back what it held without saying so."""
        for ino in self._inodes.forget_all():
            self._filesystem.dropped(ino)

    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """A missing name is answered as such for the kernel to remember."""
        del ctx
        wanted = name_of(name)
        try:
            attributes = await self._filesystem.lookup(Ino(parent_inode), wanted)
        except NotFound:
            self._inodes.remember_absence(Ino(parent_inode), wanted)
            return absent()
        return self._given(attributes)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Never raises: nobody waits for the answer."""
        for number, count in inode_list:
            if self._inodes.forget(Ino(number), count):
                self._filesystem.dropped(Ino(number))

    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        """Counts no reference: the kernel has the inode already."""
        del ctx
        return entry_of(await self._filesystem.getattr(Ino(inode)), self._owner)

    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        """All fields in one call."""
        del ctx
        attributes = await self._filesystem.setattr(Ino(inode), change_of(attr, fields), fh)
        return entry_of(attributes, self._owner)

    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        """The target as it was stored."""
        del ctx
        return target_bytes(await self._filesystem.readlink(Ino(inode)))

    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext) -> EntryAttributes:
        """A file, or what stays on this machine: a pipe, a socket, a device."""
        parent, new = Ino(parent_inode), name_of(name)
        made = await self._filesystem.mknod(
            parent, new, kind_of(mode), stat.S_IMODE(mode), device=rdev, by=Person(ctx.uid, ctx.gid)
        )
        return self._given(made)

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        """The kernel applied the caller's umask already."""
        by = Person(ctx.uid, ctx.gid)
        return self._given(await self._filesystem.mkdir(Ino(parent_inode), name_of(name), stat.S_IMODE(mode), by=by))

    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        """The name goes, the inode lives as long as the kernel holds it."""
        del ctx
        await self._filesystem.unlink(Ino(parent_inode), name_of(name))

    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        """The folder must be empty."""
        del ctx
        await self._filesystem.rmdir(Ino(parent_inode), name_of(name))

    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        """The target is stored as it is, never followed."""
        by = Person(ctx.uid, ctx.gid)
        return self._given(await self._filesystem.symlink(Ino(parent_inode), name_of(name), text_of(target), by=by))

    async def rename(  # noqa: PLR0917 - pyfuse3's signature
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        """EINVAL for a flag that we do not know, as rename(2) says."""
        del ctx
        if flags & ~_RENAME_FLAGS:
            raise pyfuse3.FUSEError(errno.EINVAL)
        old, new = name_of(name_old), name_of(name_new)
        await self._filesystem.rename(Ino(parent_inode_old), old, Ino(parent_inode_new), new, flags)

    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext) -> EntryAttributes:
        """EPERM, as link(2) says of a file system without hard links."""
        del inode, new_parent_inode, ctx
        name_of(new_name)
        raise pyfuse3.FUSEError(errno.EPERM)

    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        """The file system says what the kernel may keep of earlier opens."""
        del ctx
        opened = await self._filesystem.open(Ino(inode), flags)
        if opened.outdated:
            # What news will do: but the reader who has this answer reads as far as the size that the kernel holds. Of
            # attributes alone, nothing is waited for.
            with suppress(OSError):
                pyfuse3.invalidate_inode(inode, attr_only=True)
        return pyfuse3.FileInfo(fh=opened.fh, keep_cache=opened.keep_cache, direct_io=opened.direct_io)

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        """A file and its first handle in one step."""
        parent, by = Ino(parent_inode), Person(ctx.uid, ctx.gid)
        fh, attributes = await self._filesystem.create(parent, name_of(name), stat.S_IMODE(mode), flags, by=by)
        return pyfuse3.FileInfo(fh=fh, keep_cache=True), self._given(attributes)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Fewer bytes than asked only at the end of the file."""
        return cast("bytes", await self._filesystem.read(fh, off, size))  # any buffer will do

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """All of `buf`, or an error."""
        return await self._filesystem.write(fh, off, buf)

    async def flush(self, fh: int) -> None:
        """ENOSYS once, and the kernel never asks again: a write is recorded when made, not at close."""
        del fh
        raise pyfuse3.FUSEError(errno.ENOSYS)

    async def release(self, fh: int) -> None:
        """An error here reaches nobody but the log."""
        await self._filesystem.release(fh)

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Durable on this machine."""
        await self._filesystem.fsync(fh, datasync)

    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        """A listing's handle, and whether the kernel may keep what it is told by it."""
        del ctx
        opened = await self._filesystem.opendir(Ino(inode))
        flags = (CACHE_DIR if opened.fill else 0) | (KEEP_CACHE if opened.keep else 0)
        if flags and not self.answers.flag(flags):
            self._filesystem.listing_not_kept(opened.fh)
        return opened.fh

    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        """References are counted at the end: after an error the kernel has seen none of the entries."""
        told: list[Ino] = []
        for entry in await self._filesystem.readdir(fh, start_id):
            attributes = entry.attributes
            answer = entry_of(attributes, self._owner)
            if not pyfuse3.readdir_reply(token, entry.name.encode(), answer, entry.next_offset):
                break
            if entry.name not in (".", ".."):
                told.append(attributes.ino)
        for ino in told:
            self._remember(ino)

    async def releasedir(self, fh: int) -> None:
        """The listing's handle is closed."""
        await self._filesystem.releasedir(fh)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Durable on this machine. Names are metadata: there is nothing less to do for `datasync`."""
        del datasync
        await self._filesystem.fsyncdir(fh)

    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        """The remote's room."""
        del ctx
        return statvfs_of(await self._filesystem.statfs())

    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        """The kernel asks for file capabilities before each write: there are none, and that costs nothing."""
        del ctx
        if name == _FILE_CAPABILITIES:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return await self._filesystem.getxattr(Ino(inode), name)

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        """XATTR_CREATE and XATTR_REPLACE are pyfuse3's business: it asks getxattr first."""
        del ctx
        await self._filesystem.setxattr(Ino(inode), name, value)

    async def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        """One attribute less."""
        del ctx
        await self._filesystem.removexattr(Ino(inode), name)

    async def listxattr(self, inode: int, ctx: RequestContext) -> list[bytes]:
        """All names."""
        del ctx
        return await self._filesystem.listxattr(Ino(inode))

    async def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        """Not asked under `default_permissions`: the kernel decides from mode and owner."""
        del inode, mode, ctx
        return True

    def _given(self, attributes: Attributes) -> EntryAttributes:
        """The answer that hands `attributes` over, counted."""
        entry = entry_of(attributes, self._owner)
        self._remember(attributes.ino)
        return entry

    def _remember(self, ino: Ino) -> None:
        self._inodes.remember(ino)
