"""How the drive behaves as a file system: names and attributes. Open files' bytes are in `vfs.files`; pyfuse3 is not
known here.

Answers come from the catalog. Only three things wait for the network, each with a deadline: the first look into a
folder, bytes that are not here, and the first statfs. A local change is one transaction and returns; pushing it is
the engine's matter.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import trio

from cache import changing, edits, tree
from cache.errors import Exists, NotAFolder, NotFound, NotSupported
from cache.model import ROOT_INO, ContentId, Ino, Kind, News, Node
from vfs.attributes import AttributeChange, Attributes, DirectoryEntry, OpenedFile, of_node
from vfs.callers import by_root, caller
from vfs.files import OPEN_PUSH_DELAY_S, Files
from vfs.xattrs import Xattrs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from cache.store import LocalStore
    from sync.engine import Engine
    from sync.remote import Space
    from vfs.rules import Rule

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
LISTING_DEADLINE_S = 60.0
_DOT_COOKIES = 2  # "." and ".." come first; an entry's cookie is its inode number plus this


class Filesystem:
    """See the module. Methods raise LocalError, RemoteError or OSError only."""

    def __init__(self, store: LocalStore, engine: Engine, *, uid: int, gid: int, rules: tuple[Rule, ...] = ()) -> None:
        self._store = store
        self._engine = engine
        self._owner = (uid, gid)
        self.files = Files(store, engine, rules)
        self._xattrs = Xattrs(store, engine, self.files.programs)

    # Looking -----------------------------------------------------------------------------------------------------

    async def lookup(self, parent: Ino, name: str) -> Attributes:
        """The entry of a folder; NotFound only when the folder is known to have no such entry."""
        return self._attributes(await self._child(parent, name))

    async def getattr(self, ino: Ino) -> Attributes:
        """What stat tells."""
        return self._attributes(self._node(ino))

    async def readlink(self, ino: Ino) -> str:
        """Where a symlink points."""
        return self._node(ino).symlink_target or ""

    async def opendir(self, ino: Ino) -> int:
        """Open a folder: its children are known from here on."""
        self._engine.descender.opened(self._node(ino))
        await self._listed(ino)
        return self.files.handles.add_folder(ino)

    async def readdir(self, fh: int, offset: int) -> Iterator[DirectoryEntry]:
        """Entries beyond a cookie, in inode order: none comes twice, none that stays is left out."""
        return self._entries(self.files.handles.folder(fh).ino, offset)

    async def releasedir(self, fh: int) -> None:
        """Close a folder."""
        self.files.handles.remove_folder(fh)

    async def fsyncdir(self, fh: int) -> None:
        """Names changed so far survive power loss."""
        self.files.handles.folder(fh)
        await self._store.db.make_durable()

    async def statfs(self) -> Space:
        """Room at the remote."""
        return await self._engine.space()

    def _entries(self, ino: Ino, offset: int) -> Iterator[DirectoryEntry]:
        folder = self._node(ino)
        if offset < 1:
            yield DirectoryEntry(name=".", attributes=self._attributes(folder), next_offset=1)
        if offset < _DOT_COOKIES:
            above = self._node(folder.parent or ino)
            yield DirectoryEntry(name="..", attributes=self._attributes(above), next_offset=_DOT_COOKIES)
        for node in tree.children(self._store.db.reader, ino, max(offset - _DOT_COOKIES, 0)):
            yield DirectoryEntry(name=node.name, attributes=self._attributes(node), next_offset=node.ino + _DOT_COOKIES)

    # Changing names ----------------------------------------------------------------------------------------------

    async def mkdir(self, parent: Ino, name: str, mode: int) -> Attributes:
        """A new folder."""
        return self._attributes(await self._make(parent, name, Kind.FOLDER, mode))

    async def symlink(self, parent: Ino, name: str, target: str) -> Attributes:
        """A new symlink."""
        return self._attributes(await self._make(parent, name, Kind.SYMLINK, 0o777, target))

    async def create(self, parent: Ino, name: str, mode: int, flags: int) -> tuple[int, Attributes]:
        """A new, open file."""
        try:
            node = await self._make(parent, name, Kind.FILE, mode)
            flags &= ~os.O_TRUNC  # it is empty
        except Exists:
            if flags & os.O_EXCL:
                raise
            node = await self._child(parent, name)  # somebody else's creation came in between
        opened = await self.files.open(node, flags)
        return opened.fh, self._attributes(self._node(node.ino))

    async def unlink(self, parent: Ino, name: str) -> None:
        """Remove a file's or symlink's name."""
        await self._remove(parent, name, folder=False)

    async def rmdir(self, parent: Ino, name: str) -> None:
        """Remove an empty folder."""
        node = await self._child(parent, name)
        if node.kind is Kind.FOLDER:
            await self._listed(node.ino)
        await self._remove(parent, name, folder=True)

    async def rename(self, parent: Ino, name: str, new_parent: Ino, new_name: str, flags: int) -> None:
        """Rename and move, with RENAME_NOREPLACE and RENAME_EXCHANGE."""
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise NotSupported(flags=flags)
        await self._ready_target(new_parent, new_name)
        clock = self._store.clock()
        if flags & RENAME_EXCHANGE:
            await self._store.db.write_here(lambda c: edits.exchange(c, parent, name, new_parent, new_name, clock))
            self._engine.changed()
            return
        reader = self._store.db.reader
        coming, going = tree.child(reader, parent, name), tree.child(reader, new_parent, new_name)
        await self._store.durability.before_replacing(coming, going)
        done = await self._store.db.write_here(
            lambda c: edits.rename(
                c, parent, name, new_parent, new_name, clock, no_replace=bool(flags & RENAME_NOREPLACE)
            )
        )
        self._after(done.news, done.replaced)
        self._engine.keeper.look_at(done.node.ino)

    async def _ready_target(self, parent: Ino, name: str) -> None:
        await self._listed(parent)
        target = tree.child(self._store.db.reader, parent, name)
        if target is not None and target.kind is Kind.FOLDER:
            await self._listed(target.ino)

    async def _make(self, parent: Ino, name: str, kind: Kind, mode: int, target: str = "") -> Node:
        await self._listed(parent)
        clock = self._store.clock(OPEN_PUSH_DELAY_S if kind is Kind.FILE else None)  # a file is created open

        def change(connection: sqlite3.Connection) -> Node:
            node = edits.make(connection, parent, name, kind, clock, mode=mode & 0o7777, target=target)
            if node.content_id is not None:
                self._store.fresh_blob(node.content_id, 0, unsent=True)
            return node

        node = await self._store.db.write_here(change)
        self._engine.changed()
        return node

    async def _remove(self, parent: Ino, name: str, *, folder: bool) -> None:
        clock = self._store.clock()
        node, news = await self._store.db.write_here(lambda c: edits.remove(c, parent, name, clock, folder=folder))
        self._after(news, node)

    def _after(self, news: list[News], nameless: Node | None) -> None:
        if nameless is not None:
            contents: list[ContentId] = [] if nameless.content_id is None else [nameless.content_id]
            self._store.tidy(contents, [nameless.ino])
        self._engine.applier.tell_soon(news)
        self._engine.changed()

    # Attributes --------------------------------------------------------------------------------------------------

    async def setattr(self, ino: Ino, change: AttributeChange, fh: int | None) -> Attributes:
        """Truncate, chmod, utimens. Owners stay on this machine: only the mounting user's own ids are accepted."""
        node = self._node(ino)
        uid, gid = self._owner
        if change.uid not in {None, uid} or change.gid not in {None, gid}:
            raise OSError(errno.EPERM, "files of this drive belong to who mounted it")
        if (change.uid, change.gid) != (None, None) or (change.size is not None and not by_root.get()):
            await self.files.privileges.drop(node)
        if change.size is not None:
            await self.files.truncate(node, change.size, fh)
        if change.mode is not None or change.mtime_ns is not None:
            await self._set_attributes(node, change)
        return self._attributes(self._node(ino))

    async def _set_attributes(self, node: Node, change: AttributeChange) -> None:
        self.files.privileges.note(node.ino, change.mode)
        if change.mtime_ns is not None:
            self._store.set_time(node, change.mtime_ns)
        clock = self._store.clock()

        def set_them(connection: sqlite3.Connection) -> None:
            edits.set_attributes(connection, node.ino, clock, mode=change.mode, mtime_ns=change.mtime_ns)

        await self._store.db.write_here(set_them)
        self._engine.changed()

    def _attributes(self, node: Node) -> Attributes:
        """Of an open content, the object that knows better than the catalog is asked."""
        links = 2 + tree.count_folders(self._store.db.reader, node.ino) if node.kind is Kind.FOLDER else 1
        if node.parent is None and node.ino != ROOT_INO:
            links = 0
        node = self.files.pages.as_paged(node)
        opened = self._store.opened.get(node.content_id)
        if opened is None or not opened.dirty:
            return of_node(node, self._store.held_bytes(node), links)
        stat = opened.stat()
        return Attributes(
            ino=node.ino, kind=node.kind, mode=node.mode, size=opened.size, disk_bytes=stat.st_blocks * 512,
            nlink=links, mtime_ns=stat.st_mtime_ns, ctime_ns=max(node.ctime_ns, stat.st_mtime_ns),
            atime_ns=stat.st_mtime_ns,
        )  # fmt: skip

    # Extended attributes -----------------------------------------------------------------------------------------

    async def getxattr(self, ino: Ino, name: bytes) -> bytes:
        """One attribute; raises NoAttribute."""
        return self._xattrs.get(self._node(ino), name)

    async def listxattr(self, ino: Ino) -> list[bytes]:
        """All names; never costs a request."""
        return self._xattrs.names(self._node(ino), caller.get())

    async def setxattr(self, ino: Ino, name: bytes, value: bytes) -> None:
        """Set one attribute."""
        await self._xattrs.put(self._node(ino), name, value)

    async def removexattr(self, ino: Ino, name: bytes) -> None:
        """Of a pin: as the folder above."""
        await self._xattrs.put(self._node(ino), name, None)

    # Open files: see vfs.files -----------------------------------------------------------------------------------

    async def open(self, ino: Ino, flags: int) -> OpenedFile:
        """Open a file."""
        return await self.files.open(self._node(ino), flags)

    async def read(self, fh: int, offset: int, size: int) -> bytes | memoryview:
        """Bytes of the version that was opened."""
        return await self.files.read(fh, offset, size)

    async def write(self, fh: int, offset: int, data: bytes) -> int:
        """Change bytes; the file is in the outbox before the first one changes."""
        return await self.files.write(fh, offset, data)

    async def release(self, fh: int) -> None:
        """The last descriptor of an open file was closed."""
        ino = self.files.handles.file(fh).ino
        await self.files.release(fh)
        self._engine.keeper.closed(ino)

    async def fsync(self, fh: int, datasync: bool) -> None:  # the kernel's own flag
        """Bytes and journal survive power loss."""
        await self.files.fsync(fh, datasync)

    # The kernel's memory -----------------------------------------------------------------------------------------

    def pages_are_older(self, ino: Ino) -> bool:
        """Whether an older version is still read through the kernel's pages."""
        return self.files.pages.are_older(ino)

    def dropped(self, ino: Ino) -> None:
        """The kernel forgot an inode."""
        self.files.forget(ino)

    # Parts -------------------------------------------------------------------------------------------------------

    def _node(self, ino: Ino) -> Node:
        return changing.existing(self._store.db.reader, ino)

    async def _child(self, parent: Ino, name: str) -> Node:
        node = tree.child(self._store.db.reader, parent, name)
        if node is None:
            await self._listed(parent)
            node = tree.child(self._store.db.reader, parent, name)
        if node is None:
            raise NotFound(name=name)
        return node

    async def _listed(self, ino: Ino) -> None:
        """Have every child of a folder here."""
        node = self._node(ino)
        if node.kind is not Kind.FOLDER:
            raise NotAFolder(ino=ino)
        if not node.listed:
            with self.files.callers.waiting(caller.get()), trio.fail_after(LISTING_DEADLINE_S):
                await self._engine.ensure_listed(ino)
