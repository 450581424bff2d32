"""A client without a kernel, to be killed: performs the script in one folder of a drive, then pushes and pulls.

`main(URL, STATE, FOLDER, [FOLDER_ID, [liar]])`: with the id it performs; without, it goes on where it was killed.
"done N" on stdout tells that N steps are done, and a liar says that of all of them before the first; the tree that both
sides agree on is the last line, as JSON.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio

from cache import tree
from cache.model import ROOT_INO, Ino, Kind
from tests.crash.client.actor import DEADLINE_S, TLS, Actor
from tests.crash.client.script import SCRIPT, Step, Tree
from tests.harness.waiting import PAUSE_S
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from vfs.filesystem import Filesystem


class Performer:
    """One run."""

    def __init__(self, actor: Actor, folder: Ino, others: httpx.AsyncClient, folder_id: str) -> None:
        self._actor, self._folder, self._others, self._folder_id = actor, folder, others, folder_id
        self._filesystem = actor.filesystem
        self._handles: dict[str, int] = {}

    async def perform(self, *, liar: bool) -> None:
        """See the module."""
        if liar:
            os.write(1, b"".join(b"done %d\n" % number for number in range(1, len(SCRIPT) + 1)))
        for number, step in enumerate(SCRIPT, 1):
            await self._do(step)
            if not liar:
                os.write(1, b"done %d\n" % number)

    async def _at(self, path: str) -> Ino:
        ino = self._folder
        for name in filter(None, path.split("/")):
            ino = (await self._filesystem.lookup(ino, name)).ino
        return ino

    async def _place(self, path: str) -> tuple[Ino, str]:
        folder, _, name = path.rpartition("/")
        return await self._at(folder), name

    async def _do(self, step: Step) -> None:
        match step.word:
            case "settle":
                assert await self._actor.engine.settle()
            case "sync":
                await self._actor.store.save()
            case "they write":
                await self._they_write(step)
            case "create" | "mkdir" | "symlink" | "unlink" | "rmdir" | "rename":
                await self._change_names(step)
            case _:
                await self._change_file(step)

    async def _change_names(self, step: Step) -> None:
        filesystem, place = self._filesystem, await self._place(step.path)
        if step.word in {"unlink", "rmdir", "rename"}:
            await self._at(step.path)  # a kernel looks a name up before it takes it away
        match step.word:
            case "create":
                self._handles[step.path], _ = await filesystem.create(*place, 0o644, os.O_RDWR)
            case "mkdir":
                await filesystem.mkdir(*place, 0o755)
            case "symlink":
                await filesystem.symlink(*place, step.more)
            case "unlink":
                await filesystem.unlink(*place)
            case "rmdir":
                await filesystem.rmdir(*place)
            case "rename":
                await filesystem.rename(*place, *await self._place(step.more), 0)

    async def _change_file(self, step: Step) -> None:
        filesystem, ino = self._filesystem, await self._at(step.path)
        match step.word:
            case "open":
                self._handles[step.path] = (await filesystem.open(ino, os.O_RDWR)).fh
            case "write" | "fsync" | "close":
                await self._use_handle(step)
            case "truncate":
                await filesystem.setattr(ino, AttributeChange(size=step.at), None)
            case "chmod":
                await filesystem.setattr(ino, AttributeChange(mode=step.at), None)
            case "evict":
                await self._actor.engine.evict(ino)
            case "read":
                await read(filesystem, ino)

    async def _use_handle(self, step: Step) -> None:
        filesystem, fh = self._filesystem, self._handles[step.path]
        match step.word:
            case "write":
                await filesystem.write(fh, step.at, step.more.encode())
            case "fsync":
                await filesystem.fsync(fh, False)
            case "close":
                await filesystem.release(fh)

    async def _they_write(self, step: Step) -> None:
        """Another machine saves a file."""
        path = f"/v1/items/{self._folder_id}/children/{urllib.parse.quote(step.path)}/content"
        listed = (await self._others.get(f"/v1/items/{self._folder_id}/children")).json()["items"]
        old = next((item for item in listed if item["name"] == step.path), None)
        condition = {"if-none-match": "*"} if old is None else {"if-match": f'"{old["content_version"]}"'}
        path = path if old is None else f"/v1/items/{old['item_id']}/content"
        (await self._others.put(path, content=step.more, headers=condition)).raise_for_status()


async def read(filesystem: Filesystem, ino: Ino) -> str:
    """The whole of a file."""
    fh = (await filesystem.open(ino, os.O_RDONLY)).fh
    data = bytes(await filesystem.read(fh, 0, 1 << 16))
    await filesystem.release(fh)
    return data.decode()


async def shown(actor: Actor, top: Ino) -> Tree:
    """All that is below a folder, with its bytes, read as programs read."""
    found: Tree = {}
    todo = [("", top)]
    while todo:
        prefix, folder = todo.pop()
        await actor.filesystem.readdir((await actor.filesystem.opendir(folder)).fh, 0)
        for node in list(tree.children(actor.store.db.reader, folder)):
            path = f"{prefix}{node.name}"
            if node.kind is Kind.FILE:
                found[path] = await read(actor.filesystem, node.ino)
            else:
                found[path] = None if node.kind is Kind.FOLDER else f"-> {node.symlink_target}"
                todo += [(f"{path}/", node.ino)] if node.kind is Kind.FOLDER else []
    return found


async def spares_are_ready(actor: Actor) -> None:
    """From here on new files are not made, but given a name, as in a mount: in every run, not by chance."""
    while not actor.store.blobs.spares.ready:  # noqa: ASYNC110  # it tells no event
        await trio.sleep(PAUSE_S)


async def main(url: str, state: str, name: str, folder_id: str = "", liar: str = "") -> None:
    """See the module."""
    actor = Actor(url, Path(state))
    token = {"authorization": f"Bearer {os.environ['ANCHORFS_TOKEN']}"}
    others = httpx.AsyncClient(base_url=url, headers=token, verify=TLS)
    with trio.fail_after(DEADLINE_S):
        await actor.engine.puller.begin(await actor.remote.root())
        async with trio.open_nursery() as nursery, others:
            await nursery.start(actor.engine.run)
            folder = (await actor.filesystem.lookup(ROOT_INO, name)).ino
            if folder_id:
                await spares_are_ready(actor)
                await Performer(actor, folder, others, folder_id).perform(liar=bool(liar))
            assert await actor.engine.settle()
            print(json.dumps(await shown(actor, folder)), flush=True)  # noqa: T201
            nursery.cancel_scope.cancel()
        await actor.store.aclose()
        await actor.remote.aclose()
