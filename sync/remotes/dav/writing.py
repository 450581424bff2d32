"""New contents, so that no half of one is ever seen and none that was not seen is overwritten.

A new file is sent under a name of our own and moved to its own by a move that never replaces (or at once under
`If-None-Match: *`, where a move would change its tag). An overwrite happens
under a lock: what stands there is looked at, compared with what was seen, and replaced, while no other client of the
server can write. Without locks `If-Match` does, where it is honoured and uploads are whole or nothing. What stands
there afterwards is believed to be ours only if its size and tag say so.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from cache.model import Item, Kind
from sync.remote import BadDigest, Conflict, Gone, NewFile, Overwrite, Permanent, Refused, RemoteError, Unreachable
from sync.remotes.dav.facts import Entry, Facts, is_weak, opaque, same_content
from sync.remotes.dav.mirror import Ours
from sync.remotes.dav.server import ABSENT
from sync.remotes.sending import durable_s, proven

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.remote import Source
    from sync.remotes.channel import Reply
    from sync.remotes.dav.leftovers import Leftovers, Passing
    from sync.remotes.dav.locking import Lock
    from sync.remotes.dav.looking import Names
    from sync.remotes.dav.server import Server
    from sync.remotes.dav.verifying import Verifier

LOCKED_PUT_MAX_BYTES = 64 << 20  # a larger one is sent before the lock is taken, and moved into place under it


class Writer:
    """`put` of one server."""

    def __init__(self, server: Server, verifier: Verifier, leftovers: Leftovers) -> None:
        self._server = server
        self._verifier = verifier
        self._leftovers = leftovers

    async def put(self, target: NewFile | Overwrite, source: Source, *, mtime_ns: int, mode: int, key: str) -> Item:
        """As `sync.remote.Remote`."""
        ours = Ours(mode=mode & 0o7777, mtime_ns=mtime_ns, digest=source.digest)

        async def act(in_doubt: bool) -> Item:
            with self._leftovers.going_on(key) as passing:
                way = _Way(self._server, source, ours, passing)
                if isinstance(target, NewFile):
                    return (await self._new(target, way, in_doubt=in_doubt)).item
                return (await self._over(target, way, in_doubt=in_doubt)).item

        return await self._server.once.item(key, (target, source.digest, mtime_ns, mode), act)

    def _require_keepable(self, source: Source) -> None:
        if not (source.size or self._server.habits.empty_files):
            raise Refused("this server keeps no empty files: it is sent once it holds something", code="empty_file")

    # --- a name that must be free

    async def _new(self, target: NewFile, way: _Way, *, in_doubt: bool) -> Entry:
        server, place = self._server, (target.parent_id, target.name)
        names = server.place(*place)
        self._require_keepable(way.source)
        known = server.mirror.child(*place)
        if known is not None or in_doubt:
            told = await server.looker.look(names)
            if told is not None:
                if in_doubt and await self._is_ours(names, told, way):
                    return self._stands(place, told, way.ours)
                raise await self._taken(place, names, told, way.source)
            if known is not None:
                server.mirror.bury(known)
        with server.touched.changing(place):
            try:
                told = await self._sent(names, way)
            except Conflict as error:
                told = await server.looker.look(names)
                if told is not None:
                    raise await self._taken(place, names, told, way.source) from error
                raise
            if told is None:
                raise Conflict("it was changed at once", current=await self._now(place, names))
            return self._stands(place, told, way.ours)

    async def _sent(self, names: Names, way: _Way) -> Facts | None:
        """Under a passing name and moved, or at once where that is as safe and a move makes another tag; what stands
        there then, if it is ours."""
        habits = self._server.habits
        if habits.tags_move or not (habits.if_none_match and habits.whole_puts):
            staged = await way.stage(names[:-1])
            await way.move(staged.names, names)
            return await way.landed(names, staged)
        reply = await way.send(names, {"if-none-match": "*"})
        told, tag = await self._server.looker.look(names), reply.headers.get("etag")
        if told is None or told.size != way.source.size:
            return None
        proven = told.size == 0 or tag is None or opaque(told.tag) == opaque(tag)
        return told if proven else None

    def _stands(self, place: tuple[str, str], told: Facts, ours: Ours) -> Entry:
        mirror = self._server.mirror
        parent_id, name = place
        entry = mirror.child(parent_id, name)  # type: ignore[arg-type]  # an ItemId
        if entry is None:
            return mirror.add(parent_id, name, told, ours=ours)  # type: ignore[arg-type]
        return mirror.wrote(entry, told, ours)

    async def _taken(self, place: tuple[str, str], names: Names, told: Facts, source: Source) -> Conflict:
        """What stands there, with its digest if it is of the same size: it may be the very bytes, or what an earlier
        attempt brought whose answer was lost, under another key than what was written since."""
        entry = self._server.saw(place[0], place[1], told)  # type: ignore[arg-type]  # an ItemId
        if entry.kind is Kind.FILE and entry.digest is None and entry.size == source.size:
            entry = await self._verifier.learn(entry, names)
        return Conflict("the name is taken", current=entry.item, code="precondition_failed")

    async def _now(self, place: tuple[str, str], names: Names) -> Item | None:
        told = await self._server.looker.look(names)
        return None if told is None else self._server.saw(place[0], place[1], told).item  # type: ignore[arg-type]

    async def _is_ours(self, names: Names, told: Facts, way: _Way) -> bool:
        """Whether an attempt whose answer was lost led to what stands there."""
        if told.kind is not Kind.FILE or told.size != way.source.size:
            return False
        return await self._verifier.digest(names, told) == way.source.digest

    # --- a content that must be the one that was seen

    async def _over(self, target: Overwrite, way: _Way, *, in_doubt: bool) -> Entry:
        server = self._server
        entry = server.known(target.item_id)
        if entry.kind is not Kind.FILE:
            raise Conflict("no file", current=entry.item, code="is_a_folder")
        self._require_keepable(way.source)
        names, place = server.names(entry), (entry.parent_id, entry.name)
        if in_doubt or entry.settles_s is not None:
            told = await server.looker.look(names)
            changed = told is not None and not same_content(entry, told)
            if in_doubt and told is not None and changed and await self._is_ours(names, told, way):
                return server.mirror.wrote(server.known(entry.item_id), told, way.ours)
            if entry.settles_s is not None and not self._verifier.is_our_own(entry):
                entry = await self._verifier.settled(entry, names)
        if entry.content_version != target.base:
            raise Conflict("it changed", current=entry.item, code="precondition_failed")
        with server.touched.changing(place):
            told = await self._replaced(entry, names, way)
            return server.mirror.wrote(server.known(entry.item_id), told, way.ours)

    async def _replaced(self, entry: Entry, names: Names, way: _Way) -> Facts:
        habits = self._server.habits
        if habits.locks:
            return await self._under_lock(entry, names, way)
        told = await self._same(entry, names)
        if habits.if_match and habits.whole_puts and not is_weak(told.tag):
            headers = {"if-match": told.tag or ""}
        elif self._server.unsafe:
            headers = {}
        else:
            raise Refused("this server honours no condition: it is read-only", code="read_only")
        try:
            reply = await way.send(names, headers)
        except Conflict:
            await self._same(entry, names)
            raise
        return await self._landed(entry, names, way, reply.headers.get("etag"))

    async def _under_lock(self, entry: Entry, names: Names, way: _Way) -> Facts:
        server = self._server
        staged = None
        if way.source.size > LOCKED_PUT_MAX_BYTES or not server.habits.whole_puts:
            staged = await way.stage(names[:-1])
        try:
            async with server.locks.held(names, size=way.source.size) as lock:
                await self._same(entry, names)
                if staged is None:
                    await way.send(names, lock.headers(server.exchange.url_of(names)))
                    return await self._landed(entry, names, way, None)
                await way.move(staged.names, names, lock)
            told = await way.landed(names, staged)
        except Permanent:
            if staged is not None:
                await way.clear(staged.names)
            raise
        return told or await self._landed(entry, names, way, "")

    async def _same(self, entry: Entry, names: Names) -> Facts:
        """What stands there, if it is what was seen; Conflict, Gone."""
        told = await self._server.looker.look(names)
        now = self._server.known(entry.item_id)
        if told is None:
            raise Gone("it is not there")
        if told.kind is not entry.kind or not same_content(entry, told) or now.content != entry.content:
            seen = self._server.mirror.refresh(now, told) if told.kind is entry.kind else now
            raise Conflict("it changed", current=seen.item, code="precondition_failed")
        return told

    async def _landed(self, entry: Entry, names: Names, way: _Way, tag: str | None) -> Facts:
        """What stands there after it was sent; `tag` as answered: another one is somebody else's content."""
        told = await self._server.looker.look(names)
        foreign = told is None or told.size != way.source.size
        if tag is not None and told is not None:
            foreign = foreign or opaque(told.tag) != opaque(tag)
        if foreign or told is None:
            now = self._server.known(entry.item_id)
            current = now.item if told is None else self._server.mirror.refresh(now, told).item
            raise Conflict("it was changed at once", current=current, code="precondition_failed")
        return told


