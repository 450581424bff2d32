"""What a person asks of a file, or of everything below a folder: have it here, or give its room back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cache import contents, tree, uses
from cache.errors import NoSpaceLeft, NotFound, NotPermitted
from cache.model import ContentId, Ino, Kind, Node
from sync.below import Below
from sync.fetching import TOLD_MAX, Fetcher, Progress, Wanted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cache.store import LocalStore
    from sync.evictor import Evictor


@dataclass(frozen=True, slots=True)
class Left:
    """A file that had to stay as it was."""

    path: str
    why: str


@dataclass(slots=True)
class Evicted:
    """What was given back, and what was left; the counts are of all, the names of the first."""

    files: int = 0
    freed_bytes: int = 0
    left_files: int = 0
    left_bytes: int = 0
    left: list[Left] = field(default_factory=list)


class Trees:
    """See the module."""

    def __init__(
        self, store: LocalStore, fetcher: Fetcher, evictor: Evictor, arrive: Callable[[Node], Awaitable[None]]
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._evictor = evictor
        self._arrive = arrive

    async def hydrate(self, ino: Ino, progress: Progress) -> None:
        """Have every byte here; NoSpaceLeft before any is fetched when they cannot all fit.

        What fails of a folder's files is told in `progress`; a file's own failure is raised.
        """
        top = self._node(ino)
        begun_s = self._store.clock().now_s
        wanted = await self._missing(ino, begun_s)
        fits_bytes = self._evictor.capacity_bytes()
        if wanted.total_bytes > fits_bytes:
            raise NoSpaceLeft("it does not fit into the cache", needed_bytes=wanted.total_bytes, fits_bytes=fits_bytes)
        await self._fetcher.fetch(wanted, progress, unused_since_s=begun_s)
        if top.kind is Kind.FILE and progress.failed:
            raise progress.failed[0][1]

    async def _missing(self, ino: Ino, begun_s: int) -> Wanted:
        """What is not here; what is here counts as used, so that it is not evicted for the rest."""
        wanted = Wanted()
        below = Below(self._store, ino, self._arrive)
        while (page := await below.page()) is not None:
            whole: list[ContentId] = []
            for node in page:
                missing = self._fetcher.missing_bytes(node)
                if missing:
                    wanted.add(node.ino, missing)
                elif node.content_id is not None:
                    whole.append(node.content_id)
            if whole:
                await self._store.db.write(partial(uses.note, content_ids=whole, now_s=begun_s))
        return wanted

    async def evict(self, ino: Ino) -> Evicted:
        """Make all of it placeholders; raises NotPermitted for a file that has to stay, tells of those of a folder."""
        top = self._node(ino)
        done = Evicted()
        below = Below(self._store, ino)
        while (page := await below.page()) is not None:
            await self._store.save()
            chosen: dict[ContentId, Ino] = {}
            for node in page:
                held = self._store.held_bytes(node)
                content = None if node.content_id is None else contents.get(self._store.db.reader, node.content_id)
                why = None if content is None else self._evictor.why_not(content)
                if why is not None and node.ino == top.ino:
                    raise NotPermitted(why, ino=ino)
                if why is not None and held:
                    self._leave(done, node, held, why)
                elif content is not None and why is None:
                    chosen[content.content_id] = node.ino
                    done.files += held > 0
                    done.freed_bytes += held
            await self._evictor.drop(chosen)
        return done

    def _leave(self, done: Evicted, node: Node, held_bytes: int, why: str) -> None:
        done.left_files += 1
        done.left_bytes += held_bytes
        if len(done.left) < TOLD_MAX:
            done.left.append(Left(tree.path_of(self._store.db.reader, node.ino), why))

    def _node(self, ino: Ino) -> Node:
        node = tree.by_ino(self._store.db.reader, ino)
        if node is None:
            raise NotFound(ino=ino)
        return node
