"""Where each folder's changes were last read up to, for servers that report what changed since then.

A position is kept with the address that it was told for: what moved, or stands where another folder stood, begins anew.
It is taken before a folder is listed, never after, and kept only once a walk has settled all that it found missing: a
walk that broke off asks again from where the last whole one began. A report that leaves out folders stands in for a
listing only in between, and only where a listing is long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sync.remotes.dav.reporting import Reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cache.model import ItemId
    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.facts import Entry
    from sync.remotes.dav.looking import Names
    from sync.remotes.dav.mirror import Mirror
    from sync.remotes.dav.reporting import Report, Reporter

LONG_FROM = 500  # files in a folder; listing fewer takes no longer than a report
LISTED_FOR_S = 60.0  # so long a folder may be new unseen, where only files are reported


class Positions:
    """`reach` tells what the server's reports can be believed to tell."""

    def __init__(
        self, mirror: Mirror, exchange: DavExchange, reporter: Reporter, reach: Callable[[], Reach]
    ) -> None:  # fmt: skip
        self._mirror = mirror
        self._exchange = exchange
        self._reporter = reporter
        self._reach = reach
        self._new: dict[ItemId, str] = {}
        self._distrusted: set[ItemId] = set()
        self._listed_s: dict[ItemId, float] = {}

    @property
    def tells_all_below(self) -> bool:
        """Whether a report of the root is one of everything."""
        return self._reach() is Reach.TREE

    def begin(self) -> None:
        """A walk begins."""
        self._new.clear()
        self._distrusted.clear()

    async def report(self, folder: Entry, names: Names) -> Report | None:
        """What changed in a folder since it was last read; None: list it."""
        token = self._of(folder, names)
        if token is None or not self._stands_in(folder):
            return None
        return await self._reporter.since(names, token, tree=self.tells_all_below)

    async def before_listing(self, folder: Entry, names: Names) -> None:
        """Take the position that the listing will hold at least."""
        if self._wants_one(folder):
            token = await self._reporter.position(names, self._of(folder, names))
            self._listed_s[folder.item_id] = trio.current_time()
            if token is not None:
                self.read_to(folder, names, token)

    def read_to(self, folder: Entry, names: Names, token: str) -> None:
        """All that changed before is taken in."""
        self._new[folder.item_id] = f"{self._exchange.path_of(names, folder=True)} {token}"

    def forget(self, item_id: ItemId) -> None:
        """Something was left out: the folder is read from the old position again."""
        self._new.pop(item_id, None)

    def distrust(self, folders: Iterable[Entry]) -> None:
        """These may not be the ones that they were: this walk lists them."""
        self._distrusted.update(each.item_id for each in folders)

    def keep(self) -> None:
        """A walk is done."""
        with self._mirror.writing():
            for item_id, token in self._new.items():
                entry = self._mirror.get(item_id)
                if entry is not None and not entry.gone and entry.token != token:
                    self._mirror.note(entry, token=token)

    def _of(self, folder: Entry, names: Names) -> str | None:
        path, _, token = (folder.token or "").partition(" ")
        return token if token and path == self._exchange.path_of(names, folder=True) else None

    def _wants_one(self, folder: Entry) -> bool:
        match self._reach():
            case Reach.NONE:
                return False
            case Reach.FILES:
                at = LONG_FROM - 1
                return bool(self._mirror.entries("parent_id = ? AND gone = 0 LIMIT 1 OFFSET ?", folder.item_id, at))
            case Reach.FOLDER:
                return True
            case Reach.TREE:
                return folder.parent_id is None

    def _stands_in(self, folder: Entry) -> bool:
        if folder.item_id in self._distrusted or not self._wants_one(folder):
            return False
        if self._reach() is not Reach.FILES:
            return True
        listed_s = self._listed_s.get(folder.item_id)
        return listed_s is not None and trio.current_time() < listed_s + LISTED_FOR_S
