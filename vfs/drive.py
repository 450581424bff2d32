"""A drive, opened: state directory, remote and engine put together in the one order that is right.

Lock and open the state, sign in, take the anchor, and only then answer file-system calls; notifications follow. A
drive that was mounted before opens without its server too; one that was not cannot.
"""

from __future__ import annotations

import logging
import math
import os
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import holding, tree
from cache.db import get_meta, set_meta
from cache.errors import StateUnusable
from cache.evict import DEFAULT_FLOOR_BYTES
from cache.model import ROOT_INO, News, PushMode
from cache.store import LocalStore
from sync.choices import Policy
from sync.engine import Engine
from sync.limited import Limited
from sync.planner import Conflicts
from sync.presence import Presence
from sync.remote import Remote, Transient, Unreachable
from sync.remotes.connecting import Direct, connect
from sync.retrying import Backoff, Retrying
from vfs.filesystem import Filesystem
from vfs.network import watch_way
from vfs.rules import BUILT_IN, Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cache.model import Item, Node
    from sync.archive import Archive

log = logging.getLogger(__name__)

SIGN_IN_S = 15.0
ANOTHER_DRIVE = "the server shows another drive than before"
RETRY_S = 4.0  # a call that nobody answers fails after this long; who can wait longer tries again itself


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveConfig:
    """What one mount needs to know; sizes in bytes."""

    url: str
    cache_dir: Path
    cache_size: int
    token: str | None
    read_only: bool
    mountpoint: Path
    write_back_delay_s: float = 1.0
    poll_interval_s: float = 30.0
    hydration: Policy = Policy.PROGRESSIVE
    free_space: int = DEFAULT_FLOOR_BYTES
    rules: tuple[Rule, ...] = BUILT_IN
    conflicts: Conflicts = Conflicts.COPY
    push: PushMode = PushMode.AUTO
    up_bytes_per_s: int | None = None  # None: no limit
    down_bytes_per_s: int | None = None
    unsafe_writes: bool = False  # also where a server compares nothing


@dataclass(frozen=True, slots=True)
class Drive:
    """An open drive."""

    filesystem: Filesystem
    news: trio.MemoryReceiveChannel[News]
    engine: Engine
    archive: Archive
    writable: bool  # False: the remote cannot keep an unseen state from being overwritten


@asynccontextmanager
async def open_drive(config: DriveConfig) -> AsyncIterator[Drive]:
    """Open the drive for as long as the block lasts.

    Raises CacheInUse, StateUnusable, NotSignedIn, and Unreachable when the server does not answer and was never
    reached before.
    """
    store = LocalStore(config.cache_dir, write_back_delay_s=config.write_back_delay_s)
    direct = connect(config.url, config.token, config.cache_dir, unsafe=config.unsafe_writes)
    presence = Presence()
    remote = _patient(direct, config, presence)
    send, receive = trio.open_memory_channel[News](math.inf)  # bounded by the applier, which waits when it is long
    try:
        _check_same_drive(store, config)
        await store.db.write(lambda connection: holding.switch(connection, config.push))
        engine = Engine(
            store, remote, send, config.cache_size, config.poll_interval_s,
            policy=config.hydration, floor_bytes=config.free_space,
        )  # fmt: skip
        engine.applier.conflicts = config.conflicts
        presence.probe = engine.puller.nudge
        if not await _begin(store, direct, engine, config):
            presence.greeting = partial(_greet, store, direct)

        async def on_another_way(*, moved: bool) -> None:
            await direct.renew(drop=moved)
            engine.nudge(anew=True)

        filesystem = Filesystem(store, engine, uid=os.getuid(), gid=os.getgid(), rules=config.rules)
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            nursery.start_soon(filesystem.files.callers.run)
            nursery.start_soon(direct.keep_spare)
            nursery.start_soon(watch_way, config.url, on_another_way)
            yield Drive(filesystem, receive, engine, direct.archive, direct.capabilities.writable)
            nursery.cancel_scope.cancel()
    finally:
        send.close()
        receive.close()
        with trio.CancelScope(shield=True):
            await store.aclose()
            await remote.aclose()


def _patient(direct: Remote, config: DriveConfig, presence: Presence) -> Remote:
    chance = random.Random()  # noqa: S311  # jitter, not a secret
    return Limited(
        Retrying(direct, random=chance, backoff=Backoff(deadline_s=RETRY_S), presence=presence),
        up_bytes_per_s=config.up_bytes_per_s,
        down_bytes_per_s=config.down_bytes_per_s,
    )


def _check_same_drive(store: LocalStore, config: DriveConfig) -> None:
    url = get_meta(store.db.reader, "url")
    if url is not None and url != config.url:
        raise StateUnusable(f"this cache directory belongs to {url}", cache_dir=str(config.cache_dir))


async def _begin(store: LocalStore, direct: Direct, engine: Engine, config: DriveConfig) -> bool:
    """False: without its server, which is to be greeted when it answers."""
    known, answered = tree.by_ino(store.db.reader, ROOT_INO), True
    try:
        with trio.move_on_after(SIGN_IN_S if known is None else SIGN_IN_S / 5) as signing_in:
            root = await direct.root()  # no patience here: the person at the keyboard is told at once
            if _is_another(known, root):
                raise StateUnusable(ANOTHER_DRIVE, cache_dir=str(config.cache_dir))
            await engine.puller.begin(root)
            await engine.puller.ensure_listed(ROOT_INO)  # so that files can be made there without the server too
        if signing_in.cancelled_caught:
            raise Unreachable("no answer in time")
    except Transient:
        if known is None:
            raise
        log.info("the server does not answer: working offline")
        answered = False
    await store.db.write(lambda connection: set_meta(connection, "url", config.url))
    return answered


async def _greet(store: LocalStore, direct: Direct) -> None:
    """The first contact of a mount that began without its server; raises RemoteError. What is kept of one drive is
    neither taken for another's nor sent there."""
    if _is_another(tree.by_ino(store.db.reader, ROOT_INO), await direct.root()):
        raise Unreachable(ANOTHER_DRIVE)


def _is_another(known: Node | None, root: Item) -> bool:
    return known is not None and known.item_id is not None and known.item_id != root.item_id
