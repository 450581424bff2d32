"""The seam between the sync engine and any remote: values, errors, and the `Remote` protocol.

    RemoteError                    every failure of a remote; `retry_after_s` where the remote said so
     ├─ Transient                  certainly not applied; the same request may be sent again
     │   ├─ Unreachable            no connection, refused, timed out before anything was sent, 5xx that promises nothing
     │   └─ Busy                   429, 503, 423, 409 while the first request with this key still runs
     ├─ Unknown                    the answer was lost after the request was sent: ask what happened first
     └─ Permanent                  the same request will fail again
         ├─ Conflict               412/409: the base is stale or the name is taken; `current`: what is there, if told
         ├─ Gone                   404/410: no such item for us; `tombstone`: the remote says it was deleted
         ├─ UploadGone             the session of an upload expired or was ended: begin another
         ├─ VersionGone            the asked content_version is no longer to be had; `current`: the item as it is
         ├─ Denied                 403: this account may not
         ├─ NotSignedIn            401: the credential is missing, wrong or expired
         ├─ NameRefused            the remote cannot hold this name
         ├─ QuotaFull              507: no space on the remote
         ├─ AnchorExpired          the anchor is not served any more; `fresh`: where a resync begins
         ├─ BadDigest              the bytes that arrived were not the bytes announced
         ├─ ProtocolViolation      an answer that the protocol does not allow (hostile or broken server)
         └─ Refused                any other 4xx; `code`: the remote's machine code

Retry keys on the type, never on text. Implementations live in `sync.remotes`; decorators (`retrying`, `limited`) are
Remotes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sync.batches import Batches
from sync.sessions import Sessions, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from cache.model import Anchor, Item, ItemId, Version, XattrChanges
    from sync.capabilities import Capabilities


class RemoteError(Exception):
    """Root of every failure of a remote; `in_doubt`: an earlier attempt of the same request may have been applied."""

    in_doubt = False

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message or type(self).__name__)
        self.retry_after_s = retry_after_s


class Transient(RemoteError):
    """Certainly not applied; may be sent again as it is."""


class Unreachable(Transient):
    """No connection to the remote, or it answers nothing useful."""


class Busy(Transient):
    """The remote asks us to come back later."""


class Unknown(RemoteError):
    """The request may or may not have been applied."""


class Permanent(RemoteError):
    """Will fail again when sent again unchanged."""


class Conflict(Permanent):
    """A precondition failed; `current` is what stands there now, when told; `code`: the remote's machine code.

    Codes: precondition_failed, name_taken, not_empty, would_cycle, not_a_folder, is_a_folder, upload_committed; ""
    when none was told.
    """

    def __init__(self, message: str = "", *, current: Item | None = None, code: str = "") -> None:
        super().__init__(message)
        self.current = current
        self.code = code


class Gone(Permanent):
    """No such item; `tombstone` is true only when the remote proves the deletion."""

    def __init__(self, message: str = "", *, tombstone: bool = False) -> None:
        super().__init__(message)
        self.tombstone = tombstone


class UploadGone(Permanent):
    """The session of an upload expired, was ended, or was never there."""


class VersionGone(Permanent):
    """The asked content version can no longer be had; `current` is the item as it is now, when told."""

    def __init__(self, message: str = "", *, current: Item | None = None) -> None:
        super().__init__(message)
        self.current = current


class Denied(Permanent):
    """This account may not do that."""


class NotSignedIn(Permanent):
    """The credential is missing, wrong or expired."""


class NameRefused(Permanent):
    """The remote cannot hold this name."""


class QuotaFull(Permanent):
    """No space left on the remote."""


class AnchorExpired(Permanent):
    """The feed no longer reaches back to this anchor; a resync starts from `fresh`. `lost`: the anchor stands for
    changes that the remote told and does not have any more (restored from a backup)."""

    def __init__(self, message: str = "", *, fresh: Anchor | None = None, lost: bool = False) -> None:
        super().__init__(message)
        self.fresh = fresh
        self.lost = lost


class BadDigest(Permanent):
    """The bytes that arrived were not the bytes announced."""


class ProtocolViolation(Permanent):
    """An answer that the protocol does not allow."""


class Refused(Permanent):
    """Any other refusal; `code` is the remote's machine code."""

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """Proof that an item is gone for us: deleted, moved out of the scope, or no longer visible."""

    item_id: ItemId
    parent_id: ItemId | None
    reason: str = "deleted"  # deleted | moved_out | not_visible


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage:
    """Current states in feed order, never a log; `anchor` may be stored once every change here is applied."""

    changes: Sequence[Item | Tombstone]
    anchor: Anchor
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All children of a folder; changes made while it was fetched are in the feed after `anchor`."""

    items: Sequence[Item]
    anchor: Anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The remote's room in bytes, as statfs tells it."""

    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """Content for a name that must not exist yet."""

    parent_id: ItemId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrite:
    """Content for an item that must still be at `base`."""

    item_id: ItemId
    base: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The item that a move takes the place of, and the content_version it must still have."""

    item_id: ItemId
    content_version: Version | None  # None: an (empty) folder


class Reader(Protocol):
    """An open download. `start`, `stop` and `total` come from the answer, never from the request."""

    start: int
    stop: int
    total: int

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Bytes from `start`; raises Unreachable when cut short of `stop`."""
        ...


class Source(Stream, Protocol):
    """A content to upload (a retry or a resume starts where the remote stands)."""

    @property
    def digest(self) -> str:
        """`sha-256:<hex>` of all bytes."""
        ...


class Remote(Batches, Sessions, Protocol):
    """A cloud drive. Every method raises RemoteError and nothing else (cancellation aside)."""

    @property
    def capabilities(self) -> Capabilities:
        """What it is able to keep and to promise; final once `root` was told."""
        ...

    async def root(self) -> Item:
        """Sign in and tell the root."""
        ...

    async def newest_anchor(self) -> Anchor:
        """Where the feed stands now (`changes` with `limit=0`)."""
        ...

    async def changes(self, anchor: Anchor) -> ChangePage:
        """What changed since; AnchorExpired."""
        ...

    def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """Yields whenever something may have changed; never data. Ends or raises when the channel is lost."""
        ...

    async def children(self, folder: ItemId) -> Listing:
        """All children of a folder; Gone."""
        ...

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """Current state of each; None: unknown to the remote, or not visible to us."""
        ...

    def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AbstractAsyncContextManager[Reader]:
        """Open bytes [start, stop) of exactly this version; Conflict or VersionGone when it is not to be had."""
        ...

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """Store content atomically; Conflict with the item that stands there."""
        ...

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Create a folder; Conflict with what holds the name."""
        ...

    async def make_symlink(self, parent_id: ItemId, name: str, *, target: str, mtime_ns: int, key: str) -> Item:
        """Create a symlink; Conflict with what holds the name."""
        ...

    async def move(
        self, item_id: ItemId, base: Version, parent_id: ItemId, name: str, *, replace: Replaced | None, key: str
    ) -> Item:
        """Move and rename in one transaction, under `metadata_version == base`."""
        ...

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Change mode and times under `metadata_version == base`."""
        ...

    async def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges, *, key: str) -> Item:
        """Change these extended attributes and no others under `metadata_version == base`."""
        ...

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """Move to the trash, under `metadata_version == base`; a folder must be empty (Conflict)."""
        ...

    async def space(self) -> Space:
        """Room on the remote."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...
