"""Removals: into the trash, a file under its ETag, a folder only when it is empty.

No condition protects a folder, so what came into it between the look and the deletion is found in the trash right after
and brought back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import ItemId, Kind, Version
from sync.remote import Busy, Conflict, Gone
from sync.remotes.asking import Ask
from sync.remotes.nextcloud.asks import if_match
from sync.remotes.nextcloud.changing import REFUSALS, STORED, Changing
from sync.remotes.nextcloud.rows import Entry, item_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.remotes.nextcloud.archive import NextcloudArchive


class Removing:
    """Removes."""

    def __init__(self, changing: Changing, archive: NextcloudArchive) -> None:
        self.changing, self.archive = changing, archive

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """Into the trash, under `metadata_version == base`; a folder must be empty (Conflict)."""

        async def act(in_doubt: bool) -> None:
            try:
                entry = await self.changing.at_metadata(item_id, base)
            except Gone:
                if in_doubt:
                    return
                raise
            if entry.kind is Kind.FOLDER:
                await self.folder(entry)
            else:
                await self._remove_file(entry)

        await self.changing.once.do(key, ("remove", item_id, base), act)

    async def _remove_file(self, entry: Entry) -> None:
        entry = entry if entry.settled else await self._same_settled(entry)
        try:
            await self._delete(entry, if_match(entry.etag))
        except REFUSALS as error:
            now = await self.changing.places.need(entry.item_id)
            if now.version != entry.version:
                raise Conflict("it was changed elsewhere", current=item_of(now)) from None
            raise Busy(str(error)) if isinstance(error, Conflict | Gone) else error from None

    async def _same_settled(self, entry: Entry) -> Entry:
        now = await self.changing.settled(entry.item_id, entry.version)
        if now.version != entry.version:
            raise Conflict("it was changed elsewhere", current=item_of(now))
        return now

    async def folder(self, entry: Entry) -> None:
        """Only an empty one. What came into it between the look and the deletion is brought back."""
        if await self.changing.places.children(entry.item_id):
            raise Conflict("the folder is not empty", current=item_of(entry), code="not_empty")
        await self._delete(entry, {})
        if await self.archive.swept(entry.item_id, entry.name):
            await self.archive.bring_back(entry.item_id, entry.name)
            now = await self.changing.places.need(entry.item_id)
            raise Conflict("the folder is not empty", current=item_of(now), code="not_empty")

    async def _delete(self, entry: Entry, condition: Mapping[str, str]) -> None:
        path = self.changing.places.path(self.changing.places.ledger.path(entry.item_id) or "")
        ask = Ask(method="DELETE", path=path, headers=condition, mutates=True, asked=entry.item_id, expect=STORED)
        with self.changing.places.ledger.looking() as looking:
            await self.changing.places.exchange.reply(ask)
            await self.changing.places.ledger.bury([entry.item_id], looking)
