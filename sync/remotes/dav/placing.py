"""Folders, moves and removals.

A DELETE of a folder takes along what it holds, and a server compares nothing before: so a folder is moved aside first,
to a name of our own, looked into there, and only then removed; if it holds anything it is moved back. A move replaces
only under a lock. What a lost answer led to is told by looking at both places.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace as with_
from typing import TYPE_CHECKING

from cache.model import Kind
from sync.remote import Conflict, Gone, Refused
from sync.remotes.dav.facts import is_weak, same_content
from sync.remotes.dav.leftovers import is_left_behind
from sync.remotes.dav.looking import RESERVED, is_reserved
from sync.remotes.dav.mirror import Ours
from sync.remotes.dav.server import ABSENT

if TYPE_CHECKING:
    from cache.model import Item, ItemId, Version
    from sync.remote import Replaced
    from sync.remotes.dav.facts import Entry, Facts
    from sync.remotes.dav.looking import Listed, Names
    from sync.remotes.dav.server import Server

NOT_MADE = frozenset({400, 403, 405, 409})  # what servers say of a name that is taken, or of a folder that is not there


class Placer:
    """What of one server changes names."""

    def __init__(self, server: Server) -> None:
        self._server = server

    # --- folders

    async def make_folder(self, parent_id: ItemId, name: str, *, mode: int, mtime_ns: int, key: str) -> Item:
        """As `sync.remote.Remote`."""
        server = self._server

        async def act(in_doubt: bool) -> Item:
            names = server.place(parent_id, name)
            known = server.mirror.child(parent_id, name)
            if known is not None and known.kind is not Kind.FOLDER and (now := await server.seen(known)) is not None:
                raise Conflict("taken", current=now.item, code="name_taken")  # servers exist that have both then
            with server.touched.changing((parent_id, name)):
                reply = await server.change("MKCOL", names, folder=True, also=NOT_MADE)
                told = await server.looker.look(names, folder=True)
                made = 200 <= reply.status < 300 or (in_doubt and told is not None and told.kind is Kind.FOLDER)
                if told is None:
                    raise await self._no_place(parent_id)
                if not made:
                    raise Conflict("taken", current=server.saw(parent_id, name, told).item, code="name_taken")
                known = server.mirror.child(parent_id, name)
                if known is not None:
                    server.mirror.bury(known)
                entry = server.mirror.add(parent_id, name, told, ours=Ours(mode=mode & 0o7777, mtime_ns=mtime_ns))
                return server.mirror.note(entry, listed=True).item  # it was made a moment ago: empty

        return await server.once.item(key, ("folder", parent_id, name, mode, mtime_ns), act)

    async def _no_place(self, parent_id: ItemId) -> Gone | Conflict | Refused:
        """Why nothing could be made in a folder."""
        parent = self._server.known(parent_id)
        told = await self._server.looker.look(self._server.names(parent), folder=True)
        if told is None:
            return Gone("its folder is not there")
        if told.kind is not Kind.FOLDER:
            return Conflict("its folder is a file", current=parent.item, code="not_a_folder")
        return Refused("the server does not make it")

    # --- moves

    async def move(  # noqa: PLR0917
        self, item_id: ItemId, base: Version, parent_id: ItemId, name: str, replace: Replaced | None, key: str
    ) -> Item:
        """As `sync.remote.Remote`."""

        async def act(in_doubt: bool) -> Item:
            return await self._moved(_Move(item_id, base, parent_id, name, replace), key, in_doubt=in_doubt)

        return await self._server.once.item(key, ("move", item_id, base, parent_id, name, replace), act)

    async def _moved(self, move: _Move, key: str, *, in_doubt: bool) -> Item:
        server = self._server
        entry, to = server.known(move.item_id), server.place(move.parent_id, move.name)
        if entry.parent_id is None or server.mirror.is_below(move.parent_id, move.item_id):
            raise Conflict("into itself", current=entry.item, code="would_cycle")
        server.at_base(entry, move.base)
        at = server.names(entry)
        now = await server.looker.look(at, folder=entry.kind is Kind.FOLDER)
        if now is None or now.kind is not entry.kind:
            return await self._settled_move(entry, move, to, in_doubt=in_doubt)
        entry = server.mirror.refresh(server.known(move.item_id), now)
        server.at_base(entry, move.base)
        if to == at:
            return entry.item
        with server.touched.changing((entry.parent_id, entry.name), (move.parent_id, move.name)):
            if move.replace is None:
                await self._to_free_name(entry, move, at, to, now)
            else:
                await self._over(entry, move, at, to, key)
            return self._placed(entry, move, await server.looker.look(to, folder=entry.kind is Kind.FOLDER)).item

    async def _settled_move(self, entry: Entry, move: _Move, to: Names, *, in_doubt: bool) -> Item:
        """It is not where it was: our own doing, if it is at the new place."""
        told = await self._server.looker.look(to, folder=entry.kind is Kind.FOLDER)
        alike = told is not None and told.kind is entry.kind and told.size == entry.size
        if not (in_doubt and alike):
            raise Gone("it is not where it was")
        if move.replace is not None:
            self._bury(move.replace.item_id)
        return self._placed(entry, move, told).item

    async def _to_free_name(self, entry: Entry, move: _Move, at: Names, to: Names, now: Facts) -> None:
        server, folder = self._server, entry.kind is Kind.FOLDER
        known = server.mirror.child(move.parent_id, move.name)
        there = None if known is None and server.habits.overwrite_f else await server.looker.look(to)
        if there is not None:
            current = server.saw(move.parent_id, move.name, there).item
            raise Conflict("the name is taken", current=current, code="name_taken")
        if known is not None:
            server.mirror.bury(known)
        headers = server.to(to, folder=folder)
        if not folder and server.habits.if_match and not is_weak(now.tag):
            headers["if-match"] = now.tag or ""
        try:
            await server.change("MOVE", at, headers=headers, folder=folder)
        except (Conflict, Gone) as error:
            there = await server.looker.look(to)
            if there is None:
                raise await self._no_place(move.parent_id) from error
            current = server.saw(move.parent_id, move.name, there).item
            raise Conflict("the name is taken", current=current, code="name_taken") from error

    async def _over(self, entry: Entry, move: _Move, at: Names, to: Names, key: str) -> None:
        """In place of what was seen there."""
        server, replaced = self._server, move.replace
        there = server.mirror.child(move.parent_id, move.name)
        if there is None or replaced is None or there.item_id != replaced.item_id:
            current = None if there is None else there.item
            raise Conflict("something else stands there", current=current, code="precondition_failed")
        if (there.kind is Kind.FOLDER) is not (entry.kind is Kind.FOLDER):
            code = "is_a_folder" if there.kind is Kind.FOLDER else "not_a_folder"
            raise Conflict("a folder and a file", current=there.item, code=code)
        if there.kind is Kind.FOLDER:
            await self._remove_folder(there, f"{key}-replaced")
            await server.change("MOVE", at, headers=server.to(to, folder=True), folder=True)
        elif server.habits.locks:
            async with server.locks.held(to, size=0) as lock:
                await self._unchanged(there, to, replaced.content_version)
                headers = server.to(to, over=True) | lock.headers(server.exchange.url_of(to))
                await server.change("MOVE", at, headers=headers)
        else:
            await self._unchanged(there, to, replaced.content_version)
            tagged = {"if-match": there.tag} if server.habits.if_match and there.tag and not is_weak(there.tag) else {}
            await server.change("DELETE", to, headers=tagged)
            await server.change("MOVE", at, headers=server.to(to))
        self._bury(there.item_id)

    async def _unchanged(self, there: Entry, names: Names, seen: Version | None) -> None:
        told = await self._server.looker.look(names)
        if told is None:
            self._bury(there.item_id)
            raise Conflict("what was to be replaced is not there", code="precondition_failed")
        now = self._server.saw(there.parent_id, there.name, told)  # type: ignore[arg-type]  # not the root
        if now.item_id != there.item_id or now.content_version != seen:
            raise Conflict("what was to be replaced changed", current=now.item, code="precondition_failed")

    def _placed(self, entry: Entry, move: _Move, told: Facts | None) -> Entry:
        """It has its new name; what a server makes of a tag by that does not make it another content."""
        if told is None:
            raise Gone("it was moved, and is not there")
        mirror = self._server.mirror
        with mirror.writing():
            known = mirror.child(move.parent_id, move.name)
            if known is not None and known.item_id != entry.item_id:
                mirror.bury(known)
            moved = mirror.change(self._server.known(entry.item_id), parent_id=move.parent_id, name=move.name)
            as_before = moved.server_mtime_ns == told.mtime_ns or not self._server.habits.tags_move
            if moved.size == told.size and as_before and moved.kind is told.kind:
                return mirror.note(moved, tag=told.tag, server_mtime_ns=told.mtime_ns)
            same = same_content(moved, told)
            return mirror.refresh(moved, with_(told, mtime_ns=moved.server_mtime_ns) if same else told)

    def _bury(self, item_id: ItemId) -> None:
        entry = self._server.mirror.get(item_id)
        if entry is not None and not entry.gone:
            self._server.mirror.bury(entry)

    # --- removals

    async def remove(self, item_id: ItemId, base: Version, key: str) -> None:
        """As `sync.remote.Remote`."""

        async def act(in_doubt: bool) -> None:
            server = self._server
            entry = server.known(item_id)
            server.at_base(entry, base)
            if entry.parent_id is None:
                raise Refused("the root stays")
            with server.touched.changing((entry.parent_id, entry.name)):
                if entry.kind is Kind.FOLDER:
                    await self._remove_folder(entry, key, in_doubt=in_doubt)
                else:
                    await self._remove_file(entry, base, in_doubt=in_doubt)
                self._bury(item_id)

        await self._server.once.do(key, ("remove", item_id, base), act)

    async def _remove_file(self, entry: Entry, base: Version, *, in_doubt: bool) -> None:
        server, names = self._server, self._server.names(entry)
        now = await server.seen(entry)
        if now is None:
            self._bury(entry.item_id)
            if in_doubt:
                return
            raise Gone("it is not there", tombstone=True)
        server.at_base(now, base)

        async def same() -> bool:
            now = await server.seen(entry)
            if now is not None:
                server.at_base(now, base)
            return now is not None

        await server.remove_file(names, now.tag, same)

    async def _remove_folder(self, entry: Entry, key: str, *, in_doubt: bool = False) -> None:
        """Aside, looked into, gone; or back."""
        server, names = self._server, self._server.names(entry)
        aside = (*names[:-1], f"{RESERVED}rm-{hashlib.sha256(key.encode()).hexdigest()[:20]}")
        if await server.looker.look(aside, folder=True) is None:  # else an earlier attempt got as far as that
            if await server.looker.look(names, folder=True) is None and in_doubt:
                return
            await self._require_empty(entry, await server.looker.listing(names, everything=True))
            await server.change("MOVE", names, headers=server.to(aside, folder=True), folder=True)
        held = await server.looker.listing(aside, everything=True)
        if self._holds_anything(held):
            await self._back(aside, names)
            raise Conflict("it is not empty", current=entry.item, code="not_empty")
        await server.change("DELETE", aside, folder=True, also=ABSENT)

    async def _back(self, aside: Names, names: Names) -> None:
        """Its own name, or beside it if that was taken meanwhile."""
        server = self._server
        try:
            await server.change("MOVE", aside, headers=server.to(names, folder=True), folder=True)
        except Conflict:
            kept = (*names[:-1], f"{names[-1]} (kept {aside[-1][-6:]})")
            await server.change("MOVE", aside, headers=server.to(kept, folder=True), folder=True)

    async def _require_empty(self, entry: Entry, listed: Listed) -> None:
        if self._holds_anything(listed):
            raise Conflict("it is not empty", current=entry.item, code="not_empty")

    def _holds_anything(self, listed: Listed) -> bool:
        now_s = self._server.exchange.server_s
        left_over = {
            name for name, told in listed.children.items() if is_reserved(name) and is_left_behind(told, now_s)
        }
        return bool(listed.unclear or listed.children.keys() - left_over)


class _Move:
    """What is to move where, over what."""

    __slots__ = ("base", "item_id", "name", "parent_id", "replace")

    def __init__(self, item_id: ItemId, base: Version, parent_id: ItemId, name: str, replace: Replaced | None) -> None:
        self.item_id, self.base, self.parent_id, self.name, self.replace = item_id, base, parent_id, name, replace
