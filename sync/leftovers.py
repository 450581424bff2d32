"""Ends uploads at the remote that nobody wants any more: their file was deleted, written on, or told anew.

Only courtesy: what is not ended here expires there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import uploads
from cache.errors import LocalError
from sync.remote import Permanent, Remote, RemoteError
from sync.sessions import UploadId

if TYPE_CHECKING:
    from cache.store import LocalStore
    from cache.uploads import Upload

RETRY_S = 60.0


class Leftovers:
    """`run` ends them; `look` says that there may be some."""

    def __init__(self, store: LocalStore, remote: Remote) -> None:
        self._store = store
        self._remote = remote
        self._wake = trio.Event()
        self._paused = False

    def pause(self, *, paused: bool) -> None:
        """Ask nothing of the remote; or go on."""
        self._paused = paused
        self._wake.set()

    def look(self) -> None:
        """Something was concluded, or given up."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake = trio.Event()
            try:
                await self._end_all()
            except (RemoteError, LocalError, OSError):
                await trio.sleep(RETRY_S)
            else:
                await self._wake.wait()

    async def _end_all(self) -> None:
        while (row := self._next()) is not None:
            await self._end(row)
            await self._store.db.write(partial(uploads.forget, upload=row))

    def _next(self) -> Upload | None:
        rows = [] if self._paused else uploads.unwanted(self._store.db.reader, 1)
        return rows[0] if rows else None

    async def _end(self, row: Upload) -> None:
        if row.remote_id is not None:
            try:
                await self._remote.abandon(UploadId(row.remote_id))
            except Permanent:
                return  # not ours to end: it expires
