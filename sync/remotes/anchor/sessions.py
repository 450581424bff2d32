"""Uploads in pieces over our protocol: tus 1.0.0 for the bytes, one request of our own to commit them.

A session is begun without a target and committed with one. The server's address of it is not followed: only its id is
taken out of it, so a hostile answer sends us nowhere.
"""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import replace as with_
from typing import TYPE_CHECKING

from sync.remote import Gone, NewFile, Overwrite, ProtocolViolation, Unreachable, UploadGone
from sync.remotes.anchor.sending import json_ask, quoted_key, require_stored
from sync.remotes.anchor.times import text_of_ns
from sync.remotes.anchor.wire import WireItem, item_of
from sync.remotes.asking import Ask, segment
from sync.remotes.sending import checked_name, durable_s, exactly
from sync.sessions import UploadId

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from cache.model import Item, ItemId, Version
    from sync.remotes.anchor.exchange import Exchange
    from sync.sessions import Announced, Stream

_TUS = {"tus-resumable": "1.0.0"}
_DIGEST_BYTES = 32
_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_OFFSET = re.compile(r"\d{1,18}", re.ASCII)


class AnchorSessions:
    """The part of AnchorRemote that is `sync.sessions.Sessions`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:
        """A new session; the same one under the same key."""
        ask = Ask(
            method="POST",
            path="uploads",
            headers={
                **_TUS,
                "upload-length": str(announced.stream_bytes),
                "upload-metadata": _metadata(announced),
                "idempotency-key": quoted_key(key),
            },
            mutates=True,
            expect=frozenset({201}),
        )
        address = (await self._exchange.headers(ask)).get("location", "")
        found = _UPLOAD_ID.fullmatch(address.rpartition("/")[2])
        if found is None:
            raise ProtocolViolation("an upload was begun without an address")
        return UploadId(found[0])

    async def uploaded(self, upload_id: UploadId) -> int:
        """How many bytes are durable there."""
        ask = Ask(method="HEAD", path=_path(upload_id), headers=_TUS)
        with _ended():
            return _offset(await self._exchange.headers(ask))

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """Send `stream` from `start`, where the session must stand."""
        async with contextlib.aclosing(exactly(stream, start)) as body:
            ask = Ask(
                method="PATCH",
                path=_path(upload_id),
                headers={
                    **_TUS,
                    "content-type": "application/offset+octet-stream",
                    "content-length": str(stream.size - start),
                    "upload-offset": str(start),
                },
                content=body,
                mutates=True,
                expect=frozenset({204}),
                read_s=durable_s(stream.size - start),
                answer_s=float("inf"),  # as long as bytes move; a stall ends by the timeouts of each write and read
            )
            with _ended():
                return _offset(await self._exchange.headers(ask))

    async def commit(
        self,
        upload_id: UploadId,
        announced: Announced,
        target: NewFile | Overwrite,
        *,
        mtime_ns: int,
        mode: int,
        key: str,
    ) -> Item:
        """Store the content atomically; Conflict with the item that stands there."""
        body = {"target": _target(target), "modified_at": text_of_ns(mtime_ns), "mode": mode & 0o7777}
        asked = target.item_id if isinstance(target, Overwrite) else None
        ask = json_ask("POST", f"{_path(upload_id)}:commit", body, key=key, asked=asked)
        patient_s = durable_s(announced.size)
        ask = with_(ask, read_s=patient_s, answer_s=patient_s)
        item = item_of(await self._exchange.answer(ask, WireItem))
        return require_stored(item, target, size=announced.size, digest=announced.digest)

    async def abandon(self, upload_id: UploadId) -> None:
        """End a session, if it is still there."""
        ask = Ask(method="DELETE", path=_path(upload_id), headers=_TUS, mutates=True, expect=frozenset({204}))
        with contextlib.suppress(Gone, UploadGone):
            await self._exchange.headers(ask)

    async def blocks(self, item_id: ItemId, version: Version, size: int, block_bytes: int) -> list[bytes]:
        """SHA-256 of each block of a version of `size` bytes."""
        ask = Ask(
            method="GET",
            path=f"items/{segment(item_id)}/content/blocks",
            query=(("version", version), ("block_bytes", str(block_bytes))),
            headers={"accept": "*/*"},
            asked=item_id,
            answer_s=durable_s(size),
        )
        told = await self._exchange.body(ask)
        if len(told) != -(-size // block_bytes) * _DIGEST_BYTES:
            raise Unreachable(f"{ask}: the answer was cut short")
        return [told[at : at + _DIGEST_BYTES] for at in range(0, len(told), _DIGEST_BYTES)]


@contextlib.contextmanager
def _ended() -> Iterator[None]:
    """What is not there is an upload: an answer without a body cannot say so."""
    try:
        yield
    except Gone as error:
        raise UploadGone(str(error)) from None


def _path(upload_id: UploadId) -> str:
    return f"uploads/{segment(upload_id)}"


def _metadata(announced: Announced) -> str:
    told = {"digest": announced.digest}
    if announced.over is not None:
        base = {"base_item_id": announced.over.item_id, "base_version": announced.over.version}
        told |= {"delta": "1", **base, "size": str(announced.size)}
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in told.items())


def _target(target: NewFile | Overwrite) -> dict[str, str]:
    if isinstance(target, Overwrite):
        return {"item_id": target.item_id, "content_version": target.base}
    return {"parent_id": target.parent_id, "name": checked_name(target.name)}


def _offset(headers: httpx.Headers) -> int:
    told = headers.get("upload-offset", "")
    if _OFFSET.fullmatch(told) is None:
        raise ProtocolViolation("an upload tells no offset")
    return int(told)
