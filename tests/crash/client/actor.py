"""A client without a kernel, to be killed: does what it is told on one state directory, then pushes and pulls.

`actor.py URL STATE FOLDER [work]`: with `work`, files below FOLDER are created, rewritten, moved and removed first.
"Accepted" lines on stdout tell what was promised. The tree that both sides agree on is the last line, as JSON.
"""

from __future__ import annotations

import json
import math
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from cache import tree
from cache.model import ROOT_INO, Ino, Kind
from cache.store import LocalStore
from sync.engine import Engine
from sync.remotes.anchor import AnchorRemote
from vfs.filesystem import Filesystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.remote import Remote

DEADLINE_S = 100
TLS = ssl.create_default_context()  # takes 70 ms: once for all that are forked


class Actor:
    """One run."""

    def __init__(self, url: str, state: Path, patient: Callable[[Remote], Remote] = lambda direct: direct) -> None:
        self.store = LocalStore(state, write_back_delay_s=0.0)
        self.remote = patient(AnchorRemote(url, os.environ["ANCHORFS_TOKEN"], tls=TLS))
        send, self.news = trio.open_memory_channel(math.inf)
        self.engine = Engine(self.store, self.remote, send, 1 << 30, 30.0)
        self.filesystem = Filesystem(self.store, self.engine, uid=os.getuid(), gid=os.getgid())

    async def create(self, folder: Ino, name: str, data: bytes) -> None:
        """A new file; accepted once it is closed."""
        fh, _ = await self.filesystem.create(folder, name, 0o644, os.O_RDWR)
        await self.filesystem.write(fh, 0, data)
        await self.filesystem.release(fh)
        print(f"accepted {name}", flush=True)  # noqa: T201

    async def work(self, folder: Ino) -> None:
        """One of each."""
        await self.create(folder, "one", b"first")
        await self.create(folder, "two", b"second")
        await self.engine.settle()
        two = (await self.filesystem.lookup(folder, "two")).ino
        fh = (await self.filesystem.open(two, os.O_RDWR | os.O_TRUNC)).fh
        await self.filesystem.write(fh, 0, b"second, again")
        await self.filesystem.release(fh)
        await self.filesystem.rename(folder, "one", folder, "moved", 0)
        await self.create(folder, "gone", b"gone")
        await self.engine.settle()
        await self.filesystem.unlink(folder, "gone")
        await self.store.save()
        await self.engine.settle()

    def shown(self, ino: Ino) -> dict[str, str]:
        """Names and bytes of a folder."""
        found = {}
        for node in tree.children(self.store.db.reader, ino):
            assert node.kind is Kind.FILE
            found[node.name] = "" if node.content_id is None else self.store.blobs.path(node.content_id).read_text()
        return found


async def main(url: str, state: str, name: str, *rest: str) -> None:
    """See the module."""
    actor = Actor(url, Path(state))
    with trio.fail_after(DEADLINE_S):
        await actor.engine.puller.begin(await actor.remote.root())
        async with trio.open_nursery() as nursery:
            await nursery.start(actor.engine.run)
            folder = (await actor.filesystem.lookup(ROOT_INO, name)).ino
            await actor.filesystem.readdir((await actor.filesystem.opendir(folder)).fh, 0)
            if rest:
                await actor.work(folder)
            assert await actor.engine.settle()
            for node in list(tree.children(actor.store.db.reader, folder)):
                await actor.engine.hydrate(node.ino)
            print(json.dumps(actor.shown(folder)), flush=True)  # noqa: T201
            nursery.cancel_scope.cancel()
        await actor.store.aclose()
        await actor.remote.aclose()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
