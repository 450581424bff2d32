"""An entry as the ledger keeps it, and as the seam tells it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Item, ItemId, Kind, Version
from sync.remotes.nextcloud.entries import digest_in, is_weak
from sync.remotes.nextcloud.rights import capabilities_of

if TYPE_CHECKING:
    import sqlite3

    from sync.remotes.nextcloud.entries import Seen

_NS = 10**9
FILE_MODE, FOLDER_MODE = 0o644, 0o755  # of what was made elsewhere
COLUMNS = (
    "item_id", "parent_id", "name", "kind", "size", "mtime_s", "etag", "upload_s", "checksum", "permissions", "version",
    "settled", "mode", "mtime_ns", "kept_at_s", "listed_etag",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row."""

    item_id: ItemId
    parent_id: ItemId | None
    name: str
    kind: Kind
    size: int
    mtime_s: int
    etag: str
    upload_s: int | None
    checksum: str
    permissions: str
    version: Version | None
    settled: bool
    mode: int | None
    mtime_ns: int | None
    kept_at_s: int | None
    listed_etag: str | None
    digest: str | None


def entry_of(row: sqlite3.Row) -> Entry:
    """A row, read."""
    facts = {name: row[name] for name in COLUMNS}
    facts["kind"], facts["settled"] = Kind(row["kind"]), bool(row["settled"])
    return Entry(**facts, digest=digest_in(row["checksum"]))


def values_of(entry: Entry) -> tuple[object, ...]:
    """In the order of COLUMNS."""
    return tuple(getattr(entry, name) for name in COLUMNS)


def told_anew(known: Entry | None, seen: Seen, parent: ItemId | None, now_s: int) -> tuple[Entry, bool]:
    """The entry as it is from now on, and whether that is news to anybody.

    A token stays as it is as long as the content is the same: also where the tags changed by our own doing. The time of
    a folder is not news, since every change below it moves it.
    """
    version = seen.version(now_s)
    if known is not None and _same_content(known, seen) and not is_weak(known.version):
        version = known.version
    fresh = Entry(
        item_id=ItemId(seen.file_id), parent_id=parent, name=seen.name, kind=seen.kind, size=seen.size,
        mtime_s=seen.mtime_s,
        etag=seen.etag, upload_s=seen.upload_s, checksum=seen.checksum, permissions=seen.permissions, version=version,
        settled=seen.kind is Kind.FOLDER or seen.settled(now_s),
        mode=None if known is None else known.mode,
        mtime_ns=None if known is None else known.mtime_ns,
        kept_at_s=None if known is None else known.kept_at_s,
        listed_etag=None if known is None else known.listed_etag,
        digest=digest_in(seen.checksum),
    )  # fmt: skip
    return fresh, known is None or _public(known) != _public(fresh)


def _same_content(known: Entry, seen: Seen) -> bool:
    same_upload = (known.size, known.upload_s, known.checksum) == (seen.size, seen.upload_s, seen.checksum)
    return same_upload and known.etag == seen.etag


def _public(entry: Entry) -> tuple[object, ...]:
    moving = None if entry.kind is Kind.FOLDER else (entry.mtime_s, entry.size, entry.checksum)
    return (entry.parent_id, entry.name, entry.kind, entry.permissions, entry.version, moving)


def metadata_version(entry: Entry) -> Version:
    """The server has none: everything that a condition on it is to protect, in one token."""
    facts = (*_public(entry), entry.mode, _mtime_ns(entry) if entry.kind is Kind.FILE else entry.mtime_ns)
    return Version("m" + hashlib.sha256(repr(facts).encode()).hexdigest()[:24])


def item_of(entry: Entry) -> Item:
    """As the seam tells it."""
    is_folder = entry.kind is Kind.FOLDER
    mode = entry.mode if entry.mode is not None else FOLDER_MODE if is_folder else FILE_MODE
    return Item(
        item_id=entry.item_id,
        parent_id=entry.parent_id,
        name=entry.name if entry.parent_id is not None else "",
        kind=entry.kind,
        size=entry.size,
        mode=mode,
        mtime_ns=_mtime_ns(entry),
        ctime_ns=_NS * (entry.upload_s or entry.mtime_s),
        content_version=entry.version,
        metadata_version=metadata_version(entry),
        digest=entry.digest,
        capabilities=capabilities_of(entry.permissions, is_folder=is_folder),
        xattrs=None,
    )


def _mtime_ns(entry: Entry) -> int:
    """As it was set here, while the server tells the same time as then."""
    if entry.mtime_ns is not None and entry.kept_at_s == entry.mtime_s:
        return entry.mtime_ns
    return entry.mtime_s * _NS
