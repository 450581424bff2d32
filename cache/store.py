"""What one mount holds on this machine: the state directory, opened once, by one process.

    DIR/lock        flock of the owner, with its pid       DIR/state.db    the catalog; DIR/pins: what to keep here
    DIR/blobs/      contents by id                         DIR/seal        what an orderly close says of the catalog
    DIR/rescued/    unsent bytes without a row             DIR/quarantine/ catalogs that were damaged
    DIR/set-aside/  bytes that lost, for a person          DIR/ballast     room for the catalog on a full disk
    DIR/paused      there while the mount is paused

The janitor does behind everybody's back what nobody should wait for: it writes down, syncs, searches and deletes.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import content_edits, contents, dropped, items, lock, opening, own_blobs, ranges, seal, tree
from cache.aside import Aside
from cache.blobs import Blobs
from cache.changing import Clock
from cache.db import Runner, get_meta, in_worker, set_meta
from cache.deposits import Deposit, Whole, deposit
from cache.durability import DIRTY_SYNC_INTERVAL_S, Durability
from cache.errors import LocalError, NotFound
from cache.evict import kept
from cache.failpoints import reached
from cache.nameless import Nameless
from cache.opened import OpenContent, OpenContents
from cache.pins import Pins
from cache.rescue import Rescue
from cache.sweep import Sweep
from cache.tidying import Work, punch_holes, tidy
from cache.unsettled import Unsettled
from cache.untold import Untold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cache.model import Content, ContentId, Ino, ItemId, Node

log = logging.getLogger(__name__)


class LocalStore:
    """The opened state directory. Raises CacheInUse, StateUnusable, OSError."""

    def __init__(self, directory: Path, *, write_back_delay_s: float = 1.0, runner: Runner = in_worker) -> None:
        self.directory = directory
        self.write_back_delay_s = write_back_delay_s
        self._lock = lock.take(directory)
        try:
            self.blobs = Blobs(directory / "blobs")
            self.opened = OpenContents(self.blobs, self._closed)
            self.aside = Aside(directory / "set-aside", self.blobs, self.opened.is_written)
            self._rescue = Rescue(directory, self.blobs)
            self.db = opening.opened(directory, self.blobs, self._rescue, runner)
        except BaseException:
            os.close(self._lock)
            raise
        self.pins = Pins(directory, self.db.reader, get_meta(self.db.reader, "catalog") or "")
        self._loose: set[ContentId] = set()  # contents to look at: closed, or without a node
        self.nameless = Nameless(self.db.reader, self.opened)
        self.untold = Untold()
        self.unsettled = Unsettled(self.opened, partial(self.settle, closed=True))
        self._work, self._saving = trio.Event(), trio.Lock()
        self._deleted: list[ContentId] = []  # blobs that are gone, which the catalog was not told of yet
        self.durability = Durability(self.db, self.blobs, self.opened, self.untold.overruled)
        self.search = Sweep(self.db, self.blobs, self._rescue, self.opened)
        if self.search.due:
            self._loose.update(self.search.begin())
        self._rescue.report()

    def clock(self, delay_s: float | None = None) -> Clock:
        """Now, and when a change made now may be pushed (delay 0: now), by a clock that nobody sets."""
        delay_s = self.write_back_delay_s if delay_s is None else delay_s
        push_after_ms = time.monotonic_ns() // 1_000_000 + int(delay_s * 1000)
        return Clock(now_ns=time.time_ns(), push_after_ms=push_after_ms)

    async def open_content(self, node: Node) -> OpenContent:
        """Open a file's content; a placeholder gets a blob of holes, without a byte fetched."""
        while True:
            if (current := tree.bytes_of(self.db.reader, node.ino)) is None:
                raise NotFound(ino=node.ino)
            content_id, item_id = current
            if content_id is None:
                await self.db.write(  # in a worker: a disk may be busy
                    lambda connection: own_blobs.of_placeholder(connection, self.blobs, self._rescue, node.ino)
                )
                continue
            content = self.content(content_id)
            try:
                return self._acquire(content, item_id)
            except FileNotFoundError:
                if content.dirty:
                    raise
                await self.db.write(partial(own_blobs.lost, blobs=self.blobs, content=content))

    async def deposit(self, arrived: Iterable[Whole]) -> list[Deposit]:
        """Take in whole contents of placeholders; returns those whose nodes hold theirs. Raises OSError, LocalError.

        In a worker: on a busy disk the creation of a blob takes a millisecond.
        """
        return await self.db.write(lambda connection: deposit(connection, self.blobs, self._rescue, arrived))

    def content(self, content_id: ContentId) -> Content:
        """A content row, with residency that the catalog has not been told yet."""
        content = contents.get(self.db.reader, content_id)
        if content is None:
            raise NotFound(content_id=content_id)
        late = self.untold.resident(content_id)
        if late is None or content.dirty:
            return content
        return replace(content, resident=late, durable=False)

    def held_bytes(self, node: Node) -> int:
        """Room that a node's content takes on this machine, also what the catalog has not been told of yet."""
        if (opened := self.opened.get(node.content_id)) is not None:
            return min(opened.size, opened.stat().st_blocks * 512)
        late = self.untold.resident(node.content_id)
        return node.held_bytes if late is None else ranges.total(late)

    def resident_bytes(self, node: Node) -> int:
        """How many bytes of a node's content can be read without the network; holes are bytes, too."""
        opened = self.opened.get(node.content_id)
        if opened is not None:
            return opened.size if opened.dirty else ranges.total(opened.resident)
        return 0 if node.content_id is None else self.content(node.content_id).resident_bytes

    def _acquire(self, content: Content, item_id: ItemId | None) -> OpenContent:
        return self.opened.acquire(content, item_id, items.digest(self.db.reader, item_id, content.version))

    def fresh_blob(self, content_id: ContentId, size: int, *, unsent: bool = False) -> None:
        """The blob of a content whose row was just inserted, within the same transaction; `unsent`: of dirty bytes."""
        own_blobs.fresh(self.blobs, self._rescue, content_id, size, unsent=unsent)

    async def separate(self, opened: OpenContent) -> None:
        """Before an open content is filled or changed: it has a blob of its own when this returns. Raises OSError."""
        if opened.bundled:
            await self.db.write(
                lambda connection: own_blobs.out_of_bundle(connection, self.blobs, self._rescue, opened)
            )
            reached("bundle-left")
            if opened.bundled:  # nobody else has seen to it meanwhile
                opened.moves_to(self.blobs.open(opened.content_id, writable=True))

    async def settle(self, opened: OpenContent, *, closed: bool = False, delay_s: float | None = None) -> None:
        """Write down size and time of dirty bytes, if that is still to be done; to be pushed in `delay_s`, or soon.

        `closed`: nobody writes any more; the write-back delay, longer for an open file, ends.
        """
        if opened.dirty and (closed or not opened.settled):
            changed, opened.settled = not opened.settled, True  # before the await: a write makes it unsettled again
            self.durability.changed(opened.content_id)
            try:
                stat, size, clock = opened.stat(), opened.size, self.clock(delay_s)
                await self.db.write_here(
                    lambda connection: content_edits.settle(
                        connection, opened.content_id, clock, stat=stat, size=size, changed=changed
                    )
                )
            except BaseException:  # a full disk, or cancelled: still to be done
                opened.settled = False
                raise

    async def sync(self, opened: OpenContent) -> None:
        """fsync: content, then its row and its name are on the disk when this returns. Raises OSError, NoSpaceLeft."""
        await self.settle(opened)
        await self.durability.sync(opened)

    def set_time(self, node: Node, mtime_ns: int) -> None:
        """The time of dirty bytes is that of their blob, open or not: what is told, sent, and found after a crash."""
        opened = self.opened.get(node.content_id)
        if opened is not None and opened.dirty:
            os.utime(opened.fd, ns=(mtime_ns, mtime_ns))
            opened.settled = False
        elif node.content_id is not None and self.content(node.content_id).dirty:
            self.blobs.set_time(node.content_id, mtime_ns)

    def tidy(self, content_ids: Iterable[ContentId], inos: Iterable[Ino] = ()) -> None:
        """Delete these, as soon as nobody uses them, if no node has the content and no name the node."""
        self._loose.update(content_ids)
        self.nameless.add(inos)
        self._work.set()

    def grown(self, opened: OpenContent) -> None:
        """Residency grew: the janitor writes it down."""
        self.untold.grown(opened)
        self._work.set()

    def _closed(self, opened: OpenContent) -> None:
        self.untold.closed(opened)
        self.tidy([opened.content_id, *opened.before], [opened.ino])

    async def run_janitor(self) -> None:
        """Work until cancelled."""
        await self.db.check()
        while True:
            with trio.move_on_after(DIRTY_SYNC_INTERVAL_S):
                await self._work.wait()
            self._work = trio.Event()
            if self.search.due:
                self.tidy(await self.search.go_on())
            await self._write_down()
            await self.unsettled.settle_all()
            self._deleted += await self.durability.sync_due()
            await trio.sleep(0.05)  # what comes in a burst is written together

    async def save(self) -> None:
        """Write down residency and uses, and delete what is loose: its room is free when this returns."""
        await self._write_down()
        self._deleted += await self.durability.delete_gone()

    async def _write_down(self) -> None:
        """The same, but for what waits for the disk: that goes with the next sync that is due (`Durability.gone`)."""
        async with self._saving:
            await self._save()

    async def shed(self, content_id: ContentId, freed_bytes: int) -> bool:
        """Give back so much room of a clean content, if nobody has it open; False where the disk cannot make holes.

        The row first, through power loss, then the holes: a hole must never be taken for bytes. In the step that makes
        the holes nobody else has the content open; if somebody has, its bytes stay.
        """
        async with self._saving:  # an older residency must not be written down after this
            content = contents.get(self.db.reader, content_id)
            node = None if content is None else tree.by_ino(self.db.reader, content.ino)
            if content is None or node is None or content.dirty or self.opened.get(content_id):
                return True
            opened = self._acquire(self.content(content_id), node.item_id)
            before = opened.resident
            opened.resident = left = kept(before, freed_bytes)
            self.untold.overruled(content_id)
            try:
                await self.db.write(lambda connection: contents.shed(connection, content_id, left), durable=True)
                reached("shed-told")
                if opened.users == 1 and not opened.dirty and opened.resident == left:  # nor brought anything anew
                    return punch_holes(self.blobs, content_id, before, left)
                for start, stop in () if opened.rejected else before:
                    opened.arrived(start, stop)
            finally:
                self.opened.release(opened)
                if self.opened.get(content_id) is None:
                    self.untold.unused(content_id)  # this was no use of it
        return True

    async def _save(self) -> None:
        resident, used = self.untold.take()
        self.durability.changed(*resident)
        closed = [*filter(self.opened.is_closed, self._loose)]
        self.durability.gone.update(dropped.left(self.db.reader, closed))
        self._loose.difference_update(closed)
        loose = set(contents.without_node(self.db.reader, closed))  # what has one could be opened, and lose it
        nameless = self.nameless.take()
        gone, self._deleted = self._deleted, []
        if not (resident or loose or nameless or used or gone):
            return
        work = Work(
            now_s=self.clock().now_s, resident=resident, used=used, loose=loose, nameless=nameless, blobs_deleted=gone
        )
        try:
            deleted = await self.db.write(lambda connection: tidy(connection, work))
        except BaseException:  # a full disk, or cancelled: still to be done
            self._loose |= loose
            self.nameless.add(nameless)
            self.untold.take_back(used)
            self._deleted += gone
            raise
        for content in deleted:
            reached("row-deleted")
            if content.dirty or content.bundled is not None:
                self.durability.gone.add(content)
            else:
                self.blobs.delete(content.content_id)
                self._deleted.append(content.content_id)
        self.untold.told(resident)

    async def aclose(self) -> None:
        """Write everything down and leave an orderly mark; what a failing disk prevents is left to the next opening."""
        try:
            with trio.CancelScope(shield=True):
                await self.unsettled.settle_all(open_too=True)
                await self._write_down()
                await self.durability.sync_all(written_too=True)
                await self.durability.delete_gone()
                clean = str(int(not len(self.opened)))  # what is open now is looked at by the next opening
                await self.db.write(lambda connection: set_meta(connection, "clean", clean), durable=True)
                self.db.close()
                await trio.to_thread.run_sync(seal.put, self.directory)
        except (LocalError, OSError) as error:
            log.warning("the state in %s was not closed in order: %s", self.directory, error)
        finally:
            self.db.close()
            os.close(self._lock)
