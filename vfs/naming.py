"""How names come and go in the drive: each change is one transaction, and returns; sending it is the engine's matter.

Only the first look into a folder waits for the network: nobody can say what is free or empty there before it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache import changing, edits, tree
from cache.errors import Exists, NotAFolder, NotFound, NotKept, NotSupported
from cache.model import ROOT_INO, ContentId, Ino, Kind, News, Node
from vfs.attributes import Attributes, Person, of_node
from vfs.callers import caller
from vfs.files import OPEN_PUSH_DELAY_S, Files

if TYPE_CHECKING:
    import sqlite3

    from cache.store import LocalStore
    from sync.engine import Engine
    from vfs.rules import Rule

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
LISTING_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class _New:
    """What is to be made; `by`: whose it will be, None for whoever mounts."""

    kind: Kind
    mode: int
    by: Person | None
    target: str = ""
    device: int = 0


class Names:
    """The names of one mount, and what stat tells of them."""

    def __init__(self, store: LocalStore, engine: Engine, *, uid: int, gid: int, rules: tuple[Rule, ...] = ()) -> None:
        self._store = store
        self._engine = engine
        self._owner = (uid, gid)
        self.files = Files(store, engine, rules)

    async def mkdir(self, parent: Ino, name: str, mode: int, *, by: Person | None = None) -> Attributes:
        """A new folder."""
        return self._attributes(await self._make(parent, name, _New(Kind.FOLDER, mode, by)))

    async def symlink(self, parent: Ino, name: str, target: str, *, by: Person | None = None) -> Attributes:
        """A new symlink; NotKept where the remote has none."""
        if not self._engine.capabilities.symlinks:
            raise NotKept("the remote has no symlinks", kind=Kind.SYMLINK)
        return self._attributes(await self._make(parent, name, _New(Kind.SYMLINK, 0o777, by, target=target)))

    async def mknod(
        self, parent: Ino, name: str, kind: Kind, mode: int, *, device: int = 0, by: Person | None = None
    ) -> Attributes:
        """A new file that nobody has open, or something that stays on this machine: the outbox never has it."""
        node = await self._make(parent, name, _New(kind, mode, by, device=device))
        if kind is Kind.FILE:
            await self.files.release((await self.files.open(node, os.O_WRONLY)).fh)
        return self._attributes(node)

    async def create(
        self, parent: Ino, name: str, mode: int, flags: int, *, by: Person | None = None
    ) -> tuple[int, Attributes]:
        """A new, open file."""
        try:
            node = await self._make(parent, name, _New(Kind.FILE, mode, by))
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
        going = await self._ready_target(new_parent, new_name)
        clock = self._store.clock()
        if flags & RENAME_EXCHANGE:
            await self._store.db.write_here(lambda c: edits.exchange(c, parent, name, new_parent, new_name, clock))
            self._engine.changed()
            return
        if going is not None:
            await self._store.durability.before_replacing(tree.child(self._store.db.reader, parent, name), going)
        done = await self._store.db.write_here(
            lambda c: edits.rename(
                c, parent, name, new_parent, new_name, clock, no_replace=bool(flags & RENAME_NOREPLACE)
            )
        )
        self._after(done.news, done.replaced)
        self._engine.keeper.look_at(done.node.ino)

    async def _ready_target(self, parent: Ino, name: str) -> Node | None:
        """What has that name; a folder, and the one that it is in, with all that is in them."""
        await self._listed(parent)
        target = tree.child(self._store.db.reader, parent, name)
        if target is not None and target.kind is Kind.FOLDER:
            await self._listed(target.ino)
        return target

    async def _make(self, parent: Ino, name: str, new: _New) -> Node:
        await self._listed(parent)
        clock = self._store.clock(OPEN_PUSH_DELAY_S if new.kind is Kind.FILE else None)  # a file is created open
        owner = (None, None) if new.by is None else self._owner_of(new.by)

        def change(connection: sqlite3.Connection) -> Node:
            node = edits.make(
                connection, parent, name, new.kind, clock,
                mode=new.mode & 0o7777, target=new.target, owner=owner, device=new.device,
            )  # fmt: skip
            if node.content_id is not None:
                self._store.fresh_blob(node.content_id, 0, unsent=True)
            return node

        node = await self._store.db.write_here(change)
        self._engine.changed()
        return node

    def _owner_of(self, person: Person) -> tuple[int | None, int | None]:
        """As a node has it: None for what is whoever mounts the drive."""
        uid, gid = self._owner
        return (None if person.uid == uid else person.uid, None if person.gid == gid else person.gid)

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

    # Parts ---------------------------------------------------------------------------------------------------------

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
            nlink=links, mtime_ns=stat.st_mtime_ns, ctime_ns=max(node.ctime_ns, stat.st_ctime_ns),
            atime_ns=stat.st_mtime_ns if node.atime_ns is None else node.atime_ns, uid=node.uid, gid=node.gid,
        )  # fmt: skip

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
