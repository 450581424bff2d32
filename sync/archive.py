"""What a remote keeps beside the tree as it is: older contents, the trash, and a search over every name.

A person asks, one request at a time, and is told at once what went wrong: nothing here is tried again behind their
back, and the engine needs none of it. Whoever restores names the version that they saw, so a change that arrives
meanwhile is refused (Conflict) and never undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cache.model import Item, ItemId, Kind, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentVersion:
    """One content of a file, of those that can still be had."""

    content_version: Version
    size: int  # bytes
    mtime_ns: int
    replaced_ns: int | None  # when it was replaced; None: the current one


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """What was deleted, with everything below it that was deleted with it."""

    item_id: ItemId
    path: str  # below the root, where it was
    kind: Kind
    size: int  # bytes, of a file
    deleted_ns: int
    expires_ns: int  # when it can no longer be restored


class Archive(Protocol):
    """The requests. Raises RemoteError and nothing else."""

    async def versions(self, item_id: ItemId, limit: int) -> Sequence[ContentVersion]:
        """At most `limit` contents of a file, the current one first, then the newest first; Gone."""
        ...

    async def restore_version(self, item_id: ItemId, base: Version, wanted: Version, *, key: str) -> Item:
        """Make an older content the newest one, under `content_version == base`; Conflict, VersionGone."""
        ...

    async def trash(self, limit: int) -> Sequence[Trashed]:
        """At most `limit` deletions, the newest first."""
        ...

    async def restore(self, item_id: ItemId, *, key: str) -> Item:
        """Bring what was deleted back to where it was, under its id; Conflict (a taken name, no folder), Gone."""
        ...

    async def search(self, text: str, limit: int) -> Sequence[Item]:
        """At most `limit` items whose name holds `text`, letter case aside."""
        ...

    async def path(self, item_id: ItemId) -> str:
        """Where an item is, below the root; Gone."""
        ...
