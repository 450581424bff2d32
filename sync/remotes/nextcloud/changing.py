"""What every change goes through: its key, and a look at what it is about.

* A file: its ETag is the condition. While the ETag is not settled it is looked at, and waited for, first.
* A folder: no condition holds there (If-Match is always answered 412), so it is looked at right before; and what a
  deletion swept away unseen is brought back from the trash.
* Any refusal is an answer about a moment that has passed (racing requests are told 403, 404, 412 or 423): what is there
  now decides. So a request sent again after a lost answer finds its own effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache.model import Item, ItemId, Kind, Version
from sync.remote import Busy, Conflict, Denied, Gone, Refused
from sync.remotes.nextcloud.rows import Entry, item_of, metadata_version
from sync.remotes.once import Once

if TYPE_CHECKING:
    from sync.remotes.nextcloud.names import NameRules
    from sync.remotes.nextcloud.places import Places

NS = 10**9
MTIME_MIN_S = 86_400  # the server takes no time of the first day of 1970, and none before
WAIT_S = 0.5  # between two looks at a file that is not settled: at most GRACE_S + 1 seconds in all
PATIENCE_S = 15.0
STORED = frozenset({200, 201, 204})
REFUSALS = (Busy, Conflict, Denied, Gone, Refused)
"""What a request is told of a moment that has passed."""


class Changing:
    """Shared by all changes of an account."""

    def __init__(self, places: Places, rules: NameRules) -> None:
        self.places, self.rules = places, rules
        self.once = Once(places.ledger, self._current)

    async def _current(self, item_id: ItemId) -> Item | None:
        entry = await self.places.current(item_id)
        return None if entry is None else item_of(entry)

    async def settled(self, item_id: ItemId, version: Version | None) -> Entry:
        """A file, once any later write would change its ETag, or once it has another content than `version`; Busy."""
        with trio.move_on_after(PATIENCE_S):
            while True:
                entry = await self.places.need(item_id)
                if entry.settled or entry.version != version:
                    return entry
                await trio.sleep(WAIT_S)
        raise Busy("the server's clock stands still")

    async def at_metadata(self, item_id: ItemId, base: Version) -> Entry:
        """The item, if it is as it was seen; a folder is looked at, since no condition protects it. Conflict, Gone."""
        entry = self.places.ledger.entry(item_id)
        if entry is None or entry.kind is Kind.FOLDER or metadata_version(entry) != base:
            entry = await self.places.need(item_id)
        if metadata_version(entry) != base:
            raise Conflict("it was changed elsewhere", current=item_of(entry))
        return entry

    async def new_path(self, parent_id: ItemId, name: str) -> str:
        self.rules.checked(name)
        parent = self.places.ledger.entry(parent_id) or await self.places.need(parent_id)
        if parent.kind is not Kind.FOLDER:
            raise Conflict("not a folder", current=item_of(parent), code="not_a_folder")
        return f"{self.places.ledger.path(parent_id)}/{name}".strip("/")

    async def need_folder(self, item_id: ItemId) -> None:
        """Gone, when it is not there any more; Conflict, when it is no folder; Busy, when it is elsewhere."""
        before = self.places.ledger.path(item_id)
        now = await self.places.need(item_id)
        if now.kind is not Kind.FOLDER:
            raise Conflict("not a folder", current=item_of(now), code="not_a_folder")
        if self.places.ledger.path(item_id) != before:
            raise Busy("the folder was moved meanwhile")

    def known(self, entry: Entry) -> Entry:
        return self.places.ledger.entry(entry.item_id) or entry
