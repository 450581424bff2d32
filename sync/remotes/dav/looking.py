"""Asks what stands at an address, and what a folder holds. Each is one PROPFIND (RFC 4918, section 9.1).

A listing is taken only if it tells of the folder itself: an empty 207 is no empty folder. A child that is told with a
refusal is there, whatever it is. A name that is only locked (RFC 2518, section 7.4) holds nothing. Our own files on the
way (`RESERVED`) are never told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Kind
from sync.remote import Denied, Gone, ProtocolViolation
from sync.remotes.asking import Ask
from sync.remotes.dav.exchange import LISTING_MAX_BYTES, parsed
from sync.remotes.dav.facts import propfind_body
from sync.remotes.dav.multistatus import Told, dav, multistatus_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.facts import Facts

RESERVED = ".anchorfs-"  # names of what is on its way to its own
Names = tuple[str, ...]
_REPORTS = propfind_body(("supported-report-set",))
TOLD = frozenset({207, 404})
WITH_SLASH = frozenset({301, 302, 307, 308})  # of a server that insists on a folder's slash
WITHOUT_SLASH = frozenset({400, 405})  # of one that will have none behind a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A folder and what it holds."""

    own: Facts
    children: dict[str, Facts]
    unclear: frozenset[str]  # there, but not told


class Looker:
    """`body` is the PROPFIND to send, `facts_of` reads what is told of one address, given the server's time."""

    def __init__(self, exchange: DavExchange, body: bytes, facts_of: Callable[[Told, float], Facts | None]) -> None:
        self._exchange = exchange
        self._body = body
        self._facts_of = facts_of

    def _ask(self, names: Names, depth: str, *, folder: bool) -> Ask:
        return Ask(
            method="PROPFIND",
            path=self._exchange.path_of(names, folder=folder),
            headers={"depth": depth, "content-type": "application/xml; charset=utf-8"},
            content=self._body,
            expect=TOLD | (WITH_SLASH if not folder else WITHOUT_SLASH),
        )

    async def look(self, names: Names, *, folder: bool = False) -> Facts | None:
        """What stands there; None: nothing does. `folder`: it is asked for as one (others are told all the same)."""
        reply = await self._exchange.reply(self._ask(names, "0", folder=folder or not names))
        if reply.status in WITH_SLASH or (reply.status in WITHOUT_SLASH and names):
            other = await self._exchange.reply(self._ask(names, "0", folder=not folder))
            if other.status in WITH_SLASH:
                raise ProtocolViolation("an address that is neither a file's nor a folder's")
            if other.status in WITHOUT_SLASH:
                return None  # below a file
            reply = other
        if reply.status == 404:
            return None
        for told in multistatus_of(reply.body).responses:
            if self._exchange.names_of(told.href) == names:
                return None if told.status == 404 else self.facts(told)
        raise ProtocolViolation("what was asked about was not told of")

    async def listing(self, names: Names, *, everything: bool = False) -> Listed:
        """A folder's children; Gone, also when it is no folder any more. `everything`: our own files too."""
        reply = await self._exchange.reply(self._ask(names, "1", folder=True), LISTING_MAX_BYTES)
        if reply.status != 207:
            raise Gone("no such folder")
        rows = await parsed(
            reply.body, lambda told: {self._exchange.names_of(each.href): each for each in told.responses}
        )
        own = rows.pop(names, None)
        if own is None:
            raise ProtocolViolation("a listing does not tell of its folder")
        facts = self.facts(own)
        if facts is None or facts.kind is not Kind.FOLDER:
            raise Gone("it is no folder")
        inside = {
            found[-1]: told
            for found, told in rows.items()
            if len(found) == len(names) + 1 and found[:-1] == names and (everything or not is_reserved(found[-1]))
        }
        found = {name: self.facts(told) for name, told in inside.items() if told.status == 200}
        children = {name: facts for name, facts in found.items() if facts is not None}
        unclear = {name for name, told in inside.items() if told.status not in {200, 404}}
        return Listed(own=facts, children=children, unclear=frozenset(unclear | (found.keys() - children.keys())))

    async def announces_reports(self) -> bool:
        """Whether the root says that it tells what changed since a position (RFC 3253, section 3.1.5)."""
        ask = Ask(
            method="PROPFIND", path=self._exchange.path_of((), folder=True), content=_REPORTS, expect=frozenset({207}),
            headers={"depth": "0", "content-type": "application/xml; charset=utf-8"},
        )  # fmt: skip
        for told in multistatus_of((await self._exchange.reply(ask)).body).responses:
            reports = told.properties.get(dav("supported-report-set"))
            for each in () if reports is None or self._exchange.names_of(told.href) else reports.children:
                report = each.child(dav("report"))
                if report is not None and report.has(dav("sync-collection")):
                    return True
        return False

    def facts(self, told: Told) -> Facts | None:
        """What is told of one address; Denied."""
        if told.status != 200:
            raise Denied(f"the server tells HTTP {told.status} of it")
        return self._facts_of(told, self._exchange.server_s)


def is_reserved(name: str) -> bool:
    """Whether it is one of our own files on their way."""
    return name.startswith(RESERVED)
