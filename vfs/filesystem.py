"""How the drive behaves as a file system. Names come and go in `vfs.naming`, open files' bytes are in `vfs.files`;
pyfuse3 is not known here.

Answers come from the catalog. Only three things wait for the network, each with a deadline: the first look into a
folder, bytes that are not here, and the first statfs. A local change is one transaction and returns; pushing it is
the engine's matter.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from cache import edits, tree
from vfs.attributes import AttributeChange, Attributes, DirectoryEntry, OpenedFile, OpenedFolder
from vfs.callers import by_root, caller
from vfs.listings import Listings
from vfs.naming import Names
from vfs.xattrs import Xattrs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

    from cache.model import Ino, Node
    from cache.store import LocalStore
    from sync.engine import Engine
    from sync.remote import Space
    from vfs.rules import Rule

_DOT_COOKIES = 2  # "." and ".." come first; an entry's cookie is its inode number plus this


class Filesystem(Names):
    """See the module. Methods raise LocalError, RemoteError or OSError only."""

    def __init__(self, store: LocalStore, engine: Engine, *, uid: int, gid: int, rules: tuple[Rule, ...] = ()) -> None:
        super().__init__(store, engine, uid=uid, gid=gid, rules=rules)
        self._xattrs = Xattrs(store, engine, self.files.programs)
        self.listings = Listings(engine.applier.tell_soon)
        engine.applier.observers.append(self.listings.noticed)

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

    async def opendir(self, ino: Ino) -> OpenedFolder:
        """Open a folder: its children are known from here on."""
        self._engine.descender.opened(self._node(ino))
        await self._listed(ino)
        fh = self.files.handles.add_folder(ino)
        keeping = self.listings.opened(ino, self._above(ino), fh)
        return OpenedFolder(fh, fill=keeping.fill, keep=keeping.keep)

    async def readdir(self, fh: int, offset: int) -> Iterable[DirectoryEntry]:
        """Entries beyond a cookie, in inode order: none comes twice, none that stays is left out."""
        ino = self.files.handles.folder(fh).ino
        if offset < 1:
            self.listings.begun(fh, self._above(ino))
        entries = self._entries(ino, offset)
        first = next(entries, None)
        if first is None:
            await self.listings.ended(fh)
            return ()
        return chain((first,), entries)

    async def releasedir(self, fh: int) -> None:
        """Close a folder."""
        self.listings.closed(fh)
        self.files.handles.remove_folder(fh)

    def listing_not_kept(self, fh: int) -> None:
        """The kernel dropped what it had of a folder just opened."""
        self.listings.not_kept(fh)

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
            above = self._node(self._above(ino))
            yield DirectoryEntry(name="..", attributes=self._attributes(above), next_offset=_DOT_COOKIES)
        for node in tree.children(self._store.db.reader, ino, max(offset - _DOT_COOKIES, 0)):
            yield DirectoryEntry(name=node.name, attributes=self._attributes(node), next_offset=node.ino + _DOT_COOKIES)

    def _above(self, ino: Ino) -> Ino:
        """What ".." leads to; of a folder without a name, and of the root, the folder itself."""
        return self._node(ino).parent or ino

    # Attributes --------------------------------------------------------------------------------------------------

    async def setattr(self, ino: Ino, change: AttributeChange, fh: int | None) -> Attributes:
        """Truncate, chmod, chown, utimens. Owners and the time of last access stay on this machine."""
        node = self._node(ino)
        owner = (change.uid, change.gid) != (None, None) or change == AttributeChange()  # to -1, -1
        if owner or (change.size is not None and not by_root.get()):
            await self.files.privileges.drop(node)
        if change.size is not None:
            await self.files.truncate(node, change.size, fh)
        await self._set_attributes(node, change)
        return self._attributes(self._node(ino))

    async def _set_attributes(self, node: Node, change: AttributeChange) -> None:
        self.files.privileges.note(node.ino, change.mode)
        travels = change.mode is not None or change.mtime_ns is not None
        stays = not (change.uid is None and change.gid is None and change.atime_ns is None)
        if not travels and not stays and change.size is not None:
            return  # cutting has moved its times
        if change.mtime_ns is not None:
            self._store.set_time(node, change.mtime_ns)
        clock = self._store.clock()

        def set_them(connection: sqlite3.Connection) -> None:
            if travels:
                edits.set_attributes(connection, node.ino, clock, mode=change.mode, mtime_ns=change.mtime_ns)
            edits.set_local_attributes(
                connection, node, clock, uid=change.uid, gid=change.gid, atime_ns=change.atime_ns
            )

        await self._store.db.write_here(set_them)
        if travels:
            self._engine.changed()

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
        self.listings.forget(ino)
        if ino in self._store.nameless:
            self._store.tidy(())

    def kernel_is(self, knows: Callable[[Ino], bool]) -> None:
        """Whom to ask what the kernel may still ask for: that is kept, also without a name."""
        self._store.nameless.known = knows
