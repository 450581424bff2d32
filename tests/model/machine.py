"""One client machine of the model: state directory, engine, file system, a fake remote; no kernel, no threads."""

from __future__ import annotations

import math
import os
import shutil
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

from cache import contents, due, fsck, items, journal, tree
from cache.db import inline
from cache.errors import NotFound
from cache.model import ROOT_INO, ChangeState, Ino, Kind, Node
from cache.store import LocalStore
from sync import push, requests, uploader
from sync.engine import Engine
from sync.planner import Conflicts
from sync.rounds import through
from tests.fakes.remote import FakeRemote
from tests.model.clock import SKEW_S
from tests.model.ground import NARROW
from vfs.filesystem import Filesystem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from cache.model import Anchor, ContentId, LocalChange
    from tests.fakes.drive import FakeDrive
    from tests.model.ground import Ground

Tree = dict[str, bytes | str | None]
"""Path → content, symlink target, or None for a folder."""


class Machine:
    """See the module."""

    def __init__(
        self, name: str, drive: FakeDrive, directory: Path, *, seed: int = 0, ground: Ground = NARROW
    ) -> None:  # fmt: skip
        self.ground = ground
        self.name, self.drive, self.directory, self._seed = name, drive, directory, seed
        self.remote = FakeRemote(drive, page=3)
        self.handles: dict[int, Ino] = {}
        self.synced: dict[ContentId, bytes] = {}  # what was on the disk once: no power cut takes it away
        self.removed: set[Ino] = set()  # whose name a program here took away
        self.skew_s = 0.0
        self.anchors: list[Anchor] = []  # how far it was told, from pull to pull
        self.conflicts = Conflicts.COPY
        self.begun = False
        self.interleaved = False  # what a program does and what the engine does go on step by step, in turn
        self.open()

    def open(self) -> None:
        """Start the program on its state directory."""
        self.store = LocalStore(self.directory, write_back_delay_s=0.0, runner=inline)
        send, self.news = trio.open_memory_channel(math.inf)
        self.engine = Engine(self.store, self.remote, send, 1 << 30, 30.0, seed=self._seed)
        self.engine.applier._host = self.name
        self.engine.applier.conflicts = self.conflicts
        self.filesystem = Filesystem(self.store, self.engine, uid=os.getuid(), gid=os.getgid())
        self.handles.clear()
        self.ground.prepare(self)

    async def begin(self) -> None:
        """First contact, or the first one after a start."""
        await self.engine.puller.begin(await self.remote.root())
        self.begun = True

    def crash(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """The process dies: nothing is written down, nothing is said; `meanwhile` happens before it starts again."""
        self._let_go()
        meanwhile()
        self.open()

    async def close(self) -> None:
        """The program ends in order."""
        await self.store.aclose()

    async def tidy(self) -> None:
        """What the janitor does in its time."""
        await self.store.save()
        await self.store.unsettled.settle_all()
        await self.store.durability.sync_all()
        await self.store.save()

    def remove(self) -> None:
        """Throw the machine away."""
        self._let_go()
        shutil.rmtree(self.directory)

    def _let_go(self) -> None:
        for opened in self.store.opened:
            os.close(opened.fd)
        self.store.db.close()
        os.close(self.store._lock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[trio.Nursery]:
        """The parts that others start tasks in."""
        told = SKEW_S.set(self.skew_s)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.engine.hydrator.run)
            yield nursery
            nursery.cancel_scope.cancel()
        SKEW_S.reset(told)

    # Looking -----------------------------------------------------------------------------------------------------

    def faults(self) -> list[fsck.Finding]:
        """What fsck has to say."""
        return fsck.examine(self.store.db.reader, self.store.blobs, deep=True)

    def tree(self) -> Tree:
        """What this machine shows, without asking anybody: missing bytes are looked up behind the remote's back."""
        found: Tree = {}
        todo = [("", ROOT_INO)]
        while todo:
            prefix, folder = todo.pop()
            for node in tree.children(self.store.db.reader, folder):
                path = f"{prefix}/{node.name}"
                found[path] = self.body(node) if node.kind is Kind.FILE else node.symlink_target
                if node.kind is Kind.FOLDER:
                    todo.append((path, node.ino))
        return found

    def body(self, node: Node) -> bytes:
        """The bytes that a file shows."""
        opened = self.store.opened.get(node.content_id)
        content = None if node.content_id is None else contents.get(self.store.db.reader, node.content_id)
        if content is not None and (content.dirty or content.whole or (opened is not None and opened.whole)):
            if content.bundled is not None:
                return self.store.blobs.bundles.read(content.bundled, content.size)
            return self.store.blobs.path(content.content_id).read_bytes()
        item = None if node.item_id is None else items.get(self.store.db.reader, node.item_id)
        assert item is not None, f"nobody has the bytes of {node}"
        assert item.content_version is not None
        return self.drive.bodies[item.item_id, item.content_version]

    def nodes(self) -> list[Node]:
        """All that has a name, in the order of their numbers."""
        reader = self.store.db.reader
        rows = reader.execute("SELECT ino FROM node WHERE parent IS NOT NULL ORDER BY ino").fetchall()
        return [node for (ino,) in rows if (node := tree.by_ino(reader, ino)) is not None]

    def now_synced(self, *nodes: Node) -> None:
        """What these files hold is on the disk."""
        self.synced |= {node.content_id: self.body(node) for node in nodes if node.content_id is not None}

    def is_synced(self, path: str) -> bool:
        """Whether what a path shows was on the disk once, or lies at the server only."""
        node = self.at(path)
        return node.content_id is None or self.synced.get(node.content_id) == self.body(node)

    def forget_news(self) -> None:
        """Nobody here listens."""
        while self.news.statistics().current_buffer_used:
            self.news.receive_nowait()

    def at(self, path: str) -> Node:
        """The node at a path that is shown."""
        node = tree.by_ino(self.store.db.reader, ROOT_INO)
        for name in path.split("/")[1:]:
            assert node is not None
            node = tree.child(self.store.db.reader, node.ino, name)
        assert node is not None, path
        return node

    def place(self, path: str) -> tuple[Ino, str]:
        """The folder of a path, and the name in it."""
        folder, _, name = path.rpartition("/")
        return self.at(folder).ino, name

    def unsent_bodies(self) -> set[bytes]:
        """Contents that are here and nowhere else."""
        rows = self.store.db.reader.execute("SELECT content_id FROM content WHERE dirty").fetchall()
        return {self.store.blobs.path(content_id).read_bytes() for (content_id,) in rows}

    def choose(self, conflicts: Conflicts) -> None:
        """Who wins a conflict from here on, also after a restart."""
        self.conflicts = self.engine.applier.conflicts = conflicts

    def set_aside(self) -> set[bytes]:
        """Contents that lost and are kept for a person."""
        return {path.read_bytes() for path in (self.directory / "set-aside").rglob("*") if path.is_file()}

    def rescued(self) -> set[bytes]:
        """Contents that outlived what was known of them."""
        return {path.read_bytes() for path in (self.directory / "rescued").rglob("*") if path.is_file()}

    def confirmed_bodies(self, drive: FakeDrive) -> set[bytes]:
        """Contents that the server has told this machine of: from then on they are in its care."""
        rows = self.store.db.reader.execute("SELECT item_id, content_version FROM item").fetchall()
        return {drive.bodies[item_id, version] for item_id, version in rows if (item_id, version) in drive.bodies}

    def outbox(self) -> list[LocalChange]:
        """What is not pushed."""
        return journal.all_changes(self.store.db.reader)

    def due(self) -> list[LocalChange]:
        """What is looked at for it, as soon as no delay is left."""
        found: list[LocalChange] = []

        def look(after: int) -> int | None:
            page = due.page(self.store.db.reader, uploader.NEVER_MS, after)
            found.extend(page.rows)
            return page.last

        through(look, -1, lambda: False)
        return found

    def overlooked(self) -> list[LocalChange]:
        """What could be sent, and is not looked at: nothing."""
        reader, looked_at = self.store.db.reader, {row.seq for row in self.due()}
        pending = [row for row in self.outbox() if row.state is ChangeState.PENDING and row.seq not in looked_at]
        return [row for row in pending if not isinstance(push.plan(reader, row), requests.Wait)]

    # What the engine does ----------------------------------------------------------------------------------------

    async def pull(self) -> None:
        """Take in everything that is new."""
        await self.engine.puller.pull()
        self.anchors += filter(None, [self.engine.puller.anchor])

    async def push_one(self, which: int) -> None:
        """Send one of the rows that may be sent now."""
        reader, sends = self.store.db.reader, self.engine.uploader
        rows = [row for row in self.due() if row.ino not in sends._busy]
        rows = [row for row in rows if not isinstance(push.plan(reader, row), requests.Wait)]
        if rows and not sends.paused:
            row = rows[which % len(rows)]
            sends._busy.add(row.ino)
            await sends._push(row)

    async def push_all(self, deadline_s: float = 3000.0) -> bool:
        """Run the uploader until nothing is pending, or until the (virtual) time is up."""
        drained = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.engine.uploader.run)
            with trio.move_on_after(deadline_s):
                drained = await self.engine.uploader.drained()
            nursery.cancel_scope.cancel()
        return drained

    async def list_all(self) -> None:
        """Look into every folder."""
        todo = [ROOT_INO]
        while todo:
            ino = todo.pop()
            with suppress(NotFound):  # deleted on the server meanwhile
                await self.filesystem._listed(ino)
            todo += [node.ino for node in tree.children(self.store.db.reader, ino) if node.kind is Kind.FOLDER]

    async def read_all(self) -> Tree:
        """Everything as a program sees it: every byte through an open file."""
        await self.list_all()
        shown: Tree = {}
        for path, what in self.tree().items():
            node = self.at(path)
            shown[path] = await self.read(node.ino) if node.kind is Kind.FILE else what
        return shown

    # What programs do --------------------------------------------------------------------------------------------

    async def read(self, ino: Ino) -> bytes:
        """open, read, close."""
        fh = (await self.filesystem.open(ino, os.O_RDONLY)).fh
        try:
            return bytes(await self.filesystem.read(fh, 0, 1 << 20))
        finally:
            await self.filesystem.release(fh)

    async def write(self, ino: Ino, offset: int, data: bytes, flags: int = os.O_RDWR) -> None:
        """open, write, close."""
        fh = (await self.filesystem.open(ino, flags)).fh
        try:
            await self.filesystem.write(fh, offset, data)
        finally:
            await self.filesystem.release(fh)

    async def create(self, path: str, data: bytes) -> None:
        """creat, write, close."""
        parent, name = self.place(path)
        fh, _ = await self.filesystem.create(parent, name, 0o644, os.O_RDWR | os.O_EXCL)
        try:
            if data:
                await self.filesystem.write(fh, 0, data)
        finally:
            await self.filesystem.release(fh)

    async def close_all(self) -> None:
        """Every program closes what it holds open."""
        while self.handles:
            await self.filesystem.release(self.handles.popitem()[0])
