"""Sends the bytes of files: small ones in one request, large ones in pieces that survive whatever happens on the way.

For a large file the outbox row is marked as sent only when all its bytes are there: until then it may be renamed,
deleted, or written on without anything in doubt, and the sending sees that and ends.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from cache import contents, uploads
from cache.activity import What
from cache.failpoints import reached
from sync import requests
from sync.remote import BadDigest, NewFile, Overwrite, Remote, Unknown
from sync.upload_source import Progress, Snapshots, UploadSource, Watched, WatchedSource

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Iterator

    from cache.model import ContentId, Ino, Item, Node
    from cache.opened import OpenContent
    from cache.store import LocalStore
    from sync.outgoing import Outgoing
    from sync.sessions import Stream
    from sync.transfers import Transfers


class FileSender:
    """One for all rows; `moving` tells how far each upload is, `bytes_up` what has travelled."""

    def __init__(self, store: LocalStore, remote: Remote, transfers: Transfers) -> None:
        self._store = store
        self._remote = remote
        self._transfers = transfers
        self._snapshots = Snapshots(store.blobs)
        self.moving: dict[Ino, Progress] = {}
        self.bytes_up = 0
        self._sending: set[trio.CancelScope] = set()
        self._paused = False

    def pause(self, *, paused: bool) -> None:
        """Let no more bytes travel, also of what is about to; whatever the remote took, the same upload goes on from
        later."""
        self._paused = paused
        for scope in self._sending if paused else ():
            scope.cancel()

    @contextmanager
    def _travelling(self, interrupted: Exception) -> Iterator[None]:
        """What sends bytes; raises `interrupted` when it was."""
        with trio.CancelScope() as scope:
            self._sending.add(scope)
            try:
                yield
            finally:
                self._sending.discard(scope)
        if scope.cancelled_caught:
            raise interrupted

    async def send(self, out: Outgoing, node: Node) -> None:
        """The content of a file as it is now; raises Superseded, RemoteError, LocalError, OSError."""
        opened = await self._store.open_content(node)
        try:
            large = self._transfers.takes(opened.size)
            # One that was written to while it was sent must not be overtaken for ever: now it is copied first.
            async with self._taken(opened, copied=large and out.change.attempts > 0) as source:
                self.moving[node.ino] = Progress(0, source.size)
                await (self._in_pieces if large else self._whole)(out, opened, source)
        finally:
            self.moving.pop(node.ino, None)
            self._store.opened.release(opened)

    async def same_bytes(self, out: Outgoing, clash: requests.Clash) -> bool:
        """If the remote holds the very bytes that are here, there is nothing to send and nothing to settle."""
        opened = await self._store.open_content(clash.node)
        try:
            async with self._taken(opened) as source:
                if not await self._holds(clash.told, source):
                    return False
                await self._landed(out, opened, source, clash.told)
                return True
        finally:
            self._store.opened.release(opened)

    async def _holds(self, told: Item, source: UploadSource) -> bool:
        """Where the remote tells no digest, a content of the same size is read; raises RemoteError."""
        if told.digest is not None or told.content_version is None or told.size != source.size:
            return told.digest == source.digest
        digest = hashlib.sha256()
        with self._travelling(requests.Superseded()):
            async with self._remote.read(told.item_id, told.content_version, 0, told.size) as reader:
                async for piece in reader:
                    digest.update(piece)
        return f"sha-256:{digest.hexdigest()}" == source.digest

    @asynccontextmanager
    async def _taken(self, opened: OpenContent, *, copied: bool = False) -> AsyncIterator[UploadSource]:
        """A snapshot. Its size is written down after it was taken: a write in between would be sent but never told to
        the catalog, because what is sent as it stands counts as told."""
        async with self._snapshots.taken(opened, copied=copied) as source:
            await self._store.settle(opened)
            yield source

    async def _whole(self, out: Outgoing, opened: OpenContent, source: UploadSource) -> None:
        action = self._sendable(out)
        key = await out.mark(action, source)
        reached("marked")
        watched = WatchedSource(source, lambda: None, self.moving[out.change.ino])
        try:
            with self._travelling(Unknown("interrupted by a pause")):
                item = await self._remote.put(
                    _target(action), watched, mtime_ns=source.mtime_ns, mode=action.node.mode, key=key
                )
        finally:
            self.bytes_up += watched.travelled_bytes
        reached("stored")
        await self._landed(out, opened, source, item)

    async def _in_pieces(self, out: Outgoing, opened: OpenContent, source: UploadSource) -> None:
        action, content_id = self._sendable(out), opened.content_id
        streams: list[Watched] = []

        def watched(stream: Stream) -> Watched:
            check = partial(self._check_wanted, out, opened, source, content_id)
            streams.append(Watched(stream, check, self.moving[out.change.ino]))
            return streams[-1]

        base = action.item if isinstance(action, requests.Overwriting) else None
        try:
            with self._travelling(requests.Superseded()):
                brought = await self._transfers.bring(content_id, source, base, watched)
        finally:
            self.bytes_up += sum(each.travelled_bytes for each in streams)
        self._check_wanted(out, opened, source, content_id)
        action = self._sendable(out)
        key = await out.mark(action, source, brought.upload_id)
        reached("marked")
        item = await self._transfers.commit(
            brought, _target(action), mtime_ns=source.mtime_ns, mode=action.node.mode, key=key
        )
        reached("stored")
        await self._landed(out, opened, source, item, lambda connection: uploads.forget(connection, brought.row))

    def _sendable(self, out: Outgoing) -> requests.Create | requests.Overwriting:
        """What is to be sent now; Superseded when that is no content any more, or nothing."""
        action = out.planned()
        if self._paused or not isinstance(action, requests.Create | requests.Overwriting):
            raise requests.Superseded
        return action

    def _check_wanted(self, out: Outgoing, opened: OpenContent, source: UploadSource, content_id: ContentId) -> None:
        """Raises Superseded when these bytes are not to be sent any more, BadDigest when they are not what they
        were."""
        if not source.copied and opened.writes != source.writes:
            raise BadDigest("the file was written to while it was sent")
        if self._sendable(out).node.content_id != content_id:
            raise requests.Superseded

    async def _landed(
        self, out: Outgoing, opened: OpenContent, source: UploadSource, item: Item,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:  # fmt: skip
        """The remote holds these bytes. What is decided here without an await holds for the transaction after it:
        a write that comes now finds the content clean, and queues its own transaction behind this one."""
        clean = opened.writes == source.writes
        if clean:
            opened.dirty, opened.settled = False, True
            opened.resident = ((0, source.size),) if source.size else ()
        opened.item_id, opened.version, opened.digest, opened.hashed = (
            item.item_id, item.content_version, item.digest if clean else None, clean,
        )  # fmt: skip
        try:
            await out.conclude(item, What.UPLOADED, clean=clean, also=also)
        except BaseException:  # before the commit, or after it: the catalog tells
            row = contents.get(self._store.db.reader, opened.content_id)
            opened.dirty = row is None or row.dirty
            raise


def _target(action: requests.Create | requests.Overwriting) -> NewFile | Overwrite:
    if isinstance(action, requests.Create):
        return NewFile(parent_id=action.parent_id, name=action.name)
    return Overwrite(item_id=action.item.item_id, base=action.base)
