"""What a PROPFIND or SEARCH tells of a file or folder, read and judged. Pure.

Law of versions, as measured: on local storage an ETag is made of the mtime in seconds, the inode and the size, so two
writes of one size within a second have the same. A content is therefore told apart by ETag, size, time of upload and
checksum together. Without a checksum it is *weak* until the server's clock is more than GRACE_S past the upload: its
token is then marked, and looking again later gives the unmarked one, so bytes read under a weak token are not kept.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from cache.model import Kind, Version
from sync.remote import ProtocolViolation

if TYPE_CHECKING:
    from sync.remotes.dav.multistatus import Told

DAV, OC, NC = "{DAV:}", "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"
PROPERTIES = (
    f"{DAV}resourcetype", f"{DAV}getetag", f"{DAV}getlastmodified", f"{DAV}getcontentlength",
    f"{OC}fileid", f"{OC}permissions", f"{OC}checksums", f"{NC}upload_time",
)  # fmt: skip
ROOT_PROPERTIES = (*PROPERTIES, f"{OC}data-fingerprint")
GRACE_S = 2
_SHA256 = re.compile(r"(?:^|\s)SHA256:([0-9a-f]{64})(?:\s|$)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_UNREAD = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One entry as one answer told it. Times in seconds since the epoch, by the server's clock."""

    file_id: str
    path: str  # below the root, without a slash at either end
    kind: Kind
    size: int
    mtime_s: int
    etag: str  # as it stands between its quotes; of a folder: changes with everything below
    upload_s: int | None  # None: not told, or written past the server's front door
    checksum: str  # as a writer claimed it, "" when none did
    permissions: str

    @property
    def digest(self) -> str | None:
        """`sha-256:<hex>`, where a writer claimed one."""
        return digest_in(self.checksum)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path of the folder that holds it."""
        return self.path.rpartition("/")[0]

    def settled(self, now_s: int) -> bool:
        """Whether any later write would be seen in the ETag too."""
        written_s = self.mtime_s if self.upload_s is None else self.upload_s
        return not written_s <= now_s <= written_s + GRACE_S

    def version(self, now_s: int) -> Version | None:
        """The token of the content; None of a folder. `now_s`: the server's clock when this was told."""
        if self.kind is not Kind.FILE:
            return None
        claimed = hashlib.sha256(self.checksum.encode()).hexdigest()[:16] if self.checksum else _UNREAD
        mark = "" if self.checksum or self.settled(now_s) else "weak."
        upload = _UNREAD if self.upload_s is None else self.upload_s
        return Version(f"{mark}{self.size}.{upload}.{claimed}.{self.etag}")


def digest_in(checksum: str) -> str | None:
    """`sha-256:<hex>` of checksums as a server tells them ("SHA1:… SHA256:…"), where there is one."""
    found = _SHA256.search(checksum)
    return None if found is None else f"sha-256:{found[1].lower()}"


def bare(tag: str | None) -> str:
    """An ETag as it stands between its quotes; "" when none was told."""
    return (tag or "").removeprefix("W/").strip('"')


def etag_of(version: Version) -> str:
    """The ETag in a content's token, for a condition."""
    return version.removeprefix("weak.").split(".", 3)[-1]


def is_weak(version: Version | None) -> bool:
    """Whether the content has to be looked at again."""
    return version is not None and version.startswith("weak.")


def seen(told: Told, base_path: str) -> Seen:
    """The entry of a response below `base_path` (decoded, no slash at its end); ProtocolViolation."""
    collection = told.properties.get(f"{DAV}resourcetype")
    is_folder = collection is not None and collection.has(f"{DAV}collection")
    etag = bare(told.text(f"{DAV}getetag"))
    file_id = told.text(f"{OC}fileid") or ""
    if not etag or not _NUMBER.fullmatch(file_id):
        raise ProtocolViolation("an entry without an ETag or a file id")
    return Seen(
        file_id=file_id,
        path=_below(told.href, base_path),
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        size=0 if is_folder else _number(told.text(f"{DAV}getcontentlength"), "a size"),
        mtime_s=_time(told.text(f"{DAV}getlastmodified")),
        etag=etag,
        upload_s=None if is_folder else _upload_time(told.text(f"{NC}upload_time")),
        checksum=_checksum(told),
        permissions=told.text(f"{OC}permissions") or "",
    )


def _below(href: str, base_path: str) -> str:
    try:
        path = unquote(urlsplit(href).path, errors="strict").rstrip("/")
    except ValueError:
        raise ProtocolViolation("a malformed address") from None
    if path != base_path and not path.startswith(f"{base_path}/"):
        raise ProtocolViolation("an answer tells of something outside of the drive")
    below = path[len(base_path) :].strip("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in below.split("/")) and below:
        raise ProtocolViolation("a path that no folder can hold")
    return below


def _checksum(told: Told) -> str:
    found = told.properties.get(f"{OC}checksums")
    return "" if found is None else " ".join(each.text for each in found.children)


def _upload_time(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) and int(text) > 0 else None


def _number(text: str | None, what: str) -> int:
    if text is None or not _NUMBER.fullmatch(text):
        raise ProtocolViolation(f"{what} that is no number")
    return int(text)


def _time(text: str | None) -> int:
    try:
        return int(parsedate_to_datetime(text or "").timestamp())
    except (ValueError, OverflowError):
        raise ProtocolViolation("a time that is none") from None
