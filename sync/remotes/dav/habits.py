"""What a server honours, found out by trying: in a file of our own that is there for a moment, and remembered.

No header says whether a condition is honoured: servers exist that take `If-Match` and overwrite all the same. So each
is tried with a condition that must fail, and one that must hold. Whoever may not write there mounts read-only.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace as with_
from typing import TYPE_CHECKING

import msgspec
import trio

from sync.capabilities import FILES_AND_FOLDERS, Delta, Guard, Names
from sync.remote import Busy, Denied, Permanent, ProtocolViolation, Refused, RemoteError, Unknown
from sync.remotes.asking import Ask
from sync.remotes.dav.facts import is_weak, opaque
from sync.remotes.dav.looking import RESERVED
from sync.remotes.dav.reporting import Reach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sync.capabilities import Capabilities
    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.facts import Facts
    from sync.remotes.dav.locking import Locks
    from sync.remotes.dav.looking import Looker
    from sync.remotes.dav.looking import Names as Path
    from sync.remotes.dav.reporting import Reporter

STALE = '"anchorfs-stale"'
DONE = frozenset({200, 201, 204})
TELLING = DONE | {400, 403, 404, 405, 409, 412, 423, 424, 501}
REWRITES = 6
LOCK_S = 60
FINE_FROM = 3  # tags of whole seconds make two at most; a clock that ticks every 4 ms makes a pair alike at times
DIFFICULT = "%?#;\\\n"


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out; the defaults are those of a server that honours nothing."""

    writes: bool = False  # a file can be made and removed at all
    locks: bool = False  # a lock keeps other clients of the server out, and can be given back
    if_match: bool = False
    if_none_match: bool = False
    overwrite_f: bool = False  # a move does not replace when told so
    whole_puts: bool = False  # an upload that breaks off leaves nothing behind
    fine_tags: bool = False  # contents of one size that are written within a second differ in their tags
    tags_move: bool = False  # a tag stays when its file is renamed
    reports: Reach = Reach.NONE  # what it tells of changes since a position
    empty_files: bool = False  # a file without a byte is kept
    refused: str = ""  # characters that a name cannot have: it would come out as another one

    @property
    def creates_safely(self) -> bool:
        """Whether a new name can be kept from replacing."""
        return self.overwrite_f or self.if_none_match

    @property
    def overwrites_safely(self) -> bool:
        """Whether an unseen content can be kept from being overwritten."""
        return self.locks or (self.if_match and self.whole_puts)


