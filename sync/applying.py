"""Runs transactions that take in remote news, and does what follows from them: kernel news, clean-up, doubts.

Everything the remote tells is a snapshot of some moment. Two snapshots may overtake each other on the wire, so
whoever waits for an answer *watches*: items about which other news was applied meanwhile are not taken from that
answer, they are asked for again.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import trio

from cache import content_edits, contents, items, tree
from cache.failpoints import reached
from cache.model import ContentId, Ino, Item, ItemId, News, NodeChanged
from sync import forgotten, settle
from sync.absorb import Absorber
from sync.deciding import got_child
from sync.planner import Conflicts
from sync.remote import Remote, RemoteError, Tombstone

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cache.changing import Clock
    from cache.opened import OpenContent
    from cache.store import LocalStore

T = TypeVar("T")


class Heard(dict[ItemId, "ItemId | None"]):
    """What other news told of since a moment: items, and their folders. After a resync that is everything, also what it
    found gone without a word."""

    everything = False

    def of(self, item_id: ItemId) -> bool:
        """Whether there may be newer news of an item."""
        return self.everything or item_id in self

    def inside(self, folder: ItemId) -> bool:
        """Whether there may be news of something in a folder."""
        return self.everything or folder in self.values()


DOUBT_ROUNDS = 16  # a doubt leads to another one along a path or a ring of names; more is a contradiction
BATCH = 500
NEWS_BACKLOG = 50_000


class Applier:
    """The one way of remote news into the catalog."""

    def __init__(self, store: LocalStore, remote: Remote, news: trio.MemorySendChannel[News], host: str) -> None:
        self._store = store
        self._remote = remote
        self._news = news
        self._host = host
        self._watchers: list[Heard] = []
        self.conflicts = Conflicts.COPY
        self._wanted: set[ItemId] = set()  # folders that something known here was told to be in
        self._needed: set[ItemId] = set()  # those of them where it was when it was asked for
        self.observers: list[Callable[[Sequence[News]], None]] = []  # told of all news, after it is true

    @contextmanager
    def watch(self) -> Iterator[Heard]:
        """Collect {item: its folder} of all news applied while an answer is on its way.

        Kept open until the answer is applied, and looked at inside that transaction: other news may be waiting before.
        """
        heard = Heard()
        self._watchers.append(heard)
        try:
            yield heard
        finally:
            self._watchers = [each for each in self._watchers if each is not heard]

    def resynced(self) -> None:
        """Everything was compared: what is still on its way was told before."""
        for heard in self._watchers:
            heard.everything = True

    async def apply(self, change: Callable[[Absorber], T], own: Heard | None = None) -> T:
        """One transaction, then its news; the first thing awaited is the transaction itself.

        `own`: the caller's watch, which is not told of this.
        """

        def transaction(connection: sqlite3.Connection) -> tuple[T, Absorber]:
            absorber = Absorber(connection, self._store.clock(0), self._host, self.conflicts, self._store.aside)
            done = change(absorber)
            absorber.finish()
            items.doubt(absorber.connection, absorber.after.doubts)
            return done, absorber

        result, absorber = await self._store.db.write(transaction)
        after = absorber.after
        for heard in self._watchers:
            if heard is not own:
                heard.update(after.touched)
        self._wanted |= after.wanted_parents
        self._store.tidy(after.released, after.nameless)
        for opened in self._store.opened:
            if opened.content_id in after.owners:
                opened.ino = after.owners[opened.content_id]
        await self.tell(*after.news)
        return result

    async def apply_answer(
        self, told: Sequence[Item | Tombstone], heard: Heard, change: Callable[[Absorber], None]
    ) -> None:
        """Take in an answer; `heard`: a watch begun before it was asked for.

        If other news of an item came meanwhile, nobody here knows which is newer: the remote is asked again.
        """

        def take_in(absorber: Absorber) -> bool:
            overtaken = {
                each.item_id for each in told if heard.of(each.item_id) and not _is_known(absorber.connection, each)
            }
            change(absorber)
            absorber.after.doubts |= overtaken
            return bool(absorber.after.doubts)

        if await self.apply(take_in):
            with suppress(RemoteError):  # doubts stay, and the next pull asks
                await self.resolve_doubts()

    async def tell(self, *news: News) -> None:
        """Send news up; waits while the kernel's face is far behind, so that a storm stays bounded."""
        self.tell_soon(news)
        while self._far_behind():  # noqa: ASYNC110  # the channel tells no event for that
            await trio.sleep(0.01)

    def _far_behind(self) -> bool:
        channel = self._news.statistics()
        return channel.current_buffer_used > NEWS_BACKLOG and channel.open_receive_channels > 0

    def tell_soon(self, news: Iterable[News]) -> None:
        """Send news up without waiting: from a handler that the kernel may be waiting for."""
        told = tuple(news)
        for each in told:
            self._news.send_nowait(each)
        for observer in self.observers:
            observer(told)

    async def begin_edit(self, opened: OpenContent, clock: Clock) -> None:
        """The outbox knows of an edit before its first byte is written; raises NotPermitted, NotFound."""

        await self._store.separate(opened)

        def change(connection: sqlite3.Connection) -> list[News]:
            self._store.blobs.mark(opened.fd)
            if content_edits.displaces(connection, opened.content_id):
                return settle.edit_beside(connection, opened.content_id, clock, self._host)
            back = settle.bring_back(connection, opened.ino, clock, self._host)
            moved_on = content_edits.begin_edit(connection, opened.content_id, clock)
            reached("edit-marked")
            return [*back, NodeChanged(opened.ino, content=True)] if moved_on else back

        if opened.size:  # the first changed bytes must not reach the disk before the row that says so
            news = await self._store.db.write(change, durable=True)
        else:
            news = await self._store.db.write_here(change)
        content = contents.get(self._store.db.reader, opened.content_id)
        opened.dirty, opened.ino = True, opened.ino if content is None else content.ino
        self._store.untold.overruled(opened.content_id)  # what was resident before is no news any more
        self.tell_soon(news)

    async def empty(self, opened: OpenContent, clock: Clock) -> ContentId:
        """The same for a truncation to nothing, which needs none of the bytes before: a new, empty content."""

        def change(connection: sqlite3.Connection) -> tuple[ContentId, Ino, list[News]]:
            if content_edits.displaces(connection, opened.content_id):
                ino, news = settle.empty_beside(connection, opened.content_id, clock, self._host)
            else:
                ino, news = opened.ino, settle.bring_back(connection, opened.ino, clock, self._host)
            content_id = content_edits.new_content(connection, ino, opened.content_id, clock)
            self._store.fresh_blob(content_id, 0, unsent=True)
            return content_id, ino, news

        content_id, opened.ino, news = await self._store.db.write_here(change)
        self.tell_soon(news)
        return content_id

    async def resolve_doubts(self) -> None:
        """Ask for doubtful items until nothing contradicts; what stays is tried again next time. Raises RemoteError."""
        for _ in range(DOUBT_ROUNDS):
            await self._know_parents()
            asked = items.doubtful(self._store.db.reader, BATCH)
            if not (asked or self._wanted):
                return
            await self.refresh(asked)

    async def refresh(self, asked: list[ItemId]) -> None:
        """Ask for these items and take in what the remote says."""
        if not asked:
            return
        with self.watch() as heard:
            told = await self._remote.get_many(asked)
            if None in told.values():
                await self._store.save()  # what is held of these is looked at
            await self.ask_before(told.values())

            def change(absorber: Absorber) -> set[ItemId]:
                items.settle_doubts(absorber.connection, told)
                fresh = {item_id: state for item_id, state in told.items() if not heard.of(item_id)}
                absorber.after.doubts.update(told.keys() - fresh.keys())
                for item_id, state in fresh.items():
                    if isinstance(state, Item):
                        absorber.item(state, unlisted_parent=True)
                    elif state is None:
                        absorber.unknown(item_id)
                    else:
                        absorber.gone(state)
                return absorber.after.wanted_parents

            self._needed |= await self.apply(change)

    async def ask_before(self, told: Iterable[Item | Tombstone | None]) -> None:
        """Before an answer is taken in for which bytes would go: did the remote lose changes? Raises RemoteError."""
        await forgotten.ask_before(self._store, self._remote, told)

    async def _know_parents(self) -> None:
        """Bring in folders that hold known items but were never listed, or are removed here, from the first known
        ancestor down."""
        chain: list[Item] = []
        wanted, needed = list(self._wanted), self._needed
        self._needed = set()
        with self.watch() as heard:
            while wanted and len(chain) < BATCH:
                told = await self._remote.get_many(wanted[:BATCH])
                self._wanted -= told.keys()  # what was not answered is still to be asked
                found = [item for item in told.values() if isinstance(item, Item)]
                chain = found + chain
                needed |= {item.parent_id for item in found if item.item_id in needed and item.parent_id is not None}
                wanted = [
                    item.parent_id
                    for item in found
                    if item.parent_id is not None and tree.by_item(self._store.db.reader, item.parent_id) is None
                ]

            def change(absorber: Absorber) -> None:
                for item in chain:
                    if heard.of(item.item_id):
                        absorber.after.doubts.add(item.item_id)
                    else:
                        absorber.item(item, unlisted_parent=True)
                        if item.item_id in needed:
                            got_child(absorber, item)
                        absorber.show_wanted(item)

            if chain:
                await self.apply(change)


def _is_known(connection: sqlite3.Connection, told: Item | Tombstone) -> bool:
    return items.get(connection, told.item_id) == (told if isinstance(told, Item) else None)
