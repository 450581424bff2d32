"""Which listings the kernel keeps, and when it may use them.

The kernel fills a folder's pages with the names that a reader is told, and answers later readers from them, without a
request (FUSE protocol, FOPEN_CACHE_DIR). What it does by itself after a change made through the mount, it must be told
after any other. Every opendir comes to us, and its answer says whether the pages are right: no open sees an old one.

One reader at a time has the kernel's listing, any other beside it is answered by us: the kernel finds where a reader is
in pages that were filled anew by the very entry it was at, and would end if that is gone. Owned by the trio thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from cachetools import LRUCache

from cache.model import EntryChanged, Ino, News, NodeChanged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

LISTINGS_KEPT = 50_000  # folders, about 15 MB; of one that is not known any more the kernel drops its pages when opened


class Filled(Enum):
    """How much of a listing the kernel has."""

    NOTHING = auto()  # or what it will find to be of no use, and begin anew
    PART = auto()
    ALL = auto()


@dataclass(slots=True, eq=False)
class _Listing:
    """What the kernel was told of one folder."""

    above: Ino  # told as ".."
    filled: Filled = Filled.NOTHING
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Keeping:
    """How the kernel may treat an opened folder's pages: fill and use them, and keep what is there."""

    fill: bool
    keep: bool


class Listings:
    """Of one mount. `drop`: have the kernel drop a folder's pages, and return when it has. `tell`: news, soon."""

    def __init__(self, tell: Callable[[list[NodeChanged]], None], kept: int = LISTINGS_KEPT) -> None:
        self._tell = tell
        self.drop: Callable[[Ino], Awaitable[None]] | None = None
        self._listings: LRUCache[Ino, _Listing] = LRUCache(kept)
        self._readers: dict[int, Ino] = {}  # handles that have the kernel's listing of a folder
        self._read: set[Ino] = set()  # their folders

    def opened(self, folder: Ino, above: Ino, fh: int) -> Keeping:
        """A folder was opened; what is said here is what the kernel will do."""
        if folder in self._read:
            return Keeping(fill=False, keep=True)
        listing = self._listings.get(folder)
        if listing is None:  # nothing is known of its pages
            listing = self._listings[folder] = _Listing(above, Filled.ALL, outdated=True)
        elif listing.above != above:
            listing.outdated = True
        self._readers[fh] = folder
        self._read.add(folder)
        # Pages without an end are left to be filled to it, and dropped then: after a drop without an end the kernel
        # would neither go on with them nor begin anew.
        keep = not listing.outdated or listing.filled is Filled.PART
        if not keep:
            listing.filled, listing.above = Filled.NOTHING, above
        return Keeping(fill=True, keep=keep)

    def not_kept(self, fh: int) -> None:
        """The kernel could not be answered what `opened` said: it has dropped the folder's pages and fills none."""
        folder = self._readers.get(fh)
        self.closed(fh)
        listing = None if folder is None else self._listings.get(folder)
        if listing is not None and listing.filled is Filled.ALL:
            listing.filled = Filled.NOTHING

    def begun(self, fh: int, above: Ino) -> None:
        """A reader asks for the first entries: the kernel has no whole listing, and fills pages from here on."""
        listing = self._of(fh)
        if listing is not None and listing.filled is not Filled.PART:
            listing.filled, listing.outdated, listing.above = Filled.PART, False, above

    async def ended(self, fh: int) -> None:
        """A reader asks for more, and there is none: with that answer the kernel has a whole listing."""
        listing = self._of(fh)
        if listing is None or listing.filled is not Filled.PART:
            return
        listing.filled = Filled.ALL
        if listing.outdated and self.drop is not None:
            await self.drop(self._readers[fh])
            listing.filled = Filled.NOTHING

    def closed(self, fh: int) -> None:
        """The handle's last request is answered."""
        folder = self._readers.pop(fh, None)
        if folder is not None:
            self._read.discard(folder)

    def forget(self, folder: Ino) -> None:
        """The kernel dropped the folder, and its pages."""
        self._listings.pop(folder, None)

    def noticed(self, news: Iterable[News]) -> None:
        """Names came and went that the kernel knows nothing of."""
        for each in news if self._listings else ():
            if isinstance(each, EntryChanged) and each.parent in self._listings:
                self._changed(each.parent)

    def _changed(self, folder: Ino) -> None:
        listing = self._listings[folder]
        if not listing.outdated:
            listing.outdated = True
            if folder in self._read and listing.filled is Filled.ALL:  # it may be rewound
                self._tell([NodeChanged(folder, content=True)])

    def _of(self, fh: int) -> _Listing | None:
        folder = self._readers.get(fh)
        return None if folder is None else self._listings.get(folder)
