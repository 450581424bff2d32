"""Where things are on the server: looks, listings and searches, each recorded in the ledger as it comes in.

The server is addressed by paths, the seam by ids. A path is a guess of the ledger, so whatever is found there counts
only when it bears the id that was meant; else the server is searched for the id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from cache.model import ItemId, Kind
from sync.remote import Busy, Conflict, Gone, ProtocolViolation
from sync.remotes.nextcloud.asks import SEARCH_MAX, look, search, with_ids
from sync.remotes.nextcloud.entries import OC, PROPERTIES, ROOT_PROPERTIES, Seen, seen
from sync.remotes.nextcloud.rows import Entry, item_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.remotes.asking import Ask
    from sync.remotes.nextcloud.exchange import NextcloudExchange
    from sync.remotes.nextcloud.ledger import Ledger, Look

DAV_ROOT = ("remote.php", "dav")


class Places:
    """Of the files of one person, whose id is in their addresses."""

    def __init__(self, exchange: NextcloudExchange, ledger: Ledger, user_id: str, *, has_trash: bool) -> None:
        self.exchange, self.ledger, self.user_id, self.has_trash = exchange, ledger, user_id, has_trash
        server = unquote(urlsplit(exchange.url).path).rstrip("/")
        self._base_path = "/".join((server, *DAV_ROOT, "files", user_id))
        self.clock_s = 0  # the server's, as last told

    # --- addresses

    def dav_path(self, *names: str) -> str:
        """The quoted path of something below the WebDAV root."""
        return self.exchange.path_of((*DAV_ROOT, *names))

    def path(self, path: str) -> str:
        """The quoted path of a file or folder."""
        return self.dav_path("files", self.user_id, *filter(None, path.split("/")))

    def url(self, path: str) -> str:
        """The same with the server: what Destination and `If` want."""
        return self.exchange.origin + self.path(path)

    # --- looking

    async def at(self, path: str) -> Entry | None:
        """What is at a path now; None: nothing."""
        with self.ledger.looking() as looking:
            try:
                (told, *_), now_s = await self._look(path, depth=0)
            except Gone:
                return None
            return await self._recorded(told, now_s, looking)

    async def root(self) -> tuple[Entry, str]:
        """The root now, and the fingerprint of the server's data."""
        with self.ledger.looking() as looking:
            told, now_s = await self.exchange.looked(look(self.path(""), ROOT_PROPERTIES, depth=0))
            if len(told.responses) != 1:
                raise ProtocolViolation("an answer about something else than was asked for")
            self.clock_s = max(self.clock_s, now_s)
            row = told.responses[0]
            entry = await self._recorded(seen(row, self._base_path), now_s, looking)
        return entry, row.text(f"{OC}data-fingerprint") or ""

    async def current(self, item_id: ItemId) -> Entry | None:
        """An item as it is now, wherever it is; None: nowhere."""
        path = self.ledger.path(item_id)
        if path is not None:
            there = await self.at(path)
            if there is not None and there.item_id == item_id:
                return there
        return (await self.by_ids([item_id])).get(item_id)

    async def by_ids(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Entry]:
        """Those of them that are anywhere among the files now."""
        found: dict[ItemId, Entry] = {}
        asked = [each for each in dict.fromkeys(item_ids) if each.isdecimal()]
        for at in range(0, len(asked), SEARCH_MAX):
            part = asked[at : at + SEARCH_MAX]
            for told in await self.search(with_ids(part), len(part)):
                if told.item_id in part:
                    found[told.item_id] = told
        root = self.ledger.root()
        if root is not None and root.item_id in asked:  # a search is below its scope
            there = await self.at("")
            if there is not None:
                found[there.item_id] = there
        return found

    async def search(self, where: str, limit: int) -> list[Entry]:
        """What a condition finds, at most `limit`."""
        ask = search(self.dav_path() + "/", f"/files/{quote(self.user_id)}", PROPERTIES, where, limit)
        with self.ledger.looking() as looking:
            rows, now_s = await self._read(ask)
            return [await self._recorded(row, now_s, looking) for row in rows]

    async def children(self, folder: ItemId) -> list[Entry]:
        """All children of a folder; Gone, Conflict `not_a_folder`."""
        for _ in range(2):  # a path is a guess: see the module
            path = self.ledger.path(folder)
            listed = None if path is None else await self._listed(folder, path)
            if listed is not None:
                return listed
            there = await self.need(folder)
            if there.kind is not Kind.FOLDER:
                raise Conflict("not a folder", current=item_of(there), code="not_a_folder")
        raise Busy("the folder moves about")

    async def need(self, item_id: ItemId) -> Entry:
        """An item as it is now; Gone, with proof when it was there once."""
        with self.ledger.looking() as looking:
            there = await self.current(item_id)
            if there is None:
                await self.ledger.bury([item_id], looking)
        if there is None:
            raise Gone("no such file or folder", tombstone=self.ledger.get(item_id) is not None)
        return there

    async def _listed(self, folder: ItemId, path: str) -> list[Entry] | None:
        """The children of what is at a path, if that is the folder."""
        with self.ledger.looking() as looking:
            try:
                (there, *children), now_s = await self._look(path, depth=1)
            except Gone:
                return None
            if there.file_id != folder or there.kind is not Kind.FOLDER:
                await self._recorded(there, now_s, looking)
                return None
            if any(child.folder != there.path for child in children):
                raise ProtocolViolation("a folder lists a child of another one")
            await self._recorded(there, now_s, looking)
            return await self.ledger.record_listing(there, children, now_s, looking)

    async def _look(self, path: str, *, depth: int) -> tuple[list[Seen], int]:
        rows, now_s = await self._read(look(self.path(path), PROPERTIES, depth=depth))
        rows.sort(key=lambda row: row.path != path)  # the asked one first
        if not rows or rows[0].path != path:
            raise ProtocolViolation("an answer about something else than was asked for")
        return rows, now_s

    async def _read(self, ask: Ask) -> tuple[list[Seen], int]:
        rows, now_s = await self.exchange.read(ask, lambda told: [seen(row, self._base_path) for row in told.responses])
        self.clock_s = max(self.clock_s, now_s)
        return rows, now_s

    async def _recorded(self, told: Seen, now_s: int, looking: Look) -> Entry:
        parent = None if not told.path else await self._folder_at(told.folder)
        return await self.ledger.record(told, parent, now_s, looking)

    async def _folder_at(self, path: str) -> ItemId:
        """The folder at a path; one that was not known is brought in, and is to be listed."""
        known = self.ledger.at(path)
        if known is not None:
            return known.item_id
        there = await self.at(path)
        if there is None:
            raise ProtocolViolation("something is in a folder that is not there")
        await self.ledger.bring_in(there.item_id)
        return there.item_id
