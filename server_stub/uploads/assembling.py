"""From a delta to a content: made new at each commit, in the staging room, from the base as it is kept then.

Nothing of it outlives the request but the item, so a crash at any point leaves the upload as it was.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from server_stub import failpoints
from server_stub.contents import open_content
from server_stub.problems import Problem
from server_stub.uploads.delta import BadDelta, apply

if TYPE_CHECKING:
    from server_stub.contents import Opened
    from server_stub.service import Service
    from server_stub.uploads.bay import Bay
    from server_stub.uploads.values import Delta, Upload
    from server_stub.values import Principal
    from server_stub.vault import Staged

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Assembler:
    """Makes contents of the deltas in a bay."""

    def __init__(self, service: Service, bay: Bay) -> None:
        self._service = service
        self._bay = bay

    async def make(self, principal: Principal, upload: Upload, delta: Delta, modified_ns: int) -> Staged:
        """The whole content, durable in the staging room; the caller discards what it does not place.

        Problem version_gone when the base is not retained any more, invalid_request when it is no delta; BytesLost,
        OSError.
        """
        async with self._service.copies:
            _, opened = await open_content(self._service, principal, delta.item_id, delta.content_version)
            work = asyncio.ensure_future(asyncio.to_thread(self._make, upload, delta, opened, modified_ns))
            try:
                return await asyncio.shield(work)
            except BadDelta as error:
                raise Problem("invalid_request", f"the delta: {error}", status=422) from None
            except asyncio.CancelledError:
                work.add_done_callback(self._unwanted)
                raise

    def _unwanted(self, done: asyncio.Future[Staged]) -> None:
        """Nobody waits for it any more: a thread cannot be stopped, what it made can be dropped."""
        if not done.cancelled() and done.exception() is None:
            self._service.blobs.discard(done.result().name)

    def _make(self, upload: Upload, delta: Delta, opened: Opened, modified_ns: int) -> Staged:
        """Blocks; closes the base, and leaves nothing behind when it fails."""
        vault = self._service.vault
        name = vault.new_name()
        try:
            target_fd = os.open(name, _FLAGS, 0o600, dir_fd=vault.staging_fd)
            try:
                with self._bay.reading(upload.upload_id, upload.offset) as delta_fd:
                    apply(delta_fd, upload.offset, opened.fd, target_fd, delta.size)
                staged = self._bay.finish(target_fd, name, size=delta.size, modified_ns=modified_ns, digest=None)
            finally:
                os.close(target_fd)
        except BaseException:
            vault.discard(name)
            raise
        finally:
            opened.close()
        failpoints.reach("upload-assembled")
        return staged
