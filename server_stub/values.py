"""The values that every room of the server speaks: frozen, without I/O.

Times are integer nanoseconds since the epoch, sizes are bytes, ranges are half-open. An item row holds what
the protocol tells plus *evidence*: what the file system said when the row was last brought in line with the
tree.
"""

from __future__ import annotations

import secrets
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from server_stub.instants import clamped

if TYPE_CHECKING:
    import os


class Kind(StrEnum):
    """What an item is."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"


class Capability(StrEnum):
    """What a token may do with an item."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    RENAME = "rename"
    ADD_CHILDREN = "add_children"


class Reason(StrEnum):
    """Why an item is gone for whoever asks."""

    DELETED = "deleted"
    MOVED_OUT = "moved_out"
    NOT_VISIBLE = "not_visible"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What lstat said of an item's place in the tree; never identity, only a reason to look closer."""

    ino: int
    mtime_ns: int
    ctime_ns: int
    size: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Evidence:
        """Take the evidence from a stat answer."""
        return cls(ino=stat.st_ino, mtime_ns=clamped(stat.st_mtime_ns), ctime_ns=stat.st_ctime_ns, size=stat.st_size)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What tells an item's file from another that got its inode number, and what is known of its entries."""

    birth_ns: int = 0  # 0: the file system does not tell
    marked: bool = False  # the file carries the item_id
    listed: bool = False  # of a folder: the evidence is of the moment at which its names were compared


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One live item, whole."""

    item_id: str
    parent_id: str | None  # None: the root
    name: str
    kind: Kind
    size: int
    mode: int
    created_ns: int
    modified_ns: int
    metadata_version: str
    content_version: str | None = None  # None: folders
    digest: str | None = None  # 64 hex digits; None: not computed yet, or not a file
    symlink_target: str | None = None
    seq: int = 0  # of its newest change
    evidence: Evidence | None = None
    trace: Trace = Trace()
    xattrs: dict[str, bytes] = {}  # user extended attributes, as xattrs.py says

    @property
    def is_folder(self) -> bool:
        """True for folders."""
        return self.kind is Kind.FOLDER


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of a deletion; `item` is what the trash restores."""

    item: Item
    deleted_ns: int
    reason: Reason = Reason.DELETED
    seq: int = 0
    lineage: tuple[str, ...] = ()  # ids from the root down to the item, when it was deleted


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """One move from folder to folder, as it was: what a feed with a scope tells by, wherever things lie by now."""

    seq: int
    item_id: str
    kind: Kind
    parent_id: str  # the folder that was left
    lineage: tuple[str, ...]  # ids from the root down to the item, before
    target_lineage: tuple[str, ...]  # and after
    left_ns: int


class Trashed(msgspec.Struct, frozen=True, kw_only=True):
    """What can be restored: the item as it was, and the item that it was deleted together with (itself, or a
    folder above it).
    """

    item: Item
    top_id: str
    deleted_ns: int
    seq: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An older content that is still readable by its version."""

    content_version: str
    item_id: str
    size: int
    digest: str | None
    modified_ns: int
    kept_ns: int


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: one token, what it sees and what it may do."""

    token_id: str
    name: str
    root_id: str  # the item that this token sees as its root
    whole_drive: bool  # True: root_id is the drive's own root, nothing needs hiding
    read_only: bool = False


def new_id(now_ns: int | None = None) -> str:
    """A UUIDv7 (RFC 9562): sorted by creation in the index, never reused."""
    millis = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    value = (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_version() -> str:
    """A version token: random, so that no two states can share it, whatever their times and sizes."""
    return secrets.token_hex(12)
