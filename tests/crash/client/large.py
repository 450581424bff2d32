"""A client without a kernel that sends one large file: `large.py URL STATE FOLDER [write SIZE | edit OFFSET LENGTH]`.

Then, or without a word at once, it pushes what there is to be pushed. The last line of its output tells, as JSON, how
many bytes of content travelled in this run.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from cache.model import ROOT_INO, Ino
from sync.limited import Limited
from sync.retrying import Retrying
from tests.crash.client.actor import Actor

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 100
MIB = 1 << 20


def body(size: int, seed: int = 1) -> Iterator[bytes]:
    """The file, in pieces of a MiB; beyond 256 MiB it repeats itself."""
    dice = random.Random(seed)
    kept = [dice.randbytes(MIB) for _ in range(min(size // MIB + 1, 256))]
    for at in range(0, size, MIB):
        yield kept[at // MIB % len(kept)][: size - at]


async def write(actor: Actor, folder: Ino, size: int) -> None:
    """A new file."""
    fh, _ = await actor.filesystem.create(folder, "big", 0o644, os.O_RDWR)
    for number, chunk in enumerate(body(size)):
        await actor.filesystem.write(fh, number * MIB, chunk)
    await actor.filesystem.release(fh)


async def edit(actor: Actor, folder: Ino, offset: int, length: int) -> None:
    """Other bytes in its middle."""
    ino = (await actor.filesystem.lookup(folder, "big")).ino
    fh = (await actor.filesystem.open(ino, os.O_RDWR)).fh
    await actor.filesystem.write(fh, offset, random.Random(2).randbytes(length))
    await actor.filesystem.release(fh)


async def main(url: str, state: str, name: str, what: str = "", *numbers: str) -> None:
    """See the module."""
    actor = Actor(url, Path(state), lambda direct: Limited(Retrying(direct, random=random.Random(3))))
    with trio.fail_after(DEADLINE_S):
        await actor.engine.puller.begin(await actor.remote.root())
        async with trio.open_nursery() as nursery:
            await nursery.start(actor.engine.run)
            folder = (await actor.filesystem.lookup(ROOT_INO, name)).ino
            await actor.filesystem.readdir((await actor.filesystem.opendir(folder)).fh, 0)
            if what:
                await {"write": write, "edit": edit}[what](actor, folder, *map(int, numbers))
            print("accepted", flush=True)  # noqa: T201
            assert await actor.engine.settle()
            print(json.dumps(actor.engine.statistics().bytes_up), flush=True)  # noqa: T201
            nursery.cancel_scope.cancel()
        await actor.store.aclose()
        await actor.remote.aclose()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
