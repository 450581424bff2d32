"""`sync.remote.Remote` for a WebDAV server of which nothing is known beforehand (RFC 4918).

The feed is made here: `changes` walks what is known and tells the rows of the stored tree that changed. Whether and how
the server keeps others from being overwritten is found out at the first contact and remembered.
"""

from __future__ import annotations

from dataclasses import replace as with_
from typing import TYPE_CHECKING

import msgspec
import trio

from cache.model import Kind
from sync.remote import Gone, Listing, Refused, Space
from sync.remotes.asking import Ask
from sync.remotes.dav.downloads import downloaded
from sync.remotes.dav.facts import Facts, is_weak, plain_facts, propfind_body
from sync.remotes.dav.habits import Habits, Prober, capabilities_of
from sync.remotes.dav.leftovers import Leftovers
from sync.remotes.dav.locking import Locks
from sync.remotes.dav.looking import Looker
from sync.remotes.dav.mirror import told_of
from sync.remotes.dav.multistatus import Told, dav, multistatus_of
from sync.remotes.dav.placing import Placer
from sync.remotes.dav.positions import Positions
from sync.remotes.dav.recognising import Recogniser
from sync.remotes.dav.reporting import Reporter
from sync.remotes.dav.server import Server
from sync.remotes.dav.touched import Touched
from sync.remotes.dav.verifying import Verifier
from sync.remotes.dav.walking import Walker
from sync.remotes.dav.writing import Writer
from sync.remotes.once import Once
from sync.remotes.paging import Paging
from sync.remotes.without import NoArchive, WithoutExtras, WithoutSessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from cache.model import Anchor, Item, ItemId, Version
    from sync.capabilities import Capabilities
    from sync.remote import ChangePage, NewFile, Overwrite, Reader, Replaced, Source, Tombstone
    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.facts import Entry
    from sync.remotes.dav.mirror import Mirror

LIST_FROM = 4  # so many of one folder are asked for by a listing
UNSETTLED_S = 2.0  # a tag made of seconds proves nothing for so long
POLL_S = 2.0  # after a change; longer and longer while there is none
POLL_MAX_S = 30.0
POLL_SHARE = 20  # a walk is to take no more than a twentieth of the time
UNTOLD_SPACE = Space(total=1 << 50, free=1 << 50)
_QUOTA = propfind_body(("quota-available-bytes", "quota-used-bytes"))


