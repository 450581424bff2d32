"""From a refusal's status and code to the error tree. Pure: one table, and a fallback by status alone.

The code is believed only together with its status, and a deletion only with the tombstone of the very item
asked for: a proxy's 404 page or a stray 410 proves nothing. A 5xx says nothing about whether a mutation was
applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.remote import (
    AnchorExpired,
    BadDigest,
    Busy,
    Conflict,
    Denied,
    Gone,
    NameRefused,
    NotSignedIn,
    ProtocolViolation,
    QuotaFull,
    Refused,
    RemoteError,
    Unknown,
    Unreachable,
    UploadGone,
    VersionGone,
)
from sync.remotes.anchor.wire import WireItem, WireProblem, WireTombstone, anchor_of, decode, item_of

if TYPE_CHECKING:
    from cache.model import Item, ItemId

_DETAIL_MAX = 200  # of text that a stranger wrote: enough for a log line


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A non-2xx answer, read."""

    status: int
    problem: WireProblem
    retry_after_s: float | None
    mutates: bool
    asked: ItemId | None

    def __str__(self) -> str:
        detail = "".join(c if c.isprintable() else "?" for c in self.problem.detail[:_DETAIL_MAX])
        code = "".join(c if c.isprintable() else "?" for c in self.problem.code[:_DETAIL_MAX])
        return f"HTTP {self.status} {code} {detail}".rstrip()


def _current(refusal: Refusal) -> Item | None:
    """The item as it stands; what is not well formed is as good as not told, since it may be asked for."""
    try:
        return item_of(decode(WireItem, refusal.problem.current))
    except ProtocolViolation:
        return None


def _conflict(refusal: Refusal) -> RemoteError:
    return Conflict(str(refusal), current=_current(refusal), code=refusal.problem.code[:_DETAIL_MAX])


def _gone(refusal: Refusal) -> RemoteError:
    return Gone(str(refusal))


def _deleted(refusal: Refusal) -> RemoteError:
    try:
        proof = decode(WireTombstone, refusal.problem.item)
    except ProtocolViolation:
        return Gone(str(refusal))
    return Gone(str(refusal), tombstone=refusal.asked is not None and proof.item_id == refusal.asked)


def _anchor_expired(refusal: Refusal) -> RemoteError:
    lost = bytes(refusal.problem.lost) == b"true"
    try:
        return AnchorExpired(str(refusal), fresh=anchor_of(refusal.problem.anchor), lost=lost)
    except ProtocolViolation:
        return AnchorExpired(str(refusal), lost=lost)


def _version_gone(refusal: Refusal) -> RemoteError:
    return VersionGone(str(refusal), current=_current(refusal))


def _refused(refusal: Refusal) -> RemoteError:
    return Refused(str(refusal), code=refusal.problem.code[:_DETAIL_MAX])


def _busy(refusal: Refusal) -> RemoteError:
    return Busy(str(refusal), retry_after_s=refusal.retry_after_s)


def _unreachable(refusal: Refusal) -> RemoteError:
    return Unreachable(str(refusal), retry_after_s=refusal.retry_after_s)


def _silent(refusal: Refusal) -> RemoteError:
    """A 5xx that promises nothing: a gateway may have lost the answer of a request that was carried out."""
    kind = Unknown if refusal.mutates else Unreachable
    return kind(str(refusal), retry_after_s=refusal.retry_after_s)


_Make = Callable[[Refusal], RemoteError]

_BY_CODE: dict[tuple[int, str], _Make] = {
    (410, "deleted"): _deleted,
    (410, "anchor_expired"): _anchor_expired,
    (410, "version_gone"): _version_gone,
    (410, "upload_gone"): lambda refusal: UploadGone(str(refusal)),
    (409, "upload_offset_mismatch"): lambda refusal: Unknown(str(refusal)),  # ask where it stands
    (409, "upload_interrupted"): lambda refusal: Unknown(str(refusal)),
    (409, "idempotency_key_in_progress"): _busy,
    (422, "name_invalid"): lambda refusal: NameRefused(str(refusal)),
    (422, "name_too_long"): lambda refusal: NameRefused(str(refusal)),
    (400, "digest_mismatch"): lambda refusal: BadDigest(str(refusal)),
    (
        400,
        "cursor_invalid",
    ): _busy,  # the listing was overtaken (a restart, a change): listing again is the way out
}

_BY_STATUS: dict[int, _Make] = {
    401: lambda refusal: NotSignedIn(str(refusal)),
    403: lambda refusal: Denied(str(refusal)),
    404: _gone,
    408: _unreachable,
    409: _conflict,
    410: _gone,
    412: _conflict,
    423: _busy,
    425: _busy,
    429: _busy,
    503: _busy,
    507: lambda refusal: QuotaFull(str(refusal)),
}


def error_of(refusal: Refusal) -> RemoteError:
    """The error that a refusal means."""
    status = refusal.status
    make = _BY_CODE.get((status, refusal.problem.code)) or _BY_STATUS.get(status)
    if make is not None:
        return make(refusal)
    if 400 <= status < 500:
        return _refused(refusal)
    if 500 <= status < 600:
        return _silent(refusal)
    return ProtocolViolation(f"HTTP {status} is no answer of this protocol")


def problem_of(body: bytes) -> WireProblem:
    """The problem in an error's body; an empty one when it is none (a proxy's page)."""
    try:
        return decode(WireProblem, body)
    except ProtocolViolation:
        return WireProblem()
