"""`sync.remote.Remote` for an account of a Nextcloud, over WebDAV and what it has beside it.

The server keeps no feed, no metadata version, no modes, symlinks or extended attributes, and honours no condition on
folders; what is done about each stands in `walk`, `rows`, `changing`, and in sync/REMOTES.md. What the server announces
is asked once, when it is first reached: `capabilities` are final then.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import trio

from sync.remote import Listing, NewFile, Overwrite, Reader, Replaced, Source, Space, Tombstone
from sync.remotes.answers import LIMITS
from sync.remotes.dav.signing import Basic
from sync.remotes.nextcloud.able import BEFORE, able
from sync.remotes.nextcloud.archive import NextcloudArchive
from sync.remotes.nextcloud.asks import look
from sync.remotes.nextcloud.changing import Changing
from sync.remotes.nextcloud.chunks import CHUNK_BYTES, ChunkedUploads
from sync.remotes.nextcloud.door import Door
from sync.remotes.nextcloud.downloads import reading
from sync.remotes.nextcloud.entries import DAV
from sync.remotes.nextcloud.exchange import NextcloudExchange
from sync.remotes.nextcloud.hints import Hints
from sync.remotes.nextcloud.ledger import HERE_MAX_ROWS, Ledger
from sync.remotes.nextcloud.naming import Naming
from sync.remotes.nextcloud.places import Places
from sync.remotes.nextcloud.removing import Removing
from sync.remotes.nextcloud.rows import Entry, item_of
from sync.remotes.nextcloud.storing import Storing
from sync.remotes.nextcloud.walk import root_of, walk
from sync.remotes.paging import Paging
from sync.remotes.without import WithoutExtras

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import httpx

    from cache.model import Anchor, Item, ItemId, Version
    from sync.capabilities import Capabilities
    from sync.remote import ChangePage
    from sync.remotes.nextcloud.announced import Announced
    from sync.sessions import Announced as Content
    from sync.sessions import Stream, UploadId

ROOM_BYTES = 1 << 50  # told as free where nothing limits it: statfs has no word for that
SPACE_PROPERTIES = (f"{DAV}quota-available-bytes", f"{DAV}quota-used-bytes")


class _Opened(NamedTuple):
    """What there is once the server was reached."""

    places: Places
    storing: Storing
    naming: Naming
    removing: Removing
    uploads: ChunkedUploads
    announced: Announced


class NextcloudRemote(WithoutExtras):
    """An account. `url`: http(s)://host[/path] of the server; `state`: a folder of this mount (None: memory)."""

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        state: Path | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: httpx.Limits = LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._exchange = NextcloudExchange(url, Basic(user, password), transport=transport, limits=limits, tls=tls)
        self._ledger = Ledger(None if state is None else state / "nextcloud.db")
        self._chunk_bytes = chunk_bytes
        self._opening = trio.Lock()
        self._opened: _Opened | None = None
        self._paging = Paging(self._ledger, self._walk, self._since)
        self._hints = Hints(self._exchange.url, user, password, tls)
        self.archive = NextcloudArchive(self._reached)

    def __repr__(self) -> str:
        return f"NextcloudRemote({self._exchange.url!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What this server can do."""
        return BEFORE if self._opened is None else able(self._opened.announced)

    async def opened(self) -> _Opened:
        """Reach the server, once."""
        async with self._opening:
            if self._opened is None:
                door = Door(self._exchange)
                announced, user_id = await door.announced(), await door.user_id()
                places = Places(self._exchange, self._ledger, user_id, has_trash=announced.trash)
                changing = Changing(places, announced.names)
                removing, storing = Removing(changing, self.archive), Storing(changing)
                self._opened = _Opened(
                    places,
                    storing,
                    Naming(changing, removing),
                    removing,
                    ChunkedUploads(places, storing, self._chunk_bytes),
                    announced,
                )
            return self._opened

    async def _reached(self) -> Places:
        return (await self.opened()).places

    # --- what is there

    async def root(self) -> Item:
        """Sign in and tell the root."""
        return item_of(await root_of((await self.opened()).places))

    async def newest_anchor(self) -> Anchor:
        """Where the ledger's feed stands."""
        await self._known_root()
        return self._ledger.newest()

    async def changes(self, anchor: Anchor) -> ChangePage:
        """What changed since; AnchorExpired."""
        return await self._paging.after(anchor)

    async def _walk(self) -> None:
        await walk((await self.opened()).places)

    def _since(self, seq: int, limit: int) -> list[tuple[int, Item | Tombstone]]:
        return [(number, _told(state)) for number, state in self._ledger.since(seq, limit)]

    async def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """Once when connected, then whenever something may have changed."""
        self._ledger.position(anchor)
        opened = await self.opened()
        async for _ in self._hints.tell(opened.places, opened.announced.push_url):
            yield None

    async def children(self, folder: ItemId) -> Listing:
        """All children of a folder; Gone."""
        opened = await self.opened()
        anchor = self._ledger.newest()
        return Listing(items=await _items(await opened.places.children(folder)), anchor=anchor)

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """Current state of each."""
        places, asked = (await self.opened()).places, list(dict.fromkeys(item_ids))
        with self._ledger.looking() as looking:
            found = await places.by_ids(asked)
            await places.ledger.bury(
                [each for each in asked if each not in found and self._ledger.entry(each)], looking
            )
        told: dict[ItemId, Item | Tombstone | None] = {}
        for item_id in asked:
            state = self._ledger.get(item_id)
            told[item_id] = None if state is None else _told(state)
        return told

    def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AbstractAsyncContextManager[Reader]:
        """Open bytes [start, stop) of exactly this version; VersionGone."""
        return self._read(item_id, version, start, stop)

    @asynccontextmanager
    async def _read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[Reader]:
        async with reading((await self.opened()).places, item_id, version, start, stop) as reader:
            yield reader

    async def space(self) -> Space:
        """Room, by the account's quota."""
        places = (await self.opened()).places
        told, _ = await self._exchange.looked(look(places.path(""), SPACE_PROPERTIES, depth=0))
        available, used = (
            _count(told.responses[0].text(name) if told.responses else None) for name in SPACE_PROPERTIES
        )
        free = ROOM_BYTES if available is None else available
        return Space(total=(used or 0) + free, free=free)

    # --- changes

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """Store content atomically; Conflict with the item that stands there."""
        return await (await self.opened()).storing.put(target, source, mtime_ns=mtime_ns, mode=mode, key=key)

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Create a folder; Conflict with what holds the name."""
        return await (await self.opened()).naming.make_folder(parent_id, name, mode=mode, mtime_ns=mtime_ns, key=key)

    async def move(
        self, item_id: ItemId, base: Version, parent_id: ItemId, name: str, *, replace: Replaced | None, key: str
    ) -> Item:
        """Move and rename, under `metadata_version == base`."""
        return await (await self.opened()).naming.move(item_id, base, parent_id, name, replace=replace, key=key)

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Change mode and times under `metadata_version == base`."""
        return await (await self.opened()).naming.set_attributes(item_id, base, mode=mode, mtime_ns=mtime_ns, key=key)

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """Move to the trash, under `metadata_version == base`; a folder must be empty (Conflict)."""
        await (await self.opened()).removing.remove(item_id, base, key=key)

    # --- uploads in pieces

    async def begin_upload(self, announced: Content, *, key: str) -> UploadId:
        """A new session; the same one under the same key."""
        return await (await self.opened()).uploads.begin_upload(announced, key=key)

    async def uploaded(self, upload_id: UploadId) -> int:
        """How many bytes are there."""
        return await (await self.opened()).uploads.uploaded(upload_id)

    async def append(self, upload_id: UploadId, stream: Stream, start: int) -> int:
        """Send the rest."""
        return await (await self.opened()).uploads.append(upload_id, stream, start)

    async def commit(
        self,
        upload_id: UploadId,
        announced: Content,
        target: NewFile | Overwrite,
        *,
        mtime_ns: int,
        mode: int,
        key: str,
    ) -> Item:
        """Store the content atomically; Conflict with the item that stands there."""
        uploads = (await self.opened()).uploads
        return await uploads.commit(upload_id, announced, target, mtime_ns=mtime_ns, mode=mode, key=key)

    async def abandon(self, upload_id: UploadId) -> None:
        """End a session, if it is still there."""
        await (await self.opened()).uploads.abandon(upload_id)

    async def keep_spare(self) -> None:
        """Nothing is opened ahead: a PHP server pays for every connection that waits."""
        await trio.sleep_forever()

    async def renew(self, *, drop: bool) -> None:
        """This machine's network is another one."""
        await self._exchange.renew(drop=drop)

    async def aclose(self) -> None:
        """Give back connections."""
        await self._exchange.aclose()
        self._ledger.close()

    async def _known_root(self) -> None:
        if self._ledger.root() is None:
            await self.root()


async def _items(entries: Sequence[Entry]) -> list[Item]:
    """As the seam tells them; those of a large folder are made elsewhere, as programs wait for this thread."""

    def make() -> list[Item]:
        return [item_of(each) for each in entries]

    return make() if len(entries) <= HERE_MAX_ROWS else await trio.to_thread.run_sync(make)


def _told(state: Entry | Tombstone) -> Item | Tombstone:
    return item_of(state) if isinstance(state, Entry) else state


def _count(text: str | None) -> int | None:
    """A number of bytes; None: unlimited or unknown (negative numbers of the server)."""
    return int(text) if text is not None and text.isdecimal() else None
