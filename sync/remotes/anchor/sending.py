"""Headers and bodies of mutations. Pure."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from sync.remote import BadDigest, NewFile, Overwrite, ProtocolViolation, Source
from sync.remotes.anchor.times import text_of_ns
from sync.remotes.asking import Ask, segment
from sync.remotes.sending import checked_name, durable_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from cache.model import Item, ItemId, Version

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def quoted_key(key: str) -> str:
    """The structured-field string of an idempotency key (RFC 8941, section 3.3.3)."""
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def if_match(version: Version) -> dict[str, str]:
    """The precondition that the item is still at `version`."""
    return {"if-match": f'"{version}"'}


def json_ask(
    method: str,
    path: str,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str] = _NO_HEADERS,
    key: str | None = None,
    mutates: bool = True,
    asked: ItemId | None = None,
) -> Ask:
    """A request with a JSON body; a mutation has its idempotency key."""
    return Ask(
        method=method,
        path=path,
        headers={
            **headers,
            "content-type": "application/json",
            **({} if key is None else {"idempotency-key": quoted_key(key)}),
        },
        content=msgspec.json.encode(body),
        mutates=mutates,
        asked=asked,
        expect=frozenset({200, 201}) if mutates else frozenset({200}),
    )


def put_ask(
    target: NewFile | Overwrite,
    source: Source,
    body: AsyncIterator[bytes],
    *,
    mtime_ns: int,
    mode: int,
    key: str,
) -> Ask:
    """A PUT of the whole content, under the condition that `target` stands for."""
    if isinstance(target, NewFile):
        path = f"items/{segment(target.parent_id)}/children/{segment(checked_name(target.name))}/content"
        condition = {"if-none-match": "*"}
    else:
        path = f"items/{segment(target.item_id)}/content"
        condition = if_match(target.base)
    digest = base64.b64encode(bytes.fromhex(source.digest.removeprefix("sha-256:"))).decode()
    return Ask(
        method="PUT",
        path=path,
        headers={
            **condition,
            "content-type": "application/octet-stream",
            "content-length": str(source.size),
            "repr-digest": f"sha-256=:{digest}:",
            "anchor-modified-at": text_of_ns(mtime_ns),
            "anchor-mode": f"{mode & 0o7777:04o}",
            "idempotency-key": quoted_key(key),
        },
        content=body,
        mutates=True,
        asked=target.item_id if isinstance(target, Overwrite) else None,
        expect=frozenset({200, 201}),
        read_s=durable_s(source.size),
        answer_s=float("inf"),  # as long as bytes move; a stall ends by the timeouts of each write and read
    )


def require_stored(item: Item, target: NewFile | Overwrite, *, size: int, digest: str) -> Item:
    """`item`, if it is what was sent where it was sent to; BadDigest, ProtocolViolation."""
    if isinstance(target, Overwrite) and item.item_id != target.item_id:
        raise ProtocolViolation("an upload was answered with another item")
    if item.size != size or item.digest not in {None, digest}:
        raise BadDigest("the remote stored other bytes than were sent")
    return item
