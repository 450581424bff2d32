"""`sync.remote.Remote` for our own protocol, over HTTP/1.1.

Each method is one request, but for `children` and `get_many`, which page. An answer about another item than
the one asked for is a ProtocolViolation. Errors of a Source while it is read pass through: they are the
caller's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import trio

from cache.model import Anchor, Item, ItemId, Version, XattrChanges
from sync.capabilities import EVERYTHING, Capabilities
from sync.remote import (
    ChangePage,
    Listing,
    NewFile,
    Overwrite,
    ProtocolViolation,
    Reader,
    RemoteError,
    Replaced,
    Source,
    Space,
    Tombstone,
)
from sync.remotes.anchor.archive import AnchorArchive
from sync.remotes.anchor.events import EventCounter
from sync.remotes.anchor.exchange import Exchange
from sync.remotes.anchor.frames import Frames, batch_ask
from sync.remotes.anchor.sending import if_match, json_ask, put_ask, quoted_key, require_stored
from sync.remotes.anchor.sessions import AnchorSessions
from sync.remotes.anchor.times import text_of_ns
from sync.remotes.anchor.walks import descendants_ask, page_of
from sync.remotes.anchor.wire import (
    Changed,
    WireChanges,
    WireChildren,
    WireItem,
    WireResults,
    WireSpace,
    item_of,
    result_of,
    tombstone_of,
)
from sync.remotes.answers import LIMITS, Answer
from sync.remotes.asking import Ask, segment, translated
from sync.remotes.reading import ContentReader, bounds_of, content_ask
from sync.remotes.sending import checked_name, exactly

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx

    from sync.batches import Descendants, Wanted

TURN = 200  # items translated before others have their turn: a millisecond
PAGE = 1000  # items per page: what the protocol allows at most
CHILDREN_MAX = 4_000_000  # beyond this a folder is taken for an endless one
HINTS_READ_S = 45.0  # three missed comment lines
NEWEST = Ask(method="GET", path="changes", query=(("limit", "0"),))


class AnchorRemote(AnchorSessions):
    """A drive behind our own protocol. `url` is http(s)://host[:port][/prefix]; ValueError when it is not."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: httpx.Limits = LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(Exchange(url, token, transport=transport, limits=limits, tls=tls))
        self.archive = AnchorArchive(self._exchange)

    def __repr__(self) -> str:
        return f"AnchorRemote({self._exchange.url!r})"

    @property
    def capabilities(self) -> Capabilities:
        """The protocol was made for it."""
        return EVERYTHING

    async def root(self) -> Item:
        """Sign in and tell the root."""
        root = item_of(await self._exchange.answer(Ask(method="GET", path="root"), WireItem))
        if root.parent_id is not None:
            raise ProtocolViolation("the root has a parent")
        return root

    async def newest_anchor(self) -> Anchor:
        """Where the feed stands now."""
        return Anchor((await self._exchange.answer(NEWEST, WireChanges)).anchor)

    async def keep_spare(self) -> None:
        """Have connections open for who comes next, until cancelled."""
        await self._exchange.keep_spare(NEWEST)

    async def renew(self, *, drop: bool) -> None:
        """This machine's network is another one: open new connections, and drop those that cannot live."""
        await self._exchange.renew(drop=drop)

    async def changes(self, anchor: Anchor) -> ChangePage:
        """What changed since; AnchorExpired."""
        ask = Ask(method="GET", path="changes", query=(("anchor", anchor), ("limit", str(PAGE))))
        page = await self._exchange.answer(ask, WireChanges)
        if page.has_more and page.anchor == anchor:
            raise ProtocolViolation("the feed has more, but does not move")
        changes: list[Item | Tombstone] = []
        for at in range(0, len(page.changes), TURN):
            part = page.changes[at : at + TURN]
            changes += [item_of(each.item) if isinstance(each, Changed) else tombstone_of(each) for each in part]
            await trio.lowlevel.checkpoint()  # a page takes milliseconds, and programs wait meanwhile
        return ChangePage(changes=changes, anchor=Anchor(page.anchor), has_more=page.has_more)

    async def hints(self, anchor: Anchor) -> AsyncIterator[None]:
        """Once when connected, then per event; ends with the stream, Unreachable when it falls silent."""
        ask = Ask(
            method="GET",
            path="changes/stream",
            query=(("anchor", anchor),),
            headers={"accept": "text/event-stream"},
            read_s=HINTS_READ_S,
        )
        async with self._exchange.opened(ask) as answer:
            if answer.headers.get("content-type", "").split(";")[0].strip() != "text/event-stream":
                raise ProtocolViolation("the stream of hints is no event stream")
            yield None
            counter = EventCounter()
            while (chunk := await _next(answer, ask)) is not None:
                for _ in range(counter.feed(chunk)):
                    yield None

    async def children(self, folder: ItemId) -> Listing:
        """All children of a folder, an item that moved between pages once, as last told; Gone."""
        items: dict[ItemId, Item] = {}
        page = await self._children_page(folder, None)
        anchor, count = page.anchor, 0
        while True:
            for item in map(item_of, page.items):
                if item.parent_id != folder:
                    raise ProtocolViolation("a folder lists a child of another one")
                items[item.item_id] = item
            if page.cursor is None:
                return Listing(items=list(items.values()), anchor=Anchor(anchor))
            count += len(page.items)
            if not page.items or count > CHILDREN_MAX:
                raise ProtocolViolation("a listing without an end")
            page = await self._children_page(folder, page.cursor)
            if page.anchor != anchor:
                raise ProtocolViolation("the pages of one listing tell different anchors")

    async def _children_page(self, folder: ItemId, cursor: str | None) -> WireChildren:
        query = [("limit", str(PAGE))] + ([] if cursor is None else [("cursor", cursor)])
        ask = Ask(method="GET", path=f"items/{segment(folder)}/children", query=query, asked=folder)
        return await self._exchange.answer(ask, WireChildren)

    async def get_many(self, item_ids: Sequence[ItemId]) -> dict[ItemId, Item | Tombstone | None]:
        """Current state of each, in batches of PAGE."""
        asked = list(dict.fromkeys(item_ids))
        known: dict[ItemId, Item | Tombstone | None] = {}
        for at in range(0, len(asked), PAGE):
            batch = asked[at : at + PAGE]
            ask = json_ask("POST", "items:batchGet", {"item_ids": batch}, mutates=False)
            answer = await self._exchange.answer(ask, WireResults)
            told = {ItemId(result.item_id): result_of(result) for result in answer.results}
            if told.keys() != set(batch):
                raise ProtocolViolation("a batch answers other ids than were asked")
            known |= told
        return known

    @contextlib.asynccontextmanager
    async def read(self, item_id: ItemId, version: Version, start: int, stop: int) -> AsyncIterator[Reader]:
        """Open bytes [start, stop) of exactly this version; an empty range asks for the whole content."""
        path, query = f"items/{segment(item_id)}/content", (("version", version),)
        ask = content_ask(path, start, stop, query=query, asked=item_id)
        async with self._exchange.opened(ask) as answer:
            yield ContentReader(answer, ask, bounds_of(answer, f'"{version}"', start, stop))

    @contextlib.asynccontextmanager
    async def read_many(self, wanted: Sequence[Wanted]) -> AsyncIterator[AsyncIterator[bytes | RemoteError]]:
        """Whole contents of exactly these versions, in this order."""
        ask = batch_ask(wanted)
        async with self._exchange.opened(ask) as answer:
            yield Frames(answer, ask, wanted)

    async def descendants(self, folder: ItemId, limit: int, cursor: str | None = None) -> Descendants:
        """A page of everything below a folder, breadth first; Gone."""
        ask = descendants_ask(folder, limit, cursor)
        return page_of(await self._exchange.body(ask), ask, folder, limit)

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """Store content atomically; Conflict with the item that stands there."""
        async with contextlib.aclosing(exactly(source)) as body:
            ask = put_ask(target, source, body, mtime_ns=mtime_ns, mode=mode, key=key)
            item = item_of(await self._exchange.answer(ask, WireItem))
        return require_stored(item, target, size=source.size, digest=source.digest)

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Create a folder; Conflict with what holds the name."""
        return await self._make(parent_id, name, {"kind": "folder", "mode": mode}, mtime_ns, key)

    async def make_symlink(self, parent_id: ItemId, name: str, *, target: str, mtime_ns: int, key: str) -> Item:
        """Create a symlink; Conflict with what holds the name."""
        return await self._make(parent_id, name, {"kind": "symlink", "symlink_target": target}, mtime_ns, key)

    async def _make(self, parent_id: ItemId, name: str, facts: Mapping[str, Any], mtime_ns: int, key: str) -> Item:
        body = {
            "parent_id": parent_id,
            "name": checked_name(name),
            "modified_at": text_of_ns(mtime_ns),
            "conflict": "fail",
            **facts,
        }
        item = item_of(await self._exchange.answer(json_ask("POST", "items", body, key=key), WireItem))
        if item.parent_id != parent_id or item.kind != facts["kind"]:
            raise ProtocolViolation("another item was made than was asked for")
        return item

    async def move(
        self,
        item_id: ItemId,
        base: Version,
        parent_id: ItemId,
        name: str,
        *,
        replace: Replaced | None,
        key: str,
    ) -> Item:
        """Move and rename in one transaction, under `metadata_version == base`."""
        body: dict[str, Any] = {"parent_id": parent_id, "name": checked_name(name)}
        if replace is not None:
            body["replace"] = {"item_id": replace.item_id, "content_version": replace.content_version}
        return await self._patch(item_id, base, body, key)

    async def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int, key: str) -> Item:
        """Change mode and times under `metadata_version == base`."""
        return await self._patch(item_id, base, {"mode": mode, "modified_at": text_of_ns(mtime_ns)}, key)

    async def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges, *, key: str) -> Item:
        """Change these extended attributes and no others under `metadata_version == base`."""
        return await self._patch(item_id, base, {"xattrs": dict(changes)}, key)

    async def _patch(self, item_id: ItemId, base: Version, body: Mapping[str, Any], key: str) -> Item:
        ask = json_ask("PATCH", f"items/{segment(item_id)}", body, headers=if_match(base), key=key, asked=item_id)
        item = item_of(await self._exchange.answer(ask, WireItem))
        if item.item_id != item_id:
            raise ProtocolViolation(f"{ask} was answered with another item")
        return item

    async def remove(self, item_id: ItemId, base: Version, *, key: str) -> None:
        """Move to the trash, under `metadata_version == base`; a folder must be empty (Conflict)."""
        ask = Ask(
            method="DELETE",
            path=f"items/{segment(item_id)}",
            headers={**if_match(base), "idempotency-key": quoted_key(key)},
            mutates=True,
            asked=item_id,
            expect=frozenset({204}),
        )
        await self._exchange.body(ask)

    async def space(self) -> Space:
        """Room on the remote."""
        room = await self._exchange.answer(Ask(method="GET", path="space"), WireSpace)
        return Space(total=room.total, free=min(room.free, room.total))

    async def aclose(self) -> None:
        """Give back connections."""
        await self._exchange.aclose()


async def _next(answer: Answer, ask: Ask) -> bytes | None:
    """The next piece of the stream; None at its end."""
    with translated(ask):
        return await anext(answer, None)
