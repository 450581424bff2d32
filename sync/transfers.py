"""Brings the bytes of large files to the remote in pieces, before anything is said of where they belong.

What is under way is in the catalog (`cache.uploads`) before it begins: after a crash of either side, a cut, or a
conflict, it goes on where the remote stands. If the remote holds the content that a file was edited from, only what
differs travels (`sync.delta`); a delta that the remote does not take gives way to the whole.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import uploads
from cache.failpoints import reached
from cache.model import ContentId, Item, ItemId, Version
from sync.capabilities import Feature
from sync.delta import Base, Recipe, block_bytes_for
from sync.remote import (
    BadDigest,
    Conflict,
    Gone,
    NewFile,
    Overwrite,
    Permanent,
    Refused,
    Remote,
    UploadGone,
    VersionGone,
)
from sync.requests import Superseded
from sync.sessions import Announced, Over, Stream, UploadId
from sync.upload_source import DeltaStream, UploadSource, recipe_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from cache.store import LocalStore
    from cache.uploads import Upload

IN_PIECES_BYTES = 4 << 20  # below, one request with everything in it costs less than the two more of a session
DELTA_WORTH = 0.75  # a delta that saves less than the rest of the content is not worth its base

Basis = tuple[ItemId, Version, int]  # the content that a delta is over, and its size


@dataclass(frozen=True, slots=True)
class Brought:
    """All bytes are there; `row` is to be forgotten in the transaction that takes in the answer to the commit."""

    row: Upload
    upload_id: UploadId
    announced: Announced


class Transfers:
    """Sessions of one remote."""

    def __init__(self, store: LocalStore, remote: Remote) -> None:
        self._store = store
        self._remote = remote
        self._whole: set[ContentId] = set()  # whose delta was refused: not tried again by this process

    def takes(self, size: int) -> bool:
        """Whether a file of this size goes in pieces."""
        return size >= IN_PIECES_BYTES and Feature.SESSIONS in self._remote.capabilities.features

    async def bring(
        self, content_id: ContentId, source: UploadSource, item: Item | None, watched: Callable[[Stream], Stream]
    ) -> Brought:
        """Send what the remote does not hold yet. `item`: at the version that this content was edited from.

        Raises RemoteError, and what `watched` makes a stream raise.
        """
        basis = None if content_id in self._whole else self._basis(item)
        row = await self._kept(content_id, source)
        while True:
            stream = None
            if row is None:
                row, stream = await self._plan(content_id, source, basis)
            try:
                return await self._go_on(row, source, stream, watched)
            except UploadGone:
                await self._give_up(row)
                if stream is not None:  # of a session that was begun a moment ago
                    raise
            except (VersionGone, Gone, Refused):
                if row.over_item_id is None:
                    raise
                await self._give_up(row)
                basis = None
            row = None

    async def commit(
        self, brought: Brought, target: NewFile | Overwrite, *, mtime_ns: int, mode: int, key: str
    ) -> Item:
        """As the remote; a session that cannot become an item any more is given up, with UploadGone."""
        row = brought.row
        try:
            return await self._remote.commit(
                brought.upload_id, brought.announced, target, mtime_ns=mtime_ns, mode=mode, key=key
            )
        except Conflict as error:
            if error.code == "upload_committed":  # by a request of ours whose answer we did not hear
                await self._give_up(row)
            raise
        except (UploadGone, VersionGone, BadDigest, Refused) as error:
            await self._give_up(row)
            if row.over_item_id is None or row.content_id is None:
                raise
            self._whole.add(row.content_id)
            raise UploadGone(f"the delta was not taken: {error}") from error

    def _basis(self, item: Item | None) -> Basis | None:
        if item is None or item.content_version is None or item.size < IN_PIECES_BYTES:
            return None
        return (
            (item.item_id, item.content_version, item.size)
            if Feature.DELTAS in self._remote.capabilities.features
            else None
        )

    async def _kept(self, content_id: ContentId, source: UploadSource) -> Upload | None:
        """What is under way of exactly this content; of another state of it nobody wants it."""
        row = uploads.of_content(self._store.db.reader, content_id)
        if row is not None and (row.digest, row.size) != (source.digest, source.size):
            await self._give_up(row)
            return None
        return row

    async def _give_up(self, row: Upload) -> None:
        await self._store.db.write(lambda connection: uploads.give_up(connection, row))

    async def _plan(self, content_id: ContentId, source: UploadSource, basis: Basis | None) -> tuple[Upload, Stream]:
        recipe = None
        if basis is not None:
            with suppress(Permanent):  # the remote cannot tell
                recipe = await self._recipe(source, basis)
        if recipe is None or recipe.size > source.size * DELTA_WORTH:
            basis = recipe = None
        stream: Stream = source if recipe is None else DeltaStream(source.fd, recipe)

        def begin(connection: sqlite3.Connection) -> Upload:
            return uploads.begin(
                connection, content_id, digest=source.digest, size=source.size, stream_bytes=stream.size, over=basis,
                recipe=None if recipe is None else recipe.identity,
            )  # fmt: skip

        row = await self._store.db.write(begin)
        reached("upload-planned")
        return row, stream

    async def _recipe(self, source: UploadSource, basis: Basis) -> Recipe:
        item_id, version, size = basis
        block_bytes = block_bytes_for(size)
        digests = await self._remote.blocks(item_id, version, size, block_bytes)
        return await recipe_of(source, Base(size, block_bytes, digests))

    async def _go_on(
        self, row: Upload, source: UploadSource, stream: Stream | None, watched: Callable[[Stream], Stream]
    ) -> Brought:
        """From where the remote stands; UploadGone when there is nothing to go on with."""
        announced = _announced(row)
        upload_id = UploadId(row.remote_id) if row.remote_id is not None else await self._begun(row, announced)
        stands = await self._remote.uploaded(upload_id)
        if stands < row.stream_bytes:
            stream = stream or await self._again(row, source)
            stands = await self._remote.append(upload_id, watched(stream), stands)
            reached("upload-sent")
        if stands != row.stream_bytes:
            raise UploadGone("the remote holds another number of bytes than were sent")
        return Brought(row, upload_id, announced)

    async def _begun(self, row: Upload, announced: Announced) -> UploadId:
        try:
            upload_id = await self._remote.begin_upload(announced, key=row.key)
        except Permanent:  # the remote repeats that answer under this key
            await self._give_up(row)
            raise
        reached("upload-begun")
        if not await self._store.db.write(lambda connection: uploads.begun(connection, row, upload_id)):
            await self._remote.abandon(upload_id)  # nobody wants it any more
            raise Superseded
        reached("upload-known")
        return upload_id

    async def _again(self, row: Upload, source: UploadSource) -> Stream:
        """The stream of an upload that was begun earlier; UploadGone when it cannot be made again."""
        if row.over_item_id is None or row.over_version is None or row.over_size is None:
            return source
        with suppress(Permanent):
            recipe = await self._recipe(source, (row.over_item_id, row.over_version, row.over_size))
            if (recipe.identity, recipe.size) == (row.recipe, row.stream_bytes):
                return DeltaStream(source.fd, recipe)
        raise UploadGone("the delta cannot be told again")


def _announced(row: Upload) -> Announced:
    over = None
    if row.over_item_id is not None and row.over_version is not None:
        over = Over(item_id=row.over_item_id, version=row.over_version)
    return Announced(size=row.size, digest=row.digest, stream_bytes=row.stream_bytes, over=over)
