"""What a server tells of one address, and the same as the adapter keeps it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from cache.model import ALL_CAPABILITIES, Capability, Item, ItemId, Kind, Version
from sync.remote import ProtocolViolation
from sync.remotes.dav.multistatus import Told, dav

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE_MODE, FOLDER_MODE = 0o644, 0o755
NS = 1_000_000_000
PLAIN_PROPERTIES = ("resourcetype", "getcontentlength", "getlastmodified", "creationdate", "getetag", "sync-token")
SIZE_MAX = (1 << 63) - 1
XML = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One address, as told."""

    kind: Kind
    size: int = 0  # bytes
    mtime_ns: int = 0
    ctime_ns: int = 0
    tag: str | None = None  # ETag, weak mark included
    digest: str | None = None
    native_id: str | None = None
    token: str | None = None  # of a folder's own changes
    permitted: frozenset[Capability] = ALL_CAPABILITIES
    settles_s: float | None = None  # the server's time after which `tag` proves the content; None: it does


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the stored tree; see schema.sql."""

    item_id: ItemId
    parent_id: ItemId | None
    name: str
    kind: Kind
    size: int
    mode: int
    mtime_ns: int
    server_mtime_ns: int
    ctime_ns: int
    tag: str | None
    content: int
    digest: str | None
    settles_s: float | None
    handed_out: bool
    permitted: str
    native_id: str | None
    listed: bool
    token: str | None
    seq: int
    gone: bool

    @property
    def metadata_version(self) -> Version:
        """Changes with everything that is told of it."""
        return Version(f"m{self.seq}")

    @property
    def content_version(self) -> Version | None:
        """Changes whenever the bytes may have."""
        return None if self.kind is Kind.FOLDER else Version(f"c{self.content}")

    @property
    def item(self) -> Item:
        """As the seam tells it."""
        return Item(
            item_id=self.item_id,
            parent_id=self.parent_id,
            name=self.name,
            kind=self.kind,
            size=self.size,
            mode=self.mode,
            mtime_ns=self.mtime_ns,
            ctime_ns=self.ctime_ns,
            content_version=self.content_version,
            metadata_version=self.metadata_version,
            digest=self.digest,
            capabilities=frozenset(map(Capability, self.permitted.split())),
            xattrs=None,
        )


def words(permitted: Iterable[Capability]) -> str:
    """Capabilities as a row keeps them."""
    return " ".join(sorted(permitted))


def opaque(tag: str | None) -> str | None:
    """A tag without its weak mark (RFC 9110, section 8.8.3)."""
    return None if tag is None else tag.removeprefix("W/")


def is_weak(tag: str | None) -> bool:
    """Whether no condition may be made of it."""
    return tag is None or tag.startswith("W/")


def same_content(entry: Entry, told: Facts) -> bool:
    """Whether nothing speaks for other bytes than before; how far that can be believed is `settles_s`."""
    if entry.kind is not Kind.FILE or entry.size != told.size:
        return entry.kind is not Kind.FILE
    if entry.tag is None or told.tag is None:
        return entry.server_mtime_ns == told.mtime_ns
    return opaque(entry.tag) == opaque(told.tag)


def propfind_body(properties: Iterable[str] = PLAIN_PROPERTIES) -> bytes:
    """A request for these properties of the DAV: namespace (RFC 4918, section 9.1)."""
    asked = "".join(f"<d:{each}/>" for each in properties)
    return f'{XML}<d:propfind xmlns:d="DAV:"><d:prop>{asked}</d:prop></d:propfind>'.encode()


def plain_facts(told: Told) -> Facts | None:
    """What the properties of RFC 4918 say; None: a name that is locked, and nothing more. ProtocolViolation for what
    cannot be a file or folder."""
    kind_told = told.properties.get(dav("resourcetype"))
    folder = kind_told is not None and kind_told.has(dav("collection"))
    if not (folder or told.text(dav("getcontentlength")) or told.text(dav("getetag"))):
        return None
    return Facts(
        kind=Kind.FOLDER if folder else Kind.FILE,
        size=0 if folder else _size(told.text(dav("getcontentlength"))),
        mtime_ns=_http_ns(told.text(dav("getlastmodified"))),
        ctime_ns=_iso_ns(told.text(dav("creationdate"))),
        tag=tag_of(told.text(dav("getetag"))),
        token=told.text(dav("sync-token")) or None,
    )


def tag_of(text: str | None) -> str | None:
    """An ETag as it stands in a header: some servers tell it without its quotes."""
    if not text:
        return None
    if text.endswith('"') and (text.startswith(('"', 'W/"'))):
        return text
    return f'"{text}"'


def _size(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit()) or int(text[:20]) > SIZE_MAX:
        raise ProtocolViolation("a file without a size")
    return int(text)


def _http_ns(text: str | None) -> int:
    try:
        return 0 if not text else int(parsedate_to_datetime(text).timestamp()) * NS
    except (ValueError, OverflowError):
        return 0  # a strange time of one file must not make a whole folder unusable


def _iso_ns(text: str | None) -> int:
    try:
        return 0 if not text else int(datetime.fromisoformat(text).timestamp()) * NS
    except (ValueError, OverflowError):
        return 0
