"""Folders, places and times: what a path is called, and where it is.

A move of a file is sent under its ETag, one of a folder after a look. What is to be replaced is a condition of its own
(RFC 4918, section 10.4: `If` with a tagged list).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import Item, ItemId, Kind, Version
from sync.remote import Busy, Conflict, Gone, RemoteError, Replaced
from sync.remotes.asking import Ask
from sync.remotes.nextcloud.asks import if_match, if_there, set_mtime
from sync.remotes.nextcloud.changing import MTIME_MIN_S, NS, REFUSALS, STORED, Changing
from sync.remotes.nextcloud.rows import Entry, item_of, metadata_version

if TYPE_CHECKING:
    from sync.remotes.nextcloud.removing import Removing


class Naming:
    """Makes, moves and dates."""

    def __init__(self, changing: Changing, removing: Removing) -> None:
        self.changing, self.removing = changing, removing

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Create a folder; Conflict with what holds the name."""

        async def act(in_doubt: bool) -> Item:
            path = await self.changing.new_path(parent_id, name)
            ask = Ask(method="MKCOL", path=self.changing.places.path(path), mutates=True, expect=STORED)
            refusal: RemoteError | None = None
            try:
                await self.changing.places.exchange.reply(ask)
            except REFUSALS as error:
                refusal = error
            there = await self.changing.places.at(path)
            if there is not None and (refusal is None or (in_doubt and there.kind is Kind.FOLDER)):
                return await self._made(there, mode, mtime_ns)
            if there is not None:
                raise Conflict("the name is taken", current=item_of(there), code="name_taken")
            await self.changing.need_folder(parent_id)
            raise refusal or Gone("the folder is gone again")

        return await self.changing.once.item(key, ("folder", parent_id, name), act)

    async def _made(self, entry: Entry, mode: int, mtime_ns: int) -> Item:
        await self.changing.places.ledger.bring_in(entry.item_id)  # whoever made it takes it for listed
        await self.changing.places.ledger.keep(entry.item_id, mode=mode & 0o7777, mtime_ns=mtime_ns)
        return item_of(self.changing.known(entry))

    async def move(
        self, item_id: ItemId, base: Version, parent_id: ItemId, name: str, *, replace: Replaced | None, key: str
    ) -> Item:
        """Move and rename, under `metadata_version == base`."""

        async def act(in_doubt: bool) -> Item:
            self.changing.rules.checked(name)
            entry = (
                await self.changing.places.need(item_id) if in_doubt else await self.changing.at_metadata(item_id, base)
            )
            if (entry.parent_id, entry.name) == (parent_id, name):
                return item_of(entry)
            if in_doubt:
                entry = await self.changing.at_metadata(item_id, base)
            return item_of(await self._move(entry, base, parent_id, name, replace))

        return await self.changing.once.item(key, ("move", item_id, base, parent_id, name), act)

    async def _move(self, entry: Entry, base: Version, parent_id: ItemId, name: str, replace: Replaced | None) -> Entry:
        self._refuse_cycle(entry, parent_id)
        target = await self.changing.new_path(parent_id, name)
        condition = {} if entry.kind is Kind.FOLDER else if_match(entry.etag)
        replacing = await self._make_room(target, replace)
        ask = Ask(
            method="MOVE",
            path=self.changing.places.path(self.changing.places.ledger.path(entry.item_id) or ""),
            headers={"destination": self.changing.places.url(target), **condition, **replacing},
            mutates=True,
            expect=STORED,
        )
        refusal: RemoteError | None = None
        try:
            await self.changing.places.exchange.reply(ask)
        except REFUSALS as error:
            refusal = error
        there = await self.changing.places.at(target)
        if there is not None and there.item_id == entry.item_id:
            return there
        now = await self.changing.places.need(entry.item_id)
        if there is not None and (replace is None or there.version != replace.content_version):
            raise Conflict("the name is taken", current=item_of(there), code="name_taken")
        if metadata_version(now) != base:
            raise Conflict("it was changed elsewhere", current=item_of(now))
        await self.changing.need_folder(parent_id)
        raise refusal or Busy("it moves about")

    async def _make_room(self, target: str, replace: Replaced | None) -> dict[str, str]:
        """The condition under which what stands at the target may be replaced; an empty folder goes away first."""
        if replace is None:
            return {"overwrite": "F"}
        there = await self.changing.places.at(target)
        if there is None:
            return {"overwrite": "F"}
        if there.item_id != replace.item_id or there.version != replace.content_version:
            raise Conflict("something else than what was seen", current=item_of(there))
        if there.kind is Kind.FOLDER:
            await self.removing.folder(there)
            return {"overwrite": "F"}
        there = there if there.settled else await self.changing.settled(there.item_id, there.version)
        if there.version != replace.content_version:
            raise Conflict("something else than what was seen", current=item_of(there))
        return {"overwrite": "T", **if_there(self.changing.places.url(target), there.etag)}

    def _refuse_cycle(self, entry: Entry, parent_id: ItemId) -> None:
        above: ItemId | None = parent_id
        for _ in range(1000):
            if above == entry.item_id:
                raise Conflict("a folder cannot be in itself", current=item_of(entry), code="would_cycle")
            known = None if above is None else self.changing.places.ledger.entry(above)
            if known is None:
                return
            above = known.parent_id

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Change mode (kept here) and time (in seconds, kept there), under `metadata_version == base`."""

        async def act(in_doubt: bool) -> Item:
            entry = (
                await self.changing.places.need(item_id) if in_doubt else await self.changing.at_metadata(item_id, base)
            )
            if entry.mtime_s != mtime_ns // NS:
                entry = await self._touch(entry, mtime_ns // NS)
            await self.changing.places.ledger.keep(item_id, mode=mode & 0o7777, mtime_ns=mtime_ns)
            return item_of(self.changing.known(entry))

        return await self.changing.once.item(key, ("attributes", item_id, base, mode, mtime_ns), act)

    async def _touch(self, entry: Entry, mtime_s: int) -> Entry:
        """The time makes part of the ETag: the content's token stays as it is, if nobody wrote meanwhile."""
        if mtime_s <= MTIME_MIN_S:
            return entry
        headers = {} if entry.kind is Kind.FOLDER else if_match(entry.etag)
        path = self.changing.places.path(self.changing.places.ledger.path(entry.item_id) or "")
        try:
            await self.changing.places.exchange.reply(set_mtime(path, mtime_s, headers, entry.item_id))
        except REFUSALS as error:
            now = await self.changing.places.need(entry.item_id)
            if metadata_version(now) != metadata_version(entry):
                raise Conflict("it was changed elsewhere", current=item_of(now)) from None
            raise Busy(str(error)) if isinstance(error, Conflict) else error from None
        now = await self.changing.places.need(entry.item_id)
        if (now.size, now.upload_s, now.mtime_s) == (entry.size, entry.upload_s, mtime_s):
            await self.changing.places.ledger.keep_version(entry.item_id, entry.version)
        return self.changing.known(now)
