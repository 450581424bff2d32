"""One server as its adapter knows it: the parts that everything here shares, and the checks that all begin with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cache.model import NAME_MAX_BYTES, Kind
from sync.remote import Conflict, Gone, NameRefused, Refused
from sync.remotes.asking import Ask
from sync.remotes.dav.facts import is_weak
from sync.remotes.dav.habits import DONE, Habits
from sync.remotes.dav.looking import is_reserved
from sync.remotes.sending import checked_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Mapping

    from cache.model import ItemId, Version
    from sync.remotes.channel import Reply
    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.facts import Entry, Facts
    from sync.remotes.dav.locking import Locks
    from sync.remotes.dav.looking import Looker, Names
    from sync.remotes.dav.mirror import Mirror
    from sync.remotes.dav.touched import Touched
    from sync.remotes.dav.walking import Walker
    from sync.remotes.once import Once

ABSENT = frozenset({404})


@dataclass(slots=True)
class Server:
    """`habits` are found out at the first contact; `unsafe`: write even where no condition is honoured."""

    exchange: DavExchange
    mirror: Mirror
    looker: Looker
    touched: Touched
    walker: Walker
    once: Once
    locks: Locks
    unsafe: bool = False
    habits: Habits = Habits()  # noqa: RUF009 - frozen

    def known(self, item_id: ItemId) -> Entry:
        """A row that is there; Gone."""
        entry = self.mirror.get(item_id)
        if entry is None or entry.gone:
            raise Gone("no such item", tombstone=entry is not None)
        return entry

    def folder(self, item_id: ItemId) -> Entry:
        """The same for what things are put into; Conflict `not_a_folder`."""
        entry = self.known(item_id)
        if entry.kind is not Kind.FOLDER:
            raise Conflict("no folder", current=entry.item, code="not_a_folder")
        return entry

    def names(self, entry: Entry) -> Names:
        """Its address; Gone."""
        names = self.mirror.names(entry.item_id)
        if names is None:
            raise Gone("its folder is gone")
        return names

    def place(self, parent_id: ItemId, name: str) -> Names:
        """The address of a name in a folder; Gone, Conflict, NameRefused."""
        fits = len(checked_name(name).encode()) <= NAME_MAX_BYTES and not is_reserved(name)
        if not fits or any(each in self.habits.refused for each in name):
            raise NameRefused("a name that the remote cannot hold")
        return (*self.names(self.folder(parent_id)), name)

    def at_base(self, entry: Entry, base: Version) -> None:
        """Conflict unless it is as it was seen."""
        if entry.metadata_version != base:
            raise Conflict("it changed", current=entry.item, code="precondition_failed")

    def saw(self, parent_id: ItemId, name: str, told: Facts) -> Entry:
        """Take in what stands at a place."""
        entry = self.mirror.child(parent_id, name)
        if entry is not None and entry.kind is not told.kind:
            self.mirror.bury(entry)
            entry = None
        return self.mirror.add(parent_id, name, told) if entry is None else self.mirror.refresh(entry, told)

    async def seen(self, entry: Entry) -> Entry | None:
        """Look at a known thing; None: it is not where it was."""
        told = await self.looker.look(self.names(entry), folder=entry.kind is Kind.FOLDER)
        now = self.known(entry.item_id)
        return None if told is None or told.kind is not entry.kind else self.mirror.refresh(now, told)

    async def change(
        self,
        method: str,
        names: Names,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        folder: bool = False,
        also: frozenset[int] = frozenset(),
        patience_s: float | None = None,
    ) -> Reply:
        """One request that changes something; `also`: statuses beside success that are no error here."""
        ask = Ask(
            method=method,
            path=self.exchange.path_of(names, folder=folder),
            headers=headers or {},
            content=content,
            mutates=True,
            expect=DONE | also,
        )
        if patience_s is not None:
            ask = replace(ask, read_s=patience_s, answer_s=float("inf"))
        return await self.exchange.reply(ask)

    async def remove_file(self, names: Names, tag: str | None, same: Callable[[], Awaitable[bool]]) -> None:
        """Remove a file that was seen with this tag, under the strongest condition that is honoured; where that is a
        lock, `same` looks under it whether it is still what was seen. Conflict, Refused."""
        if self.habits.if_match and not is_weak(tag):
            await self.change("DELETE", names, headers={"if-match": tag or ""}, also=ABSENT)
        elif self.habits.locks:
            async with self.locks.held(names, size=0) as lock:
                if await same():
                    headers = lock.headers(self.exchange.url_of(names))
                    await self.change("DELETE", names, headers=headers, also=ABSENT)
        elif self.unsafe:
            await self.change("DELETE", names, also=ABSENT)
        else:
            raise Refused("this server honours no condition: it is read-only", code="read_only")

    def to(self, names: Names, *, over: bool = False, folder: bool = False) -> dict[str, str]:
        """The headers of a move."""
        destination = self.exchange.url_of(names, folder=folder)
        return {"destination": destination, "overwrite": "T" if over else "F"}
