"""Brings bytes to the disk, and only then calls them durable.

A sync that failed is never made good by a later one that succeeds: the kernel tells of a lost page once, and may have
dropped it. Clean bytes are then fetched again. Dirty bytes are the only copy: they are kept and sent as they read, but
every fsync of them fails from there on, until the remote has them.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from cache import contents, dropped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cache.blobs import Blobs
    from cache.db import Database
    from cache.dropped import Dropped
    from cache.model import Bundled, BundleId, Content, ContentId, Node
    from cache.opened import OpenContent, OpenContents

log = logging.getLogger(__name__)

BATCH = 256
DIRTY_SYNC_INTERVAL_S = 5.0  # bytes that exist nowhere else
# How old other residency may get: power loss costs at most a new download of it. By then the kernel has written most of
# it by itself; sooner, a sync per file stands in the way of those who wait for the disk.
SYNC_INTERVAL_S = 30.0
GONE_TOGETHER = 64  # deleted without letting others run: a few milliseconds
FOLD_INTERVAL_S = 1.0  # a long log may be held by another process that reads it


class Durability:
    """Syncs contents of one store; owned by the trio thread."""

    def __init__(
        self, db: Database, blobs: Blobs, opened: OpenContents, overruled: Callable[[ContentId], None]
    ) -> None:  # fmt: skip
        self._overruled = overruled  # what is still to be told of the residency of a content is not true any more
        self._db = db
        self._blobs = blobs
        self._opened = opened
        self._refused: dict[ContentId, OSError] = {}  # dirty contents that the disk would not keep
        self.gone: set[Content | Dropped] = set()  # of which no row tells, but one may come back by a power loss
        self._all_at_s = self._dirty_at_s = self._folded_at_s = 0.0
        self._under_way: list[set[ContentId]] = []  # what each sync brings, and what has not changed since it began

    def changed(self, *content_ids: ContentId) -> None:
        """Their rows are told of other bytes: what is being synced at this moment is not all of them."""
        for unchanged in self._under_way:
            unchanged.difference_update(content_ids)

    @contextmanager
    def _bringing(self, *content_ids: ContentId) -> Iterator[set[ContentId]]:
        """A sync of these; those that are still in it afterwards are on the disk as their rows tell. Each has its own:
        an older one of the same bytes knows nothing of what a newer one was to bring."""
        unchanged = set(content_ids)
        self._under_way.append(unchanged)
        try:
            yield unchanged
        finally:
            self._under_way = [each for each in self._under_way if each is not unchanged]

    async def sync(self, opened: OpenContent) -> None:
        """Return when the bytes, their row and their name are on the disk; raises OSError, also for an earlier
        failure."""
        content_id = opened.content_id
        await self.doubt_what_was_sent()
        if content_id in self._refused:
            raise self._refused[content_id]
        with self._bringing(content_id) as unchanged:
            try:
                await trio.to_thread.run_sync(self._sync_open, opened.fd, content_id)
            except OSError as error:
                await self._doubt({content_id: error})
                raise
            await self._db.write(
                lambda connection: self._call_durable(connection, [content_id], unchanged), durable=True
            )

    async def before_replacing(self, coming: Node | None, going: Node | None) -> None:
        """A rename ends a file whose bytes are nowhere else: those that take its place must be on the disk by then.

        Else a power loss could leave neither. Raises OSError.
        """
        content_id = None if coming is None else coming.content_id
        if content_id is None or not (self._holds_unsent(coming) and self._holds_unsent(going)):
            return
        failed = await trio.to_thread.run_sync(self._sync_closed, [content_id])
        await self._doubt(failed)
        if failed:
            raise failed[content_id]
        written_on: set[ContentId] = set()  # somebody may be writing it: its row may tell of an older state
        await self._db.write(lambda connection: self._call_durable(connection, [content_id], written_on))

    def _holds_unsent(self, node: Node | None) -> bool:
        content = None if node is None or node.content_id is None else contents.get(self._db.reader, node.content_id)
        return content is not None and content.dirty

    async def sync_due(self) -> list[ContentId]:
        """Sync what is old enough, and fold the catalog's log into its file; returns contents whose blobs are gone."""
        now_s = trio.current_time()
        await self._fold_if_long(now_s)
        if now_s - self._all_at_s >= SYNC_INTERVAL_S:
            self._all_at_s = self._dirty_at_s = now_s
            await self.sync_all()
            await self._db.checkpoint()
        elif now_s - self._dirty_at_s >= DIRTY_SYNC_INTERVAL_S:
            self._dirty_at_s = now_s
            await self.sync_all(dirty_only=True)
        else:
            return []
        return await self.delete_gone()

    async def _fold_if_long(self, now_s: float) -> None:
        if now_s - self._folded_at_s >= FOLD_INTERVAL_S and self._db.log_is_long():
            self._folded_at_s = now_s
            await self._db.checkpoint()

    async def delete_gone(self) -> list[ContentId]:
        """Delete bytes that are nowhere else, and room in bundles, which would read as zeros, once no power loss can
        bring rows back that tell of them; returns whose they were."""
        asked = frozenset(self.gone)
        if asked:
            await self._db.make_durable()
        deleted: list[ContentId] = []
        for number, each in enumerate(asked, 1):
            if each in self.gone:  # nobody else has waited for the same
                dropped.discard(self._db.reader, self._blobs, each)
                self.gone.remove(each)
                deleted.append(each.content_id)
            if number % GONE_TOGETHER == 0:
                await trio.lowlevel.checkpoint()
        return deleted

    async def sync_all(self, *, dirty_only: bool = False, written_too: bool = False) -> None:
        """Sync every content that nobody writes; what the disk refuses is doubted, and nothing is raised for it.

        `written_too`: at the end, when programs may still have files open, and cannot write to them any more.
        """
        await self.doubt_what_was_sent()
        after = 0
        while rows := contents.unsynced(self._db.reader, BATCH, after=after, dirty_only=dirty_only):
            after = rows[-1]
            await self._sync_batch([content_id for content_id in rows if self._is_quiet(content_id, written_too)])

    async def _sync_batch(self, batch: list[ContentId]) -> None:
        with self._bringing(*batch) as unchanged:
            bundled = contents.bundles_of(self._db.reader, batch)
            own = [content_id for content_id in batch if content_id not in bundled]
            failed = await trio.to_thread.run_sync(self._sync_closed, own)
            failed |= await trio.to_thread.run_sync(self._sync_bundled, bundled)
            await self._doubt(failed)
            synced = [content_id for content_id in batch if content_id not in failed]
            if synced:
                await self._db.write(lambda connection: self._call_durable(connection, synced, unchanged))

    def _is_quiet(self, content_id: ContentId, written_too: bool) -> bool:
        """A writer would have to wait for the disk; and what was refused once is not asked again while it is dirty."""
        if content_id in self._refused:
            content = contents.get(self._db.reader, content_id)
            if content is not None and content.dirty:
                return False
        opened = self._opened.get(content_id)
        return opened is None or written_too or not opened.writers

    def _call_durable(
        self, connection: sqlite3.Connection, content_ids: list[ContentId], unchanged: set[ContentId]
    ) -> None:  # fmt: skip
        for content_id in content_ids:
            content = contents.get(connection, content_id)
            if content is None:
                continue
            contents.set_durable(connection, content_id, unchanged=content_id in unchanged)
            if not content.dirty:
                self._blobs.unmark(content_id)

    def _sync_open(self, fd: int, content_id: ContentId) -> None:
        self._blobs.sync(fd)
        self._blobs.sync_name(content_id)

    def _sync_closed(self, content_ids: list[ContentId]) -> dict[ContentId, OSError]:
        failed: dict[ContentId, OSError] = {}
        folders: dict[Path, list[ContentId]] = {}
        for content_id in content_ids:
            try:
                fd = self._blobs.open(content_id, writable=False)
            except FileNotFoundError:
                continue  # deleted meanwhile, its row too
            try:
                self._blobs.sync(fd)
                folders.setdefault(self._blobs.path(content_id).parent, []).append(content_id)
            except OSError as error:
                failed[content_id] = error
            finally:
                os.close(fd)
        for named in folders.values():
            try:
                self._blobs.sync_name(named[0])  # and with it those of the others
            except OSError as error:
                failed.update(dict.fromkeys(named, error))
        return failed

    def _sync_bundled(self, bundled: dict[ContentId, Bundled]) -> dict[ContentId, OSError]:
        failed: dict[BundleId, OSError] = {}
        for bundle_id in {place.bundle_id for place in bundled.values()}:
            try:
                self._blobs.bundles.sync(bundle_id)
            except FileNotFoundError:
                continue  # deleted meanwhile, with its last row
            except OSError as error:
                failed[bundle_id] = error
        try:
            if bundled:
                self._blobs.bundles.sync_names()
        except OSError as error:
            return dict.fromkeys(bundled, error)
        return {content_id: failed[at.bundle_id] for content_id, at in bundled.items() if at.bundle_id in failed}

    async def doubt_what_was_sent(self) -> None:
        """Of what the disk refused the remote has some by now: that is clean, and as little to be believed as other
        clean bytes that were refused."""
        for content_id, error in tuple(self._refused.items()):
            content = contents.get(self._db.reader, content_id)
            if content is None or not content.dirty:
                del self._refused[content_id]
                await self._doubt({content_id: error})

    async def _doubt(self, failed: dict[ContentId, OSError]) -> None:
        if not failed:
            return
        log.warning("the disk did not keep what was written to it: %s", next(iter(failed.values())))
        for content_id, error in failed.items():
            self.changed(content_id)
            content = contents.get(self._db.reader, content_id)
            if content is not None and content.dirty:
                self._refused[content_id] = error
        clean = [content_id for content_id in failed if content_id not in self._refused]
        for content_id in clean:
            self._overruled(content_id)
            opened = self._opened.get(content_id)
            if opened is not None:
                opened.resident, opened.hashed = (), False
        await self._db.write(lambda connection: contents.set_not_resident(connection, clean))
