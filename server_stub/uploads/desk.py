"""Uploads from their beginning to their item: every change of one under its turn, every row in a
transaction.

The last byte is told together with what it decided: committed, or finished and kept. Until then a crash only
makes the client send the end again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.requests import ClientDisconnect

from server_stub import failpoints
from server_stub.instants import NANOS
from server_stub.plans.content import NewContent
from server_stub.problems import Problem
from server_stub.uploads.assembling import Assembler
from server_stub.uploads.bay import Bay, BytesLost
from server_stub.uploads.plan import check_room, plan_commit, plan_open, require_parts, require_upload
from server_stub.uploads.receiving import Receiving
from server_stub.uploads.turns import Interrupted, Turn, Turns
from server_stub.uploads.values import HELD, Target, Upload, UploadState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from hashlib import _Hash

    from server_stub.intents import Intent
    from server_stub.keys import Answer, Keyed
    from server_stub.service import Service
    from server_stub.store import Ledger, View
    from server_stub.uploads.headers import Checksum
    from server_stub.values import Principal
    from server_stub.vault import Staged

log = logging.getLogger(__name__)

_DIGESTS_MAX: Final = 1_024  # running digests that are remembered between requests; others are computed again
_EXPIRE_BATCH: Final = 256


class Desk:
    """All uploads of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.settings
        self._bay = Bay(service.vault)
        self._assembler = Assembler(service, self._bay)
        self._digests: OrderedDict[str, tuple[int, _Hash]] = OrderedDict()
        self.turns = Turns()

    async def find(self, principal: Principal, upload_id: str) -> Upload:
        """The token's own upload. Problem not_found, upload_gone."""
        return await self._service.read(lambda view: require_upload(view, principal, upload_id))

    def until_ns(self) -> int:
        """When an upload that is touched now expires."""
        return time.time_ns() + self._settings.upload_ttl_s * NANOS

    async def open(
        self, principal: Principal, upload: Upload, part_ids: tuple[str, ...], keyed: Keyed | None
    ) -> Answer:
        """Begin an upload, once per key; with `part_ids` it holds their bytes at once. Problem."""
        begun = upload
        if upload.held_bytes > (await asyncio.to_thread(self._service.space))["free"]:
            raise Problem("quota_exceeded", "no space left on the drive for so many bytes")
        if part_ids:
            begun = await self._join(principal, upload, part_ids)
        else:
            await asyncio.to_thread(self._bay.create, upload.upload_id)
        failpoints.reach("upload-created")
        now_ns = time.time_ns()

        def decide(view: View) -> Intent:
            return plan_open(view, principal, begun, parts=part_ids, settings=self._settings, now_ns=now_ns)

        answer = None
        try:
            answer = await self._service.mutate(decide, keyed)
        finally:
            if answer is None or not answer.headers.get("location", "").endswith(upload.upload_id):
                await asyncio.to_thread(self._bay.drop, upload.upload_id)  # refused, or a replay of another
                part_ids = ()
        for part_id in part_ids:
            await asyncio.to_thread(self._bay.drop, part_id)
        return answer

    async def _join(self, principal: Principal, upload: Upload, part_ids: tuple[str, ...]) -> Upload:
        try:
            parts = await self._service.read(lambda view: require_parts(view, principal, part_ids))
        except Problem:
            return upload  # decided again, and told, where a key is honoured
        length = sum(part.offset for part in parts)
        if length > self._settings.upload_max_bytes:
            raise Problem("too_large", f"at most {self._settings.upload_max_bytes} bytes")
        try:
            digest = await asyncio.to_thread(self._bay.join, upload.upload_id, part_ids)
        except BytesLost:
            raise Problem("upload_gone", "a part was ended meanwhile") from None
        self._remember(upload.upload_id, length, digest)
        return msgspec.structs.replace(upload, length=length)

    async def check_growth(self, before: Upload, after: Upload, more_bytes: int) -> None:
        """Whether the token has room for an upload whose length was put off. Problem quota_exceeded."""
        if before.length is None:
            _, held_bytes = await self._service.read(lambda view: view.upload_room(before.token_id))
            grown_bytes = after.offset + more_bytes if after.length is None else after.length
            check_room(self._settings, held_bytes - before.held_bytes + grown_bytes)

    async def receive(
        self, turn: Turn, upload: Upload, body: AsyncGenerator[bytes, None], checksum: Checksum | None
    ) -> Upload:
        """Take in a body behind the offset. The upload as it is then; not yet decided when it is whole.

        Problem, Interrupted, ClientDisconnect and OSError, with what arrived kept.
        """
        limit_bytes = self._settings.upload_max_bytes if upload.length is None else upload.length
        digest = self._recall(upload.upload_id, upload.offset)
        try:
            appending = await asyncio.to_thread(self._bay.append, upload.upload_id, upload.offset, digest)
        except BytesLost:
            raise await self._lost(upload) from None
        receiving = Receiving(upload, appending, limit_bytes=limit_bytes, checksum=checksum, record=self._record)
        try:
            try:
                await receiving.take(turn.chunks(body, self._settings.upload_idle_s))
            except (ClientDisconnect, Interrupted, OSError):
                await receiving.keep()
                if not receiving.is_whole:
                    raise
            else:
                await receiving.keep()
            if receiving.is_whole or receiving.upload.offset == appending.size:
                self._remember(upload.upload_id, appending.size, appending.digest)
            return receiving.upload if not receiving.is_whole else _whole(receiving.upload)
        finally:
            await asyncio.shield(asyncio.to_thread(appending.close))

    async def _record(self, upload: Upload) -> Upload:
        """Tell a durable offset. Problem upload_gone when the upload ended meanwhile."""
        told = msgspec.structs.replace(upload, expires_ns=self.until_ns())

        def work(ledger: Ledger) -> Upload:
            with ledger.transaction() as tx:
                current = tx.upload(upload.upload_id)
                if current is None or current.state not in HELD:
                    raise Problem("upload_gone", "the upload expired or was ended")
                tx.put_upload(told)
            return told

        return await self._service.store.write(work)

    async def settle(self, principal: Principal, upload: Upload) -> Upload:
        """Decide a whole upload: into the drive, or kept when it has no target (yet). Problem when the drive
        refuses it: then it is kept, and the refusal told.
        """
        whole = _whole(upload)
        if upload.target is None or upload.is_partial:
            return await self._record(whole)
        try:
            await self.commit(principal, whole, upload.target, None)
        except Problem as problem:
            if problem.status >= 500 or problem.status == 429:
                raise
            await self._record(msgspec.structs.replace(whole, refusal=problem.code))
            failpoints.reach("upload-refused")
            raise _as_refusal(problem) from None
        return await self.find(principal, upload.upload_id)

    async def resume(self, principal: Principal, upload: Upload) -> Upload:
        """A concatenation that a crash left between its bytes and its item, decided now; any other as it is."""
        if not upload.is_final or upload.state is not UploadState.OPEN:
            return upload
        with contextlib.suppress(Problem):  # told by the upload's state
            return await self.settle(principal, upload)
        return await self.find(principal, upload.upload_id)

    async def commit(self, principal: Principal, upload: Upload, target: Target, keyed: Keyed | None) -> Answer:
        """The drive's answer to the upload's content. Problem."""
        now_ns = time.time_ns()
        modified_ns = now_ns if upload.modified_ns is None else upload.modified_ns
        content = NewContent(modified_ns=modified_ns, mode=upload.mode)
        staged = None
        if upload.state is UploadState.FINISHED:
            staged = await self._seal(principal, upload, modified_ns)

        expiring = msgspec.structs.replace(upload, expires_ns=self.until_ns())

        def decide(view: View) -> Intent:
            return plan_commit(view, principal, expiring, target=target, content=content, staged=staged, now_ns=now_ns)

        try:
            answer = await self._service.mutate(decide, keyed)
        finally:
            if staged is not None and upload.delta is not None:
                await asyncio.to_thread(self._service.blobs.discard, staged.name)  # unless it was placed
        if answer.status < 300:
            self._digests.pop(upload.upload_id, None)
            if upload.delta is not None:
                await asyncio.to_thread(self._bay.drop, upload.upload_id)
        return answer

    async def _seal(self, principal: Principal, upload: Upload, modified_ns: int) -> Staged:
        digest = self._recall(upload.upload_id, upload.offset)
        try:
            if upload.delta is not None:
                return await self._assembler.make(principal, upload, upload.delta, modified_ns)
            staged = await asyncio.to_thread(
                self._bay.seal, upload.upload_id, size=upload.offset, modified_ns=modified_ns, digest=digest
            )
        except BytesLost:
            raise await self._lost(upload) from None
        failpoints.reach("upload-sealed")
        return staged

    async def _lost(self, upload: Upload) -> Problem:
        """An offset that cannot be kept is not told again: the upload ends."""
        log.error("upload %s lost bytes that were acknowledged, and ends", upload.upload_id)
        await self._end(upload, anyway=True)
        return Problem("upload_gone", "the bytes of this upload are lost")

    async def terminate(self, principal: Principal, upload_id: str) -> None:
        """End an upload and forget its bytes. Problem."""
        upload = await self.find(principal, upload_id)
        await self._end(upload, anyway=True)

    async def expire(self) -> int:
        """End what is past its time, forget proofs of what ended long ago; returns how many rows that were."""
        now_ns = time.time_ns()
        past = await self._service.read(lambda view: view.uploads_past(now_ns, _EXPIRE_BATCH))
        over = [upload.upload_id for upload in past if upload.state not in HELD]

        def forget(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.forget_uploads(over)

        if over:
            await self._service.store.write(forget)
        for upload in past:
            if upload.state in HELD:
                await self._end(upload, anyway=False)
        return len(past)

    async def _end(self, upload: Upload, *, anyway: bool) -> None:
        """Row first, then bytes."""
        gone = msgspec.structs.replace(upload, state=UploadState.GONE, expires_ns=self.until_ns())

        def work(ledger: Ledger) -> bool:
            with ledger.transaction() as tx:
                current = tx.upload(upload.upload_id)
                if current is None or not (anyway or (current.state in HELD and current.expires_ns <= time.time_ns())):
                    return False
                tx.put_upload(gone)
            return True

        if await self._service.store.write(work):
            failpoints.reach("upload-ended")
            self._digests.pop(upload.upload_id, None)
            await asyncio.to_thread(self._bay.drop, upload.upload_id)

    def _remember(self, upload_id: str, offset: int, digest: _Hash | None) -> None:
        if digest is not None:
            self._digests[upload_id] = (offset, digest)
            self._digests.move_to_end(upload_id)
            while len(self._digests) > _DIGESTS_MAX:
                self._digests.popitem(last=False)

    def _recall(self, upload_id: str, offset: int) -> _Hash | None:
        """A copy, so that a body which does not count leaves the remembered one as it is."""
        known = self._digests.get(upload_id)
        return known[1].copy() if known is not None and known[0] == offset else None


def _as_refusal(problem: Problem) -> Problem:
    """412, whatever the drive's reason: for a tus client 404 and 410 would mean that the upload is lost."""
    if problem.code in {"precondition_failed", "digest_mismatch"}:
        return problem
    refusal = Problem("precondition_failed", problem.detail, current=None, reason=problem.code)
    refusal.facts.update(problem.facts)
    return refusal


def _whole(upload: Upload) -> Upload:
    return msgspec.structs.replace(upload, state=UploadState.FINISHED, offset=upload.length or 0)
