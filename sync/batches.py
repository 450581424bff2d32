"""What a remote may answer many at a time: contents in one stream, and everything below a folder. A part of `Remote`.

A remote says by `capabilities.features` what of it can be asked for; without it the single requests do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from cache.model import Anchor, Item, ItemId, Version
    from sync.remote import RemoteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One whole content of a batch; an answer of another size is not believed."""

    item_id: ItemId
    version: Version
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Descendants:
    """A page of what lies below a folder, breadth first; changes made meanwhile are in the feed after `anchor`.

    An item that moves meanwhile may be told twice, or not at all.
    """

    items: Sequence[Item]
    anchor: Anchor
    cursor: str | None  # None: everything was told
    unchanged: bool = False  # nothing changed since `anchor`: everything told stood like that at one moment


class Batches(Protocol):
    """The requests; each needs its feature. Raises RemoteError and nothing else."""

    def read_many(self, wanted: Sequence[Wanted]) -> AbstractAsyncContextManager[AsyncIterator[bytes | RemoteError]]:
        """Whole contents in the asked order, an error in the place of each that is not to be had.

        The iterator raises RemoteError when the rest will not come.
        """
        ...

    async def descendants(self, folder: ItemId, limit: int, cursor: str | None = None) -> Descendants:
        """At most `limit` items below a folder, from where `cursor` stands; Gone."""
        ...