class DavRemote(WithoutExtras, WithoutSessions):
    """A folder of a WebDAV server, and the stored tree of it; `unsafe`: write even where no condition is honoured."""

    def __init__(
        self, exchange: DavExchange, mirror: Mirror, *, unsafe: bool = False, poll_s: float = POLL_S
    ) -> None:  # fmt: skip
        self._exchange, self._mirror = exchange, mirror
        self._poll_s = poll_s
        looker, touched = Looker(exchange, propfind_body(), self._facts), Touched()
        self._recogniser = Recogniser(mirror, looker)
        self._reporter = Reporter(exchange, looker)
        positions = Positions(mirror, exchange, self._reporter, lambda: self._server.habits.reports)
        walker = Walker(mirror, looker, self._recogniser, touched, positions)
        self._server = Server(
            exchange,
            mirror,
            looker,
            touched,
            walker,
            Once(mirror, self._current),
            Locks(exchange, looker),
            unsafe,
            _remembered(mirror),
        )
        self._verifier = Verifier(self._server)
        self._leftovers = Leftovers(self._server)
        self._writer = Writer(self._server, self._verifier, self._leftovers)
        self._placer = Placer(self._server)
        self._paging = Paging(mirror, self._walk, self._since)
        self.archive = NoArchive(mirror.names)

    def __repr__(self) -> str:
        return f"DavRemote({self._exchange.url!r})"

    @property
    def capabilities(self) -> Capabilities:
        """As found out."""
        return capabilities_of(self._server.habits, unsafe=self._server.unsafe)

    def _facts(self, told: Told, server_s: float) -> Facts | None:
        facts = plain_facts(told)
        if facts is None or facts.kind is Kind.FOLDER or (self._server.habits.fine_tags and not is_weak(facts.tag)):
            return facts
        settles_s = facts.mtime_ns / 1e9 + UNSETTLED_S
        return with_(facts, settles_s=settles_s) if settles_s >= server_s else facts

    async def root(self) -> Item:
        """Sign in, tell the root, and find out what the server honours if that is not known."""
        told = await self._server.looker.look(())
        if told is None or told.kind is not Kind.FOLDER:
            raise Gone("the address is no folder of the server")
        known = self._mirror.root()
        entry = self._mirror.add(None, "", told) if known is None else self._mirror.refresh(known, told)
        if self._mirror.fact("habits") is None or not self._server.habits.writes:  # it may have been no leave to write
            self._server.habits = await Prober(
                self._exchange, self._server.looker, self._server.locks, self._reporter
            ).habits()  # fmt: skip
            self._mirror.set_fact("habits", msgspec.json.encode(self._server.habits).decode())
        return entry.item

    # --- what is there

    async def newest_anchor(self) -> Anchor:
        """Where the feed stands now."""
        await trio.lowlevel.checkpoint()
        return self._mirror.newest()

    async def changes(self, anchor: Anchor) -> ChangePage:
        """What changed since; AnchorExpired."""
        return await self._paging.after(anchor)

    async def _walk(self) -> None:
        await self._server.walker.walk()
        await self._verifier.settle_due()
        await self._leftovers.clear_old()

    def _since(self, seq: int, limit: int) -> list[tuple[int, Item | Tombstone]]:
        return [(row.seq, told_of(row)) for row in self._mirror.since(seq, limit)]

    async def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """At once, and then from time to time: the longer a walk takes, and nothing changed, the more seldom."""
        self._mirror.position(anchor)
        pause_s = self._poll_s
        while True:
            yield None
            before = self._mirror.newest()
            await trio.sleep(max(pause_s, POLL_SHARE * self._server.walker.walked_s))
            pause_s = min(pause_s * 1.5, POLL_MAX_S) if self._mirror.newest() == before else self._poll_s

    async def children(self, folder: ItemId) -> Listing:
        """All children of a folder; Gone."""
        entry = self._server.known(folder)
        if entry.kind is not Kind.FOLDER:
            return Listing(items=[], anchor=self._mirror.newest())
        lacks = await self._server.walker.look_into(entry)
        now = self._mirror.get(folder)
        if lacks is None or now is None or now.gone:
            raise Gone("no such folder", tombstone=True)
        if not now.listed:
            self._mirror.note(now, listed=True)
        items = [each.item for each in self._mirror.children(folder) if each.name not in lacks]
        return Listing(items=items, anchor=self._mirror.newest())

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """Current state of each; what is not at its place is looked for everywhere else first."""
        asked = [entry for item_id in item_ids if (entry := self._mirror.get(item_id)) is not None and not entry.gone]
        by_folder: dict[ItemId | None, list[Entry]] = {}
        for entry in asked:
            by_folder.setdefault(entry.parent_id, []).append(entry)
        away = [each for folder, entries in by_folder.items() for each in await self._away(folder, entries)]
        if away:
            await self._server.walker.walk()
            for entry in away:
                now = self._mirror.get(entry.item_id)
                if now is not None and not now.gone:
                    await self._server.walker.confirm(now)
        return {item_id: self._state(item_id) for item_id in item_ids}

    async def _current(self, item_id: ItemId) -> Item | None:
        await trio.lowlevel.checkpoint()
        entry = self._mirror.get(item_id)
        return None if entry is None or entry.gone else entry.item

    def _state(self, item_id: ItemId) -> Item | Tombstone | None:
        entry = self._mirror.get(item_id)
        return None if entry is None else told_of(entry)

    async def _away(self, folder_id: ItemId | None, entries: list[Entry]) -> list[Entry]:
        """Those that are not at their places."""
        folder = None if folder_id is None else self._mirror.get(folder_id)
        if folder is not None and len(entries) >= LIST_FROM:
            try:
                lacks = await self._server.walker.look_into(folder)
            except Gone:
                return entries
            return entries if lacks is None else [each for each in entries if each.name in lacks]
        away: list[Entry] = []
        for entry in entries:
            try:
                if await self._server.seen(entry) is None:
                    away.append(entry)
            except Gone:
                continue  # known to be gone by now
        return away

    def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AbstractAsyncContextManager[Reader]:
        """Open bytes [start, stop) of exactly this version."""
        return downloaded(self._server, item_id, version, start, stop)

    # --- what is changed

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """Store content; Conflict with the item that stands there."""
        self._require_writable()
        return await self._writer.put(target, source, mtime_ns=mtime_ns, mode=mode, key=key)

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Create a folder; Conflict with what holds the name."""
        self._require_writable()
        return await self._placer.make_folder(parent_id, name, mode=mode, mtime_ns=mtime_ns, key=key)

    async def move(
        self, item_id: ItemId, base: Version, parent_id: ItemId, name: str, *, replace: Replaced | None, key: str
    ) -> Item:
        """Move and rename, under `metadata_version == base`."""
        self._require_writable()
        return await self._placer.move(item_id, base, parent_id, name, replace, key)

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Kept on this machine, as the server keeps neither; they are told back as long as the content is the same."""

        async def act(_: bool) -> Item:
            await trio.lowlevel.checkpoint()
            entry = self._server.known(item_id)
            self._server.at_base(entry, base)
            return self._mirror.change(entry, mode=mode & 0o7777, mtime_ns=mtime_ns).item

        return await self._server.once.item(key, ("attributes", item_id, base, mode, mtime_ns), act)

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """Remove, under `metadata_version == base`; a folder must be empty (Conflict)."""
        self._require_writable()
        await self._placer.remove(item_id, base, key)

    def _require_writable(self) -> None:
        if not self.capabilities.writable:
            raise Refused("this server honours no condition: it is mounted read-only", code="read_only")

    async def space(self) -> Space:
        """What RFC 4331 tells, or what refuses nothing for lack of room."""
        ask = Ask(
            method="PROPFIND", path=self._exchange.path_of((), folder=True), content=_QUOTA, expect=frozenset({207}),
            headers={"depth": "0", "content-type": "application/xml; charset=utf-8"},
        )  # fmt: skip
        rows = multistatus_of(await self._exchange.body(ask)).responses
        free, used = (rows[0].text(dav(name)) if rows else None for name in _QUOTA_NAMES)
        if not (free and free.isdigit() and used and used.isdigit()):
            return UNTOLD_SPACE
        return Space(total=int(free) + int(used), free=int(free))

    async def renew(self, *, drop: bool) -> None:
        """This machine's network is another one."""
        await self._exchange.renew(drop=drop)

    async def keep_spare(self) -> None:
        """Nothing is kept open beyond the pool."""
        await trio.sleep_forever()

    async def aclose(self) -> None:
        """Give back connections, and the stored tree."""
        await self._exchange.aclose()
        self._mirror.close()


_QUOTA_NAMES = ("quota-available-bytes", "quota-used-bytes")


def _remembered(mirror: Mirror) -> Habits:
    kept = mirror.fact("habits")
    return Habits() if kept is None else msgspec.json.decode(kept, type=Habits)
