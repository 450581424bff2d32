"""`sync.sessions.Sessions`, but for blocks: a folder of numbered chunks, moved as one file to where it belongs.

The name of the folder is made of the key, so a session is found again after a restart without having been written
down. The server is told a target that never exists while chunks arrive: with object storage it would write to a real
one at once, and the seam says only at the end where the bytes go. Every chunk but the last one is whole, so what is
listed in unbroken order is what has arrived.
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from sync.remote import BadDigest, Conflict, Gone, NewFile, Overwrite, ProtocolViolation, Refused, Unknown, UploadGone
from sync.remotes.asking import Ask
from sync.remotes.nextcloud.asks import if_there, look
from sync.remotes.nextcloud.changing import STORED
from sync.remotes.nextcloud.entries import DAV
from sync.remotes.nextcloud.rows import item_of
from sync.remotes.nextcloud.storing import Brought, content_headers, etag_told
from sync.remotes.sending import durable_s, exactly
from sync.sessions import Announced, Stream, UploadId

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from cache.model import Item
    from sync.remotes.nextcloud.places import Places
    from sync.remotes.nextcloud.storing import Storing

CHUNK_BYTES = 10 << 20  # object storage takes parts of at least 5 MiB; of a broken line this much is sent again
CHUNKS_MAX = 10_000


class ChunkedUploads:
    """The part of the remote that sends large files."""

    def __init__(self, places: Places, storing: Storing, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._places, self._storing, self._chunk_bytes = places, storing, chunk_bytes
        self._digests: dict[UploadId, str] = {}  # of what was sent whole by this process: the server does not compare

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:
        """A new session; the same one under the same key."""
        if announced.over is not None:
            raise Refused("Nextcloud takes no deltas", code="not_offered")
        upload_id = UploadId("anchorfs-" + hashlib.sha256(key.encode()).hexdigest()[:32])
        ask = Ask(
            method="MKCOL", path=self._path(upload_id), headers=self._nowhere(upload_id), mutates=True, expect=STORED
        )
        with suppress(Refused):  # 405: it is there already
            await self._places.exchange.reply(ask)
        return upload_id

    async def uploaded(self, upload_id: UploadId) -> int:
        """How many bytes are there without a gap."""
        committed = self._places.ledger.upload(upload_id)
        if committed is not None:
            entry = self._places.ledger.entry(committed)
            return 0 if entry is None else entry.size
        return sum(await self._chunks(upload_id))

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """Send `stream` from `start`, where the session must stand."""
        chunks = await self._chunks(upload_id)
        if sum(chunks) != start:
            raise Unknown(f"the upload stands at {sum(chunks)}, not at {start}")
        chunk_bytes = max(self._chunk_bytes, -(-stream.size // (CHUNKS_MAX - 100)))
        number, at = len(chunks), start
        async with aclosing(exactly(stream, start)) as body:
            pieces = _Pieces(body)
            while at < stream.size:
                number, size = number + 1, min(chunk_bytes, stream.size - at)
                await self._put(upload_id, number, pieces.take(size), size)
                at += size
            await pieces.end()
        if not start:
            self._digests[upload_id] = pieces.digest
        return at

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
        known = self._places.ledger.upload(upload_id)
        if known is not None and self._places.ledger.sent(key) is None:
            entry = await self._places.need(known)
            raise Conflict("these bytes are a file already", current=item_of(entry), code="upload_committed")

        if self._digests.get(upload_id, announced.digest) != announced.digest:
            raise BadDigest("the source changed while it was sent")

        async def send(path: str, condition: Mapping[str, str], mtime_s: int) -> str:
            return await self._assemble(upload_id, announced, path, condition, mtime_s)

        brought = Brought(size=announced.size, digest=announced.digest, mtime_ns=mtime_ns)
        item = await self._storing.stored(target, brought, send, mode=mode, key=key)
        await self._places.ledger.note_upload(upload_id, item.item_id)
        self._digests.pop(upload_id, None)
        return item

    async def abandon(self, upload_id: UploadId) -> None:
        """End a session, if it is still there."""
        with suppress(Gone):
            await self._places.exchange.reply(
                Ask(method="DELETE", path=self._path(upload_id), mutates=True, expect=STORED)
            )

    async def _assemble(
        self, upload_id: UploadId, announced: Announced, path: str, condition: Mapping[str, str], mtime_s: int
    ) -> str:
        url = self._places.url(path)
        etag = condition.get("if-match")
        conditions = {"overwrite": "F"} if etag is None else {"overwrite": "T", **if_there(url, etag.strip('"'))}
        ask = Ask(
            method="MOVE",
            path=f"{self._path(upload_id)}/.file",
            headers={
                "destination": url,
                "oc-total-length": str(announced.size),
                **conditions,
                **content_headers(announced.digest, mtime_s),
            },
            mutates=True,
            expect=STORED,
            read_s=durable_s(announced.size),
            answer_s=durable_s(announced.size) + 60.0,
        )
        try:
            return etag_told(await self._places.exchange.reply(ask))
        except Gone:
            return await self._judge(upload_id, announced, path)
        except Refused:
            if sum(await self._chunks(upload_id)) != announced.size:
                raise Conflict("not all bytes are there", code="upload_incomplete") from None
            raise

    async def _judge(self, upload_id: UploadId, announced: Announced, path: str) -> str:
        """404: the chunks are used up (by this very request, sent before?), or the target's folder is gone."""
        try:
            await self._chunks(upload_id)
        except UploadGone:
            there = await self._places.at(path)
            if there is None or (there.size, there.digest) != (announced.size, announced.digest):
                raise
            return there.etag
        raise Gone("the folder is gone")

    async def _put(self, upload_id: UploadId, number: int, body: AsyncIterator[bytes], size: int) -> None:
        ask = Ask(
            method="PUT",
            path=f"{self._path(upload_id)}/{number:05}",
            headers={
                "content-type": "application/octet-stream",
                "content-length": str(size),
                **self._nowhere(upload_id),
            },
            content=body,
            mutates=True,
            expect=STORED,
            read_s=durable_s(size),
            answer_s=float("inf"),  # as long as bytes move
        )
        try:
            await self._places.exchange.reply(ask)
        except Gone:
            raise UploadGone("the upload was ended") from None

    async def _chunks(self, upload_id: UploadId) -> list[int]:
        """Sizes of the chunks from the first one on, up to the first that is not there."""
        try:
            told, _ = await self._places.exchange.looked(
                look(self._path(upload_id), (f"{DAV}getcontentlength",), depth=1)
            )
        except Gone:
            raise UploadGone("the upload was ended") from None
        sizes: dict[int, int] = {}
        for row in told.responses:
            name, size = row.href.rstrip("/").rpartition("/")[2], row.text(f"{DAV}getcontentlength") or ""
            if name.isdecimal() and not size.isdecimal():
                raise ProtocolViolation("a chunk without a size")
            if name.isdecimal():
                sizes[int(name)] = int(size)
        count = next(number - 1 for number in range(1, len(sizes) + 2) if number not in sizes)
        return [sizes[number] for number in range(1, count + 1)]

    def _path(self, upload_id: UploadId) -> str:
        return self._places.dav_path("uploads", self._places.user_id, upload_id)

    def _nowhere(self, upload_id: UploadId) -> dict[str, str]:
        return {"destination": self._places.url(f".{upload_id}")}


class _Pieces:
    """A stream, handed on in bodies of a known length."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body, self._rest = body, b""
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """Of all that was taken."""
        return f"sha-256:{self._hash.hexdigest()}"

    async def take(self, size: int) -> AsyncGenerator[bytes, None]:
        """The next `size` bytes."""
        while size:
            piece = self._rest or await anext(self._body, b"")
            if not piece:
                raise BadDigest("the source changed its size while it was sent")
            now, self._rest = piece[:size], piece[size:]
            size -= len(now)
            self._hash.update(now)
            yield now

    async def end(self) -> None:
        """BadDigest, when there is more."""
        if self._rest or await anext(self._body, b""):
            raise BadDigest("the source changed its size while it was sent")