class _Staged:
    """A whole upload under a name of our own."""

    def __init__(self, names: Names, told: Facts) -> None:
        self.names, self.told = names, told


class _Way:
    """One content on its way; `passing` is its name until it has its own."""

    def __init__(self, server: Server, source: Source, ours: Ours, passing: Passing) -> None:
        self._server, self.source, self.ours, self._passing = server, source, ours, passing

    async def send(self, names: Names, headers: Mapping[str, str]) -> Reply:
        """The bytes, to an address; a source that does not hold what it announced breaks it off."""
        size = self.source.size
        fields = {"content-length": str(size), "content-type": "application/octet-stream"}
        async with contextlib.aclosing(proven(self.source)) as body:
            return await self._server.change(
                "PUT", names, headers={**fields, **headers}, content=body, patience_s=durable_s(size)
            )

    async def stage(self, folder: Names) -> _Staged:
        """Send it under its passing name."""
        names = (*folder, self._passing.name)
        self._passing.note(folder)
        try:
            await self.send(names, {})
        except BadDigest:
            await self.clear(names)
            raise
        told = await self._server.looker.look(names)
        if told is None or told.size != self.source.size:
            raise Unreachable("what arrived is not what was sent")
        return _Staged(names, told)

    async def move(self, staged: Names, names: Names, lock: Lock | None = None) -> None:
        """Give it its name; over what is there only under a lock. What is refused is cleared away."""
        headers = self._server.to(names, over=lock is not None)
        if lock is not None:
            headers |= lock.headers(self._server.exchange.url_of(names))
        try:
            await self._server.change("MOVE", staged, headers=headers)
        except Permanent:
            await self.clear(staged)
            raise
        self._passing.forget()

    async def landed(self, names: Names, staged: _Staged) -> Facts | None:
        """What stands under its name, if that is still ours."""
        if self._server.habits.tags_move and not is_weak(staged.told.tag):
            return staged.told
        told = await self._server.looker.look(names)
        if told is None or (told.size, told.mtime_ns) != (staged.told.size, staged.told.mtime_ns):
            return None
        if self._server.habits.tags_move and opaque(told.tag) != opaque(staged.told.tag):
            return None
        return told if self._server.habits.tags_move else replace(told, settles_s=self._server.exchange.server_s)

    async def clear(self, names: Names) -> None:
        """Take away what is under a passing name."""
        with contextlib.suppress(RemoteError):
            await self._server.change("DELETE", names, also=ABSENT)
            self._passing.forget()
