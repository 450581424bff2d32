"""Sessions of a fake: bytes that arrived stay, whatever cut the request, and belong to the drive."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Capability, Item, ItemId, Kind, Version
from sync.closing import closing
from sync.remote import BadDigest, Conflict, NewFile, Overwrite, Refused, Unknown, UploadGone
from sync.sessions import Announced, Stream, UploadId
from tests.fakes.many import ManyClient
from tests.fakes.state import digest_of

if TYPE_CHECKING:
    from tests.fakes.drive import FakeDrive


@dataclass(slots=True, eq=False)
class FakeSession:
    """One upload; `item` is what it became."""

    announced: Announced
    data: bytearray
    item: ItemId | None = None


class SessionClient(ManyClient):
    """`sent_bytes` counts what travelled in `append`."""

    sent_bytes = 0

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:
        """A session of the drive, once per key."""
        drive = self.drive

        def begin() -> UploadId:
            if announced.over is not None:
                drive.content(announced.over.item_id, announced.over.version)
            upload_id = UploadId(f"upload{drive.count()}")
            drive.sessions[upload_id] = FakeSession(announced, bytearray())
            return upload_id

        return await self.perform("begin_upload", lambda: drive.once(key, ("begin", announced), begin))

    async def uploaded(self, upload_id: UploadId) -> int:
        """Bytes there."""
        return await self.perform("uploaded", lambda: len(_session(self.drive, upload_id).data))

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """Piece by piece; a `cut_after_bytes` keeps what came before, a `piece_gate` holds after each."""
        fault = await self.arrive("append")
        session = _session(self.drive, upload_id)
        if start != len(session.data):
            raise Unknown("the session stands elsewhere")
        left = fault.cut_after_bytes
        async with closing(stream.chunks(start)) as pieces:
            async for piece in pieces:
                part = piece if left is None else piece[:left]
                session.data += part
                self.sent_bytes += len(part)
                if fault.piece_gate is not None:
                    fault.applied.set()
                    await fault.piece_gate.wait()
                if left is not None:
                    left -= len(part)
                    if left <= 0:
                        raise Unknown("the request was cut")
        return await self.apply(fault, lambda: len(session.data))

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
        """The content, whole, in one step."""
        drive, request = self.drive, ("commit", upload_id, announced, target, mtime_ns, mode)

        def act() -> Item:
            session = _session(drive, upload_id)
            if session.item is not None:
                raise Conflict(code="upload_committed", current=drive.items.get(session.item))
            data = _content(drive, session)
            if isinstance(target, Overwrite):
                self.need(Capability.WRITE)
                item = drive.overwrite(target.item_id, target.base, data, mode=mode, mtime_ns=mtime_ns)
            else:
                self.need(Capability.ADD_CHILDREN)
                item = drive.create(
                    target.parent_id, target.name, Kind.FILE,
                    mode=mode, mtime_ns=mtime_ns, data=data, taken_code="precondition_failed",
                )  # fmt: skip
            session.item = item.item_id
            return item

        return self.seen(await self.perform("commit", lambda: drive.once(key, request, act)))

    async def abandon(self, upload_id: UploadId) -> None:
        """The session goes."""
        await self.perform("abandon", lambda: self.drive.sessions.pop(upload_id, None))

    async def blocks(self, item_id: ItemId, version: Version, size: int, block_bytes: int) -> list[bytes]:
        """Digests of that moment."""

        def told() -> list[bytes]:
            data = self.drive.content(item_id, version)
            blocks = [data[at : at + block_bytes] for at in range(0, size, block_bytes)]
            return [hashlib.sha256(block).digest() for block in blocks]

        return await self.perform("blocks", told)


def _session(drive: FakeDrive, upload_id: UploadId) -> FakeSession:
    session = drive.sessions.get(upload_id)
    if session is None:
        raise UploadGone
    return session


def _content(drive: FakeDrive, session: FakeSession) -> bytes:
    data, announced = bytes(session.data), session.announced
    if len(data) != announced.stream_bytes:
        raise Conflict(code="upload_incomplete")
    if announced.over is not None:
        data = applied(data, drive.content(announced.over.item_id, announced.over.version))
    if digest_of(data) != announced.digest:
        raise BadDigest
    return data


def applied(delta: bytes, base: bytes) -> bytes:
    """What a delta tells over a base."""
    if not delta.startswith(b"AFDELTA1"):
        raise Refused("no delta", code="invalid_request")
    made, at = bytearray(), 8
    while at < len(delta):
        if delta[at : at + 1] == b"C":
            offset, length = struct.unpack_from(">QQ", delta, at + 1)
            made += base[offset : offset + length]
            at += 17
        else:
            (length,) = struct.unpack_from(">Q", delta, at + 1)
            made += delta[at + 9 : at + 9 + length]
            at += 9 + length
    return bytes(made)
