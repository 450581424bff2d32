"""Lists what lies below a walked folder ahead of the walk: one stream instead of one round trip per folder.

A folder counts as listed only when the feed, read after the stream, says that neither it nor a folder above it changed
since it was told: the stream cannot see what moves behind its back. A remote that says that nothing did is believed.
Who lists a folder that is under way waits for it, not for long. The first unknown folder begins a stream, of one page
until a second one is looked into; pages grow while the walk goes on, and the stream ends when the walk does.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from cache import ahead, items, tree
from cache.errors import LocalError
from cache.model import Ino, Item, ItemId, Kind, Node
from sync.capabilities import Feature
from sync.remote import Permanent, Remote, RemoteError
from sync.subtree import Subtree, Whole
from sync.walks import IDLE_S, FolderWalks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier, Heard

log = logging.getLogger(__name__)

PAGES = (512, 2048, 8192)  # items; the last for all that follow
TRANSACTION_ITEMS = 500  # about: writers do not wait longer for their turn
AHEAD_MAX = 4096  # folders listed and not looked into, beyond which the stream waits for the walk
PATIENCE_S = 1.0  # how long a listing waits for a stream before it asks by itself
IMPATIENCE_S = 0.05  # the same, once that was in vain
REFUSED_PAUSE_S = 300.0


@dataclass(slots=True, eq=False)
class _Stream:
    """One stream under way."""

    scope: Ino
    begun_by: Ino  # the folder that gave it away: it is listed on its own, at once
    seen_s: float  # when the walk was seen last
    walk_known: bool  # a folder beyond the first was looked into
    ahead: set[Ino] = field(default_factory=set)  # listed, not looked into
    waiting: int = 0
    patience_s: float = PATIENCE_S
    progress: trio.Event = field(default_factory=trio.Event)
    walked: trio.Event = field(default_factory=trio.Event)


class Descender:
    """Feeds the walks of a mount with listings; `run` must be running."""

    def __init__(
        self, store: LocalStore, remote: Remote, applier: Applier, pull: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._remote = remote
        self._applier = applier
        self._pull = pull
        self._walks = FolderWalks()
        self._streams: list[_Stream] = []
        self._nursery: trio.Nursery | None = None
        self._paused_until_s = -math.inf

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def opened(self, folder: Node) -> None:
        """A program is about to list a folder."""
        now_s = trio.current_time()
        if Feature.DESCENDANTS not in self._remote.capabilities.features or now_s < self._paused_until_s:
            return
        lineage = ahead.lineage(self._store.db.reader, folder.ino)
        covering = self._covering(lineage)
        for stream in covering:
            stream.seen_s = now_s
            stream.walk_known |= folder.ino != stream.begun_by
            stream.ahead.discard(folder.ino)
            stream.walked.set()
        scope = self._walks.opened(lineage, cold=not folder.listed, now_s=now_s)
        if scope is not None and all(stream.scope != scope for stream in self._streams):
            self._begin(_Stream(scope, folder.ino, now_s, walk_known=True))
        elif not (folder.listed or covering):
            self._begin(_Stream(folder.ino, folder.ino, now_s, walk_known=False))

    def _covering(self, lineage: tuple[Ino, ...]) -> list[_Stream]:
        return [stream for stream in self._streams if stream.scope in lineage]

    def _begin(self, stream: _Stream) -> None:
        node = tree.by_ino(self._store.db.reader, stream.scope)
        if node is not None and node.item_id is not None and self._nursery is not None:
            self._streams.append(stream)
            self._nursery.start_soon(self._run_stream, stream, Subtree(node.item_id))

    async def arriving(self, ino: Ino) -> None:
        """Wait for a folder that a stream is about to list, but not for long."""
        if not self._streams:
            return
        for stream in self._covering(ahead.lineage(self._store.db.reader, ino)):
            if stream.begun_by == ino:
                continue
            stream.waiting += 1
            stream.walked.set()
            try:
                with trio.move_on_after(stream.patience_s) as waiting:
                    while stream in self._streams and not self._listed(ino):
                        await stream.progress.wait()
            finally:
                stream.waiting -= 1
            stream.patience_s = IMPATIENCE_S if waiting.cancelled_caught else PATIENCE_S

    def _listed(self, ino: Ino) -> bool:
        node = tree.by_ino(self._store.db.reader, ino)
        return node is None or node.listed

    async def _run_stream(self, stream: _Stream, subtree: Subtree) -> None:
        try:
            await self._follow(stream, subtree)
        except (RemoteError, OSError, LocalError) as error:
            log.debug("a stream of descendants ended: %s", error)
            if isinstance(error, Permanent):
                self._paused_until_s = trio.current_time() + REFUSED_PAUSE_S
        except Exception:  # a mistake of ours must not take the mount down
            log.exception("a stream of descendants failed")
            self._paused_until_s = trio.current_time() + REFUSED_PAUSE_S
        finally:
            self._streams.remove(stream)
            stream.progress.set()

    async def _follow(self, stream: _Stream, subtree: Subtree) -> None:
        cursor: str | None = None
        pages = 0
        with self._applier.watch() as heard:
            while pages == 0 or (cursor is not None and await self._is_walked(stream)):
                limit = PAGES[min(pages, len(PAGES) - 1)]
                page = await self._remote.descendants(subtree.scope, limit, cursor)
                if not page.unchanged:
                    await self._pull()
                for part in _parts(subtree.take(page)):
                    await self._take(stream, subtree, part, heard)
                await self._applier.resolve_doubts()
                cursor, pages = page.cursor, pages + 1

    async def _take(self, stream: _Stream, subtree: Subtree, part: list[Whole], heard: Heard) -> None:
        def change(absorber: Absorber) -> list[Ino]:
            return [] if heard.everything else _absorb(absorber, subtree, part, dict(heard))

        stream.ahead.update(await self._applier.apply(change, own=heard))
        stream.progress.set()
        stream.progress = trio.Event()

    async def _is_walked(self, stream: _Stream) -> bool:
        """Wait until the walk comes near what is known; False when it does not any more."""
        while True:
            over_s = stream.seen_s + IDLE_S  # on a machine that slept this has passed, too
            is_under_way = stream.walk_known and trio.current_time() < over_s
            if stream.waiting or (is_under_way and len(stream.ahead) < AHEAD_MAX):
                return True
            stream.walked = trio.Event()
            with trio.move_on_at(over_s):
                await stream.walked.wait()
                continue
            return False


def _parts(wholes: list[Whole]) -> Iterator[list[Whole]]:
    part: list[Whole] = []
    count = 0
    for whole in wholes:
        part.append(whole)
        count += 1 + len(whole[1])
        if count >= TRANSACTION_ITEMS:
            yield part
            part, count = [], 0
    if part:
        yield part


def _absorb(absorber: Absorber, subtree: Subtree, part: list[Whole], heard: dict[ItemId, ItemId | None]) -> list[Ino]:
    """Inside the transaction, where everything heard so far stands in the catalog; returns the folders now listed."""
    arrived: dict[ItemId | None, set[ItemId]] = {}
    for item_id, folder_id in heard.items():
        arrived.setdefault(folder_id, set()).add(item_id)
    listed: list[Ino] = []
    for folder_id, told in part:
        node = tree.by_item(absorber.connection, folder_id)
        if node is None or node.kind is not Kind.FOLDER or node.listed or not _stands(absorber, subtree, folder_id):
            continue
        present = {item.item_id for item in told}
        if arrived.get(folder_id, set()) - present or any(_is_old(absorber, item, heard) for item in told):
            continue  # it changed meanwhile: a listing of its own tells how it is
        absorber.listing(node.ino, told)
        listed.append(node.ino)
    return listed


def _is_old(absorber: Absorber, told: Item, heard: dict[ItemId, ItemId | None]) -> bool:
    return told.item_id in heard and items.get(absorber.connection, told.item_id) != told


def _stands(absorber: Absorber, subtree: Subtree, folder_id: ItemId) -> bool:
    """Whether a folder and those above it, up to the scope, are still what the stream told."""
    return all(items.get(absorber.connection, each.item_id) == each for each in subtree.lineage(folder_id))
