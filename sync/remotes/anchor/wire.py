"""What the protocol's JSON may look like, and its translation into values. Pure.

Everything decoded here was written by someone else: types are strict, sizes, ids and versions are bounded,
and what does not fit is a ProtocolViolation. Names are kept exactly as sent (also `/` and NUL: making them
safe for a kernel is the business of whoever shows them), but must be text: lone surrogates are refused by
the decoder.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

import msgspec

from cache.model import LOCAL_KINDS, NAME_MAX_BYTES, Anchor, Capability, Item, ItemId, Kind, Xattrs
from sync.remote import ProtocolViolation, Tombstone
from sync.remotes.anchor.times import ns_of_text

# Tokens travel in paths, queries and ETags: visible ASCII without the double quote. In items, of which there are many,
# the characters are looked at together by `_check`: a pattern for each costs four times what all the decoding does.
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=r"\A[!#-~]+\Z")]
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Mode = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
_Reason = Literal["deleted", "moved_out", "not_visible"]
_DOTS = frozenset({".", ".."})  # would be resolved away as path segments
_XATTR_NAME = re.compile(r"user\.(?!anchorfs\.)[^\0]+")  # those below user.anchorfs. tell the client's own facts
XATTR_VALUE_MAX_BYTES = 65_536  # XATTR_SIZE_MAX of linux/limits.h
_DIGEST = re.compile(r"sha-256:[0-9a-f]{64}")


class WireItem(msgspec.Struct, frozen=True, gc=False):
    """A whole item."""

    item_id: _Word
    parent_id: _Word | None
    name: str
    kind: Kind
    is_folder: bool
    size: Size
    created_at: str
    modified_at: str
    content_version: _Word | None
    metadata_version: _Word
    digest: str | None
    mode: _Mode
    symlink_target: str | None
    capabilities: list[str]
    deleted: Literal[False] = False
    xattrs: dict[str, bytes] | None = None  # None: the server keeps none


class WireTombstone(msgspec.Struct, frozen=True):
    """An item that is gone for us."""

    item_id: Token
    parent_id: Token | None
    deleted: Literal[True]
    reason: _Reason = "deleted"


class Changed(msgspec.Struct, frozen=True, gc=False, tag="changed"):
    """One row of the feed: the item as it is now."""

    item: WireItem


class Deleted(msgspec.Struct, frozen=True, gc=False, tag="deleted"):
    """One row of the feed: the item is gone."""

    item_id: Token
    parent_id: Token | None
    reason: _Reason = "deleted"


class WireChanges(msgspec.Struct, frozen=True):
    """A page of the feed."""

    changes: list[Changed | Deleted]
    anchor: Token
    has_more: bool


class WireChildren(msgspec.Struct, frozen=True):
    """A page of a folder."""

    items: list[WireItem]
    anchor: Token
    cursor: Cursor | None


class WireResult(msgspec.Struct, frozen=True):
    """One id of a batch; `item` is decoded by `status`."""

    item_id: Token
    status: Literal[200, 404, 410]
    item: msgspec.Raw = msgspec.Raw(b"null")


class WireResults(msgspec.Struct, frozen=True):
    """The answer to a batch of ids."""

    results: list[WireResult]


class WireLine(msgspec.Struct, frozen=True):
    """One line of a stream of descendants: an item, or, as the last, where it stands."""

    item: WireItem | None = None
    anchor: Token | None = None
    cursor: Cursor | None = None
    unchanged: bool = False


class WireFrame(msgspec.Struct, frozen=True):
    """The header of one content of a batch, of a refusal in its place, or of the end."""

    item_id: str = ""
    status: int = 0
    content_version: str = ""
    start: Size = 0
    stop: Size = 0
    total: Size = 0
    end: bool = False


class WireSpace(msgspec.Struct, frozen=True):
    """Room in bytes."""

    total: Size
    free: Size


class WireProblem(msgspec.Struct, frozen=True):
    """An RFC 9457 problem; the facts stay raw, because each matters for some codes only."""

    code: str = ""
    detail: str = ""
    current: msgspec.Raw = msgspec.Raw(b"null")
    item: msgspec.Raw = msgspec.Raw(b"null")
    anchor: msgspec.Raw = msgspec.Raw(b"null")
    lost: msgspec.Raw = msgspec.Raw(b"null")


_T = TypeVar("_T")


def decode(kind: type[_T], body: bytes | msgspec.Raw) -> _T:
    """`body` as `kind`; ProtocolViolation for anything else, however deep or malformed."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolViolation(f"the answer is no {kind.__name__}: {error}") from None


