"""What a server does not offer that keeps files and folders only: asked all the same, each is refused."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import trio

from sync.remote import Gone, Refused, RemoteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from cache.model import Item, ItemId, Version, XattrChanges
    from sync.archive import ContentVersion, Trashed
    from sync.batches import Descendants, Wanted
    from sync.remote import NewFile, Overwrite
    from sync.sessions import Announced, Stream, UploadId


async def _refused(what: str) -> NoReturn:
    await trio.lowlevel.checkpoint()
    raise Refused(f"this server has no {what}", code="not_offered")


async def _nothing() -> AsyncIterator[bytes | RemoteError]:
    for each in list[bytes | RemoteError]():
        yield each


class WithoutExtras:
    """Those parts of `sync.remote.Remote` that no server has which speaks WebDAV."""

    async def make_symlink(self, parent_id: ItemId, name: str, *, target: str, mtime_ns: int, key: str) -> Item:  # noqa: ARG002
        """Refused: no file is taken for a symlink."""
        return await _refused("symlinks")

    async def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges, *, key: str) -> Item:  # noqa: ARG002
        """Refused."""
        return await _refused("extended attributes")

    @asynccontextmanager
    async def read_many(self, wanted: Sequence[Wanted]) -> AsyncIterator[AsyncIterator[bytes | RemoteError]]:
        """Refused, whatever is wanted."""
        if len(wanted) >= 0:
            await _refused("batches")
        yield _nothing()

    async def descendants(self, folder: ItemId, limit: int, cursor: str | None = None) -> Descendants:  # noqa: ARG002
        """Refused."""
        return await _refused("listing of everything below")

    async def blocks(self, item_id: ItemId, version: Version, size: int, block_bytes: int) -> list[bytes]:  # noqa: ARG002
        """Refused."""
        return await _refused("digests of blocks")


class WithoutSessions:
    """`sync.sessions.Sessions`, likewise."""

    async def begin_upload(self, announced: Announced, *, key: str) -> UploadId:  # noqa: ARG002
        """Refused."""
        return await _refused("upload sessions")

    async def uploaded(self, upload_id: UploadId) -> int:  # noqa: ARG002
        """Refused."""
        return await _refused("upload sessions")

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:  # noqa: ARG002
        """Refused."""
        return await _refused("upload sessions")

    async def commit(
        self,
        upload_id: UploadId,  # noqa: ARG002
        announced: Announced,  # noqa: ARG002
        target: NewFile | Overwrite,  # noqa: ARG002
        *,
        mtime_ns: int,  # noqa: ARG002
        mode: int,  # noqa: ARG002
        key: str,  # noqa: ARG002
    ) -> Item:
        """Refused."""
        return await _refused("upload sessions")

    async def abandon(self, upload_id: UploadId) -> None:  # noqa: ARG002
        """Refused."""
        await _refused("upload sessions")


class NoArchive:
    """`sync.archive.Archive` of a server that keeps nothing beside the tree as it is."""

    def __init__(self, names: Callable[[ItemId], Sequence[str] | None]) -> None:
        self._names = names

    async def versions(self, item_id: ItemId, limit: int) -> Sequence[ContentVersion]:  # noqa: ARG002
        """Refused."""
        return await _refused("older versions")

    async def restore_version(self, item_id: ItemId, base: Version, wanted: Version, *, key: str) -> Item:  # noqa: ARG002
        """Refused."""
        return await _refused("older versions")

    async def trash(self, limit: int) -> Sequence[Trashed]:  # noqa: ARG002
        """Refused."""
        return await _refused("trash")

    async def restore(self, item_id: ItemId, *, key: str) -> Item:  # noqa: ARG002
        """Refused."""
        return await _refused("trash")

    async def search(self, text: str, limit: int) -> Sequence[Item]:  # noqa: ARG002
        """Refused."""
        return await _refused("search")

    async def path(self, item_id: ItemId) -> str:
        """Where an item is, as last seen; Gone."""
        await trio.lowlevel.checkpoint()
        names = self._names(item_id)
        if names is None:
            raise Gone("no such item")
        return "/".join(names)
