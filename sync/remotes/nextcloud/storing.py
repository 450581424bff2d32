"""Contents: a new file, or another content of one, under the strongest condition the server honours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Item, Kind
from sync.remote import Busy, Conflict, Gone, NewFile, Overwrite, RemoteError, Source
from sync.remotes.asking import Ask
from sync.remotes.nextcloud.asks import if_match
from sync.remotes.nextcloud.changing import MTIME_MIN_S, NS, REFUSALS, STORED, Changing
from sync.remotes.nextcloud.entries import bare
from sync.remotes.nextcloud.rows import Entry, item_of
from sync.remotes.sending import durable_s, proven

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from sync.remotes.channel import Reply

TRIES = 3  # with what a look showed in between


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A content on its way."""

    size: int
    digest: str
    mtime_ns: int

    def is_in(self, entry: Entry, etag: str) -> bool:
        """Whether an entry holds it: by its digest; where the server keeps none, by the ETag it was given."""
        if entry.kind is not Kind.FILE or entry.size != self.size:
            return False
        return entry.digest == self.digest or (entry.digest is None and bool(etag) and entry.etag == etag)


Send = Callable[[str, "Mapping[str, str]", int], "Awaitable[str]"]
"""Puts the content to a path under a condition, with a time in seconds; tells the ETag it was given."""


class Storing:
    """Stores contents."""

    def __init__(self, changing: Changing) -> None:
        self.changing = changing

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """Store content; Conflict with what stands there."""
        headers = {"content-type": "application/octet-stream", "content-length": str(source.size)}

        async def send(path: str, condition: Mapping[str, str], mtime_s: int) -> str:
            async with aclosing(proven(source)) as body:
                ask = Ask(
                    method="PUT", path=self.changing.places.path(path), content=body, mutates=True, expect=STORED,
                    headers={**headers, **condition, **content_headers(source.digest, mtime_s)},
                    read_s=durable_s(source.size), answer_s=float("inf"),
                )  # fmt: skip
                return etag_told(await self.changing.places.exchange.reply(ask))

        brought = Brought(size=source.size, digest=source.digest, mtime_ns=mtime_ns)
        return await self.stored(target, brought, send, mode=mode, key=key)

    async def stored(self, target: NewFile | Overwrite, brought: Brought, send: Send, *, mode: int, key: str) -> Item:
        """Have `send` put a content to a path under a condition, and see what came of it."""

        async def act(_: bool) -> Item:
            if isinstance(target, NewFile):
                entry = await self._create(target, brought, send)
            else:
                entry = await self._overwrite(target, brought, send)
            await self.changing.places.ledger.keep(entry.item_id, mode=mode & 0o7777, mtime_ns=brought.mtime_ns)
            return item_of(self.changing.known(entry))

        return await self.changing.once.item(key, ("put", target, brought.digest), act)

    async def _create(self, target: NewFile, brought: Brought, send: Send) -> Entry:
        path = await self.changing.new_path(target.parent_id, target.name)
        refusal: RemoteError | None = None
        etag = ""
        try:
            etag = await send(path, {"if-none-match": "*"}, brought.mtime_ns // NS)
        except REFUSALS as error:
            refusal = error
        there = await self.changing.places.at(path)
        if there is not None and brought.is_in(there, etag):
            return there
        if there is not None:
            raise Conflict("the name is taken", current=item_of(there), code="name_taken")
        await self.changing.need_folder(target.parent_id)
        raise refusal or Gone("what was stored is gone again")

    async def _overwrite(self, target: Overwrite, brought: Brought, send: Send) -> Entry:
        refusal: RemoteError = Busy("the file keeps moving")
        for _ in range(TRIES):
            entry = await self._at_base(target, brought)
            if entry.version != target.base:
                return entry  # these very bytes are there
            path, mtime_s = self.changing.places.ledger.path(entry.item_id) or "", brought.mtime_ns // NS
            if (entry.size, entry.mtime_s) == (brought.size, mtime_s):
                mtime_s += 1  # else the ETag would stay as it is, and whoever saw the old content could overwrite ours
            try:
                etag = await send(path, if_match(entry.etag), mtime_s)
            except Busy:
                raise
            except REFUSALS as error:
                refusal = error
                await self.changing.places.need(target.item_id)
                continue
            there = await self.changing.places.need(target.item_id)
            if brought.is_in(there, etag):
                return there
            raise Conflict("it was replaced at once", current=item_of(there))
        raise refusal if not isinstance(refusal, Conflict | Gone) else Busy(str(refusal))

    async def _at_base(self, target: Overwrite, brought: Brought) -> Entry:
        """The file at `base`, its ETag settled; or as it is, when it holds the new bytes already. Conflict."""
        entry = self.changing.places.ledger.entry(target.item_id)
        if entry is None or entry.version != target.base or not entry.settled:
            entry = await self.changing.settled(target.item_id, target.base)
        if entry.version == target.base or brought.is_in(entry, ""):
            return entry
        raise Conflict("another content than the one that was edited", current=item_of(entry))


def content_headers(digest: str, mtime_s: int) -> dict[str, str]:
    """What the server is to keep beside a content."""
    claimed = {"oc-checksum": "SHA256:" + digest.removeprefix("sha-256:")}
    return claimed | ({"x-oc-mtime": str(mtime_s)} if mtime_s > MTIME_MIN_S else {})


def etag_told(reply: Reply) -> str:
    """The ETag that was given to what was stored; "" when none was told."""
    return bare(reply.headers.get("oc-etag"))