class Prober:
    """Tries one server, below its root."""

    def __init__(self, exchange: DavExchange, looker: Looker, locks: Locks, reporter: Reporter) -> None:
        self._exchange = exchange
        self._looker = looker
        self._locks = locks
        self._reporter = reporter
        self._at: Path = (f"{RESERVED}probe-{secrets.token_hex(6)}",)
        self._other: Path = (f"{self._at[0]}-2",)

    async def habits(self) -> Habits:
        """Raises RemoteError only for what says nothing about the server's habits (no connection, no credential)."""
        try:
            await self._put(self._at, b"0")
        except (Denied, Refused):
            return Habits()
        try:
            return await self._tried()
        finally:
            with trio.move_on_after(20, shield=True):
                for names in (self._at, self._other):
                    with suppress(RemoteError):
                        await self._status("DELETE", names, {})

    async def _tried(self) -> Habits:
        fine = await self._has_fine_tags()
        none_match = await self._status("PUT", self._at, {"if-none-match": "*"}, b"5") == 412
        locks = await self._has_locks()
        stale = await self._status("PUT", self._at, {"if-match": STALE}, b"6")
        if_match = stale == 412 and await self._takes_right_tag()
        whole = await self._leaves_nothing()
        before = await self._looker.look(self._at)
        to_other = {"overwrite": "F", "destination": self._exchange.url_of(self._other)}
        moved = await self._status("MOVE", self._at, to_other) in DONE
        after = await self._looker.look(self._other) if moved else None
        await self._put(self._at, b"7")
        overwrite_f = moved and await self._status("MOVE", self._at, to_other) == 412
        return Habits(
            writes=True,
            locks=locks,
            if_match=if_match,
            if_none_match=none_match,
            overwrite_f=overwrite_f,
            whole_puts=whole,
            fine_tags=fine,
            tags_move=bool(before and after and before.tag) and _tag(before) == _tag(after),
            reports=await self._reach(),
            empty_files=await self._keeps_empty_files(),
            refused=await self._refused_characters(),
        )

    async def _reach(self) -> Reach:
        """In a folder with a file and a folder, which come and go. One that takes a position for its own that never
        was would leave out changes at another time."""
        if not await self._looker.announces_reports():
            return Reach.NONE
        folder = (f"{self._at[0]}-4",)
        try:
            await self._status("MKCOL", folder, {})
            return await self._reach_in(folder)
        finally:
            with suppress(RemoteError):
                await self._status("DELETE", folder, {})

    async def _reach_in(self, folder: Path) -> Reach:
        file, inner = (*folder, "file"), (*folder, "inner")
        empty = await self._reporter.position(folder)
        if empty is None or await self._reporter.since(folder, "data:,anchorfs-never-told", tree=False) is not None:
            return Reach.NONE
        await self._status("MKCOL", inner, {})
        for names in (file, (*inner, "file")):
            await self._put(names, b"x")
        came = await self._reporter.since(folder, empty, tree=False)
        below = await self._reporter.since(folder, empty, tree=True)
        for names in (file, inner):
            await self._status("DELETE", names, {})
        if came is None or file not in came.present:
            return Reach.NONE
        went = await self._reporter.since(folder, came.token, tree=False)
        if went is None or file not in went.gone:
            return Reach.NONE
        if inner not in came.present or inner not in went.gone:
            return Reach.FILES
        return Reach.FOLDER if below is None or (*inner, "file") not in below.present else Reach.TREE

    async def _keeps_empty_files(self) -> bool:
        """A server exists that dies of them, and answers nothing. A line that broke just then is told from that by a
        second try, and by a file with one byte, which has to go through right after."""
        for _ in range(2):
            with suppress(Unknown, Refused):
                kept = await self._status("PUT", self._at, {}, b"") in DONE
                told = await self._looker.look(self._at)
                return kept and told is not None and told.size == 0
        await self._put(self._at, b"1")
        return False

    async def _refused_characters(self) -> str:
        """Some servers decode the address that a file moves to once too often."""
        if await self._comes_out_as(DIFFICULT):
            return ""
        return "".join([each for each in DIFFICULT if not await self._comes_out_as(each)])

    async def _comes_out_as(self, text: str) -> bool:
        names = (f"{self._at[0]}{text}x",)
        await self._put(self._at, b"name")
        destination = {"overwrite": "F", "destination": self._exchange.url_of(names)}
        found = False
        with suppress(Unknown, ProtocolViolation):  # a newline that came back in a header, an address told unquoted
            moved = await self._status("MOVE", self._at, destination) in DONE
            found = moved and await self._looker.look(names) is not None
        for end in range(len(text) + 2):  # wherever it was cut
            with suppress(Unknown, ProtocolViolation):
                await self._status("DELETE", (f"{names[0][: len(self._at[0]) + end]}",), {})
        return found

    async def _has_fine_tags(self) -> bool:
        tags = set()
        for number in range(REWRITES):
            await self._put(self._at, str(number).encode())
            told = await self._looker.look(self._at)
            tags.add(_tag(told))
        return None not in tags and len(tags) >= FINE_FROM

    async def _has_locks(self) -> bool:
        """A locked file must be kept from who has no token, be given to who has, and be free again afterwards."""
        names = (f"{self._at[0]}-3",)
        await self._put(names, b"8")
        headers: dict[str, str] = {}
        try:
            lock = await self._locks.taken(names, LOCK_S, tries=1)
            headers = lock.headers(self._exchange.url_of(names))
            kept = await self._status("PUT", names, {}, b"9") == 423
            given = await self._status("PUT", names, headers, b"9") in DONE
            free = await self._status("UNLOCK", names, {"lock-token": f"<{lock.token}>"}) in DONE
        except (Permanent, Busy):
            return False
        else:
            headers = {} if free else headers
            return kept and given and free
        finally:
            with suppress(RemoteError):
                await self._status("DELETE", names, headers)

    async def _takes_right_tag(self) -> bool:
        """A tag that is weak yet is left for later: a server that makes a difference knows what it does."""
        told = await self._looker.look(self._at)
        if told is None or told.tag is None:
            return False
        return is_weak(told.tag) or await self._status("PUT", self._at, {"if-match": told.tag}, b"6") in DONE

    async def _leaves_nothing(self) -> bool:
        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise _BrokenOffError

        ask = Ask(
            method="PUT", path=self._exchange.path_of(self._other), content=broken(), mutates=True, expect=DONE,
            headers={"content-length": "65536"}, read_s=5.0,
        )  # fmt: skip
        try:
            await self._exchange.reply(ask)
        except (_BrokenOffError, RemoteError):
            await trio.sleep(0.2)  # the server notices when its read ends
        nothing = await self._looker.look(self._other) is None
        await self._status("DELETE", self._other, {})
        return nothing

    async def _put(self, names: Path, data: bytes) -> None:
        ask = Ask(
            method="PUT", path=self._exchange.path_of(names), content=data, mutates=True, expect=DONE,
            headers={"content-length": str(len(data))},
        )  # fmt: skip
        await self._exchange.reply(ask)

    async def _status(self, method: str, names: Path, headers: Mapping[str, str], data: bytes | None = None) -> int:
        """What the server says to it; raises RemoteError for what says nothing about its habits."""
        length = {} if data is None else {"content-length": str(len(data))}
        ask = Ask(
            method=method, path=self._exchange.path_of(names), content=data, mutates=True, expect=TELLING,
            headers={**headers, **length},
        )  # fmt: skip
        return (await self._exchange.reply(ask)).status


def _tag(told: Facts | None) -> str | None:
    return None if told is None else opaque(told.tag)


class _BrokenOffError(Exception):
    """Ends an upload in its middle."""


def capabilities_of(habits: Habits, *, unsafe: bool) -> Capabilities:
    """What a server of these habits can keep and promise."""
    missing = Guard.LOOKED if unsafe and habits.writes else Guard.REFUSED
    deltas = {Reach.TREE: Delta.NATIVE, Reach.FOLDER: Delta.WALK}
    return with_(
        FILES_AND_FOLDERS,
        delta=deltas.get(habits.reports, Delta.SCAN),
        create=Guard.ATOMIC if habits.creates_safely else missing,
        overwrite=Guard.ATOMIC if habits.overwrites_safely else missing,
        file_moves=Guard.ATOMIC if habits.if_match else Guard.LOOKED,
        atomic_replace=False,
        native_ids=False,
        strong_versions=habits.fine_tags,
        empty_files=habits.empty_files,
        names=Names(refused=frozenset(habits.refused)),
    )