def anchor_of(body: msgspec.Raw) -> Anchor:
    """An anchor that came as a raw fact."""
    try:
        return Anchor(msgspec.json.decode(body, type=Token))
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ProtocolViolation("the answer holds no anchor") from None


def item_of(wire: WireItem) -> Item:
    """The value, after the checks that span more than one field."""
    _check(wire)
    try:
        mtime_ns, ctime_ns = ns_of_text(wire.modified_at), ns_of_text(wire.created_at)
    except ValueError as error:
        raise ProtocolViolation(f"item {wire.item_id}: {error}") from None
    return Item(
        item_id=wire.item_id,  # type: ignore[arg-type]  # a NewType costs a call
        parent_id=wire.parent_id,  # type: ignore[arg-type]
        name=wire.name,
        kind=wire.kind,
        size=wire.size,
        mode=wire.mode,
        mtime_ns=mtime_ns,
        ctime_ns=ctime_ns,
        content_version=wire.content_version,  # type: ignore[arg-type]
        metadata_version=wire.metadata_version,  # type: ignore[arg-type]
        digest=wire.digest,
        symlink_target=wire.symlink_target,
        capabilities=_capabilities(tuple(wire.capabilities)),
        xattrs=_xattrs(wire.xattrs),
    )


def _check(wire: WireItem) -> None:
    folder = wire.kind is Kind.FOLDER
    words = f"{wire.item_id}{wire.parent_id}{wire.content_version}{wire.metadata_version}"
    if not (words.isascii() and words.isprintable()) or " " in words or '"' in words:
        raise ProtocolViolation(f"item {wire.item_id!a}: an id or a version is no token")
    wrong = (
        (wire.item_id in _DOTS or wire.parent_id in _DOTS, "an id that is a path segment"),
        (wire.parent_id == wire.item_id, "its own parent"),
        (wire.parent_id is not None and not wire.name, "no name"),
        (wire.kind in LOCAL_KINDS, "a kind that no remote has"),
        (wire.is_folder is not folder, "kind and is_folder disagree"),
        (folder and wire.content_version is not None, "a folder with content"),
        (wire.kind is Kind.FILE and wire.content_version is None, "a file without content_version"),
        (
            (wire.symlink_target is None) is (wire.kind is Kind.SYMLINK),
            "symlink_target does not fit the kind",
        ),
        (wire.digest is not None and not _DIGEST.fullmatch(wire.digest), "a malformed digest"),
    )
    for is_wrong, what in wrong:
        if is_wrong:
            raise ProtocolViolation(f"item {wire.item_id}: {what}")


def _xattrs(told: dict[str, bytes] | None) -> Xattrs | None:
    """Those that a file here can have: the kernel takes no longer name or value, and no other namespace is a user's."""
    if not told:
        return None if told is None else ()
    return tuple(sorted((name, value) for name, value in told.items() if _is_xattr(name, value)))


def _is_xattr(name: str, value: bytes) -> bool:
    fits = len(name.encode()) <= NAME_MAX_BYTES and len(value) <= XATTR_VALUE_MAX_BYTES
    return fits and _XATTR_NAME.fullmatch(name) is not None


@lru_cache(maxsize=64)  # a drive has a handful of combinations
def _capabilities(names: tuple[str, ...]) -> frozenset[Capability]:
    """Those that we know: a later server may tell more."""
    return frozenset(capability for capability in Capability if capability in names)


def tombstone_of(wire: WireTombstone | Deleted) -> Tombstone:
    """The value of either shape."""
    parent_id = None if wire.parent_id is None else ItemId(wire.parent_id)
    return Tombstone(item_id=ItemId(wire.item_id), parent_id=parent_id, reason=wire.reason)


def result_of(result: WireResult) -> Item | Tombstone | None:
    """What a batch tells of one id."""
    if result.status == 404:
        return None
    value: Item | Tombstone
    if result.status == 200:
        value = item_of(decode(WireItem, result.item))
    else:
        value = tombstone_of(decode(WireTombstone, result.item))
    if value.item_id != result.item_id:
        raise ProtocolViolation("a batch answers an id with another item")
    return value
