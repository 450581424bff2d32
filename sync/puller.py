"""Keeps the local tree fresh: the change feed, folder listings, and comparison when the feed does not reach back.

The anchor is stored in the transaction that applies its page. A hint (server-sent event) only wakes the puller;
polling stands behind it. A listing marks its folder as listed only when no other news of it arrived meanwhile.
Nothing is ever deleted because it was missing from an answer.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import trio

from cache import items, tree
from cache.db import get_meta, set_meta
from cache.errors import NotFound
from cache.failpoints import reached
from cache.model import Anchor, Ino, Item, ItemId
from sync.remote import AnchorExpired, ChangePage, Gone, Listing, ProtocolViolation, Remote, RemoteError, Tombstone
from sync.resync import Comparison

if TYPE_CHECKING:
    import random
    import sqlite3
    from collections.abc import Callable

    from cache.store import LocalStore
    from sync.absorb import Absorber
    from sync.applying import Applier, Heard

LISTING_TRIES = 4  # a folder that changes during each of so many listings is taken with its doubts
BACKOFF_FIRST_S = 2.0  # a server that is started anew meets its ten thousand clients over this time, not at once
BACKOFF_MAX_S = 60.0


class Puller:
    """The only one that takes in the feed."""

    def __init__(  # noqa: PLR0917
        self, store: LocalStore, remote: Remote, applier: Applier, poll_interval_s: float,
        heard: Callable[[RemoteError | None], None], chance: random.Random,
    ) -> None:  # fmt: skip
        self._store = store
        self._remote = remote
        self._applier = applier
        self._poll_interval_s = poll_interval_s
        self._heard = heard
        self._chance = chance
        self._pulling = trio.Lock()
        self._wake = trio.Event()
        self._failures, self._listening = 0, trio.CancelScope()
        self._listings: dict[Ino, trio.Lock] = {}
        self._comparison = Comparison(store, remote, applier, self._list)

    @property
    def anchor(self) -> Anchor | None:
        """How far the local tree follows the remote."""
        value = get_meta(self._store.db.reader, "anchor")
        return None if value is None else Anchor(value)

    async def begin(self, root: Item) -> None:
        """First contact: the anchor is taken before anything is listed. Later starts keep theirs."""
        anchor = self.anchor or await self._remote.newest_anchor()

        def change(connection: sqlite3.Connection) -> None:
            set_meta(connection, "anchor", anchor)
            set_meta(connection, "root_id", root.item_id)

        await self._store.db.write(change)
        await self._applier.apply(lambda absorber: absorber.root(root))

    def nudge(self, *, anew: bool = False) -> None:
        """Pull now. `anew`: over another way, so that earlier failures count no more, and to listen there, too."""
        if anew:
            self._failures = 0
            self._listening.cancel()
        self._wake.set()

    async def run(self) -> None:
        """Pull at each hint, and by the clock behind it; failures only make the pauses longer."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_listening)
            while True:
                self._wake = trio.Event()
                try:
                    await self.pull()
                except RemoteError as error:
                    self._failures += 1
                    self._heard(error)
                    pause_s = (error.retry_after_s or 0.0) + self._backoff_s(self._failures)  # all were told the same
                else:
                    self._failures, pause_s = 0, self._poll_interval_s
                    self._heard(None)
                with trio.move_on_after(pause_s):
                    await self._wake.wait()

    def _backoff_s(self, failures: int) -> float:
        """Exponential with full jitter, so that a crowd does not come back at once."""
        return self._chance.uniform(0.1, min(BACKOFF_FIRST_S * 2 ** min(failures, 10), BACKOFF_MAX_S))

    async def _keep_listening(self) -> None:
        while True:
            with trio.CancelScope() as self._listening:
                await self._listen()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                if (anchor := self.anchor) is not None:
                    async for _ in self._remote.hints(anchor):
                        failures = 0
                        self._wake.set()
            except RemoteError:
                failures += 1  # polling tells the state of the connection; this channel only comes back
                if failures == 1:  # is it only the channel, or everything? Better known soon
                    await trio.sleep(self._chance.uniform(0.0, BACKOFF_FIRST_S))
                    self._wake.set()
            await trio.sleep(self._backoff_s(failures))

    async def pull(self) -> None:
        """Apply everything up to now; raises RemoteError."""
        async with self._pulling:
            anchor = self.anchor or await self._remote.newest_anchor()
            first = _Request(self._applier)
            request: _Request | None = first
            try:
                await first.send(self._remote, anchor)
                while request is not None:
                    request = await self._take(request)
            except AnchorExpired as error:
                await self._comparison.run(error)
            finally:
                if request is not None:
                    request.close()
            await self._applier.resolve_doubts()
            await self._comparison.end()

    async def _take(self, request: _Request) -> _Request | None:
        """Apply a page, while the next one, if there is one, is already on its way; returns that one."""
        with request:
            page = request.told()
            if not page.has_more:
                await self._apply_page(page, request.heard)
                return None
            following = _Request(self._applier)
            try:
                await self._apply_while_asking(page, request.heard, following)
            except BaseException:
                following.close()
                raise
            return following

    async def _apply_while_asking(self, page: ChangePage, heard: Heard, following: _Request) -> None:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(following.send, self._remote, page.anchor)
            try:
                await self._apply_page(page, heard, following.heard)
            except Exception as error:  # noqa: BLE001 - raised below: as itself, not as a group
                failure = error
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _apply_page(self, page: ChangePage, heard: Heard, following: Heard | None = None) -> None:
        """Items first, so that what moved out of a folder is safe before the folder's tombstone is read.

        `following`: of the next page, which is newer than this one whenever it arrives.
        """

        def change(absorber: Absorber) -> None:
            overtaken = {told.item_id for told in page.changes if heard.of(told.item_id) and not _echo(absorber, told)}
            absorber.after.doubts |= overtaken
            fresh = [told for told in page.changes if not heard.of(told.item_id)]
            absorber.items([told for told in fresh if isinstance(told, Item)])
            absorber.all_gone([told for told in fresh if isinstance(told, Tombstone)])
            set_meta(absorber.connection, "anchor", page.anchor)

        if page.changes or page.anchor != self.anchor:
            reached("page-told")
            await self._applier.apply(change, own=following)
            reached("page-applied")

    async def ensure_listed(self, ino: Ino) -> None:
        """Have every child of a folder here; raises RemoteError, NotFound."""
        node = tree.by_ino(self._store.db.reader, ino)
        if node is None:
            raise NotFound(ino=ino)
        if node.listed or node.item_id is None:
            return
        turn = self._listings.setdefault(ino, trio.Lock())
        try:
            async with turn:
                node = tree.by_ino(self._store.db.reader, ino)
                if node is not None and not node.listed and node.item_id is not None:
                    await self._list(ino, node.item_id)
        finally:
            if not (turn.locked() or turn.statistics().tasks_waiting):
                self._listings.pop(ino, None)

    async def _list(self, ino: Ino, item_id: ItemId) -> None:
        for attempt in range(LISTING_TRIES):
            with self._applier.watch() as heard:
                try:
                    listing = await self._remote.children(item_id)
                except Gone:
                    await self._applier.refresh([item_id])
                    await self._applier.resolve_doubts()  # it goes only after its children are known to be gone
                    if (node := tree.by_ino(self._store.db.reader, ino)) and node.parent and node.item_id is None:
                        return  # it stays for what is only here, and is made again
                    raise NotFound(ino=ino) from None
                last = attempt == LISTING_TRIES - 1
                taken = await self._apply_listing(ino, item_id, listing, heard, even_overtaken=last)
            if taken:
                await self._applier.resolve_doubts()
                return

    async def _apply_listing(
        self, ino: Ino, item_id: ItemId, listing: Listing, heard: Heard, *, even_overtaken: bool
    ) -> bool:
        """False when the children were told of anew meanwhile: as seen in the transaction, so none is missed.

        What a resync overtook is never taken: the folder stays unlisted, and is listed when next asked for.
        """
        present = {item.item_id for item in listing.items}

        def change(absorber: Absorber) -> bool:
            overtaken = {each for each, folder in heard.items() if folder == item_id or each in present}
            if heard.everything or (overtaken and not even_overtaken):
                return False
            absorber.listing(ino, listing.items, overtaken)
            return True

        return await self._applier.apply(change)


class _Request:
    """A page of the feed that is asked for, and what other news tells until it is applied."""

    def __init__(self, applier: Applier) -> None:
        self._watching = ExitStack()
        self.heard = self._watching.enter_context(applier.watch())
        self._page: ChangePage | None = None
        self._error: RemoteError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nobody applies it any more."""
        self._watching.close()

    async def send(self, remote: Remote, anchor: Anchor) -> None:
        """Ask; an error is kept for `told`."""
        try:
            page = await remote.changes(anchor)
            if page.has_more and page.anchor == anchor:
                raise ProtocolViolation("the feed has more, and does not go on")  # told as any other
            self._page = page
        except RemoteError as error:
            self._error = error

    def told(self) -> ChangePage:
        """What was answered; raises RemoteError."""
        if self._error is not None:
            raise self._error
        assert self._page is not None  # noqa: S101  # `send` returned
        return self._page


def _echo(absorber: Absorber, told: Item | Tombstone) -> bool:
    """Whether this is what an answer to our own push told already."""
    return isinstance(told, Item) and items.get(absorber.connection, told.item_id) == told
