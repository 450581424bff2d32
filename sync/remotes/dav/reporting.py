"""What a server tells of changes since a position: the report of RFC 6578, as one question and its answer.

Several answers may make one: a server that cuts it short names the position to go on from (section 3.6). Whatever is no
such answer is None: a position that it does not know any more, a refusal, a report about another folder, half an XML.
Then the folder is listed and compared, which never needs a position. An error of the line is raised as it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from sync.remote import ProtocolViolation, Refused
from sync.remotes.asking import Ask
from sync.remotes.dav.exchange import LISTING_MAX_BYTES, parsed
from sync.remotes.dav.facts import PLAIN_PROPERTIES, XML
from sync.remotes.dav.looking import is_reserved

if TYPE_CHECKING:
    from sync.remotes.dav.exchange import DavExchange
    from sync.remotes.dav.facts import Facts
    from sync.remotes.dav.looking import Looker, Names
    from sync.remotes.dav.multistatus import Multistatus, Told

PARTS_MAX = 10_000
CUT = 507  # of the folder itself: there is more
_REFUSALS = frozenset({400, 403, 404, 405, 409, 412, 415, 422, 501, CUT})


class Reach(StrEnum):
    """How far a report about a folder can be believed to tell everything."""

    NONE = "none"  # there are none, or they leave out what the RFC wants told
    FILES = "files"  # of its own files, but not which folders came and went
    FOLDER = "folder"  # of everything in it
    TREE = "tree"  # and of everything below


@dataclass(slots=True)
class Report:
    """The addresses that changed, with what stands there now, and those at which nothing does any more."""

    token: str
    present: dict[Names, Facts] = field(default_factory=dict)
    gone: set[Names] = field(default_factory=set)
    unclear: bool = False  # of some address it was not told what stands there
    cut: bool = False

    def by_folder(self) -> tuple[dict[Names, dict[str, Facts]], dict[Names, set[str]]]:
        """What is present, and what is gone, by the folder and the name in it; both tell every folder that is asked."""
        present: dict[Names, dict[str, Facts]] = defaultdict(dict)
        gone: dict[Names, set[str]] = defaultdict(set)
        for at, facts in self.present.items():
            present[at[:-1]][at[-1]] = facts
        for at in self.gone:
            gone[at[:-1]].add(at[-1])
        return present, gone

    def follow(self, later: Report) -> None:
        """Take in the part that came after."""
        for names in later.gone:
            self.present.pop(names, None)
        self.gone = (self.gone - later.present.keys()) | later.gone
        self.present |= later.present
        self.unclear |= later.unclear
        self.token, self.cut = later.token, later.cut


class Reporter:
    """Asks one server."""

    def __init__(self, exchange: DavExchange, looker: Looker) -> None:
        self._exchange = exchange
        self._looker = looker

    async def position(self, names: Names, last: str | None = None) -> str | None:
        """Where a folder's changes stand now: told as a property; of a server that does not tell it so, at the end of
        a report, one since `last` if that is known."""
        told = await self._looker.look(names, folder=True)
        if told is not None and told.token is not None:
            return told.token
        report = None if last is None else await self.since(names, last, tree=False)
        report = report or await self.since(names, "", tree=False)
        return None if report is None else report.token

    async def since(self, names: Names, token: str, *, tree: bool) -> Report | None:
        """What changed in a folder, with `tree` at any depth, since `token` ("": everything that is there)."""
        report = await self._part(names, token, tree=tree)
        for _ in range(PARTS_MAX):
            if report is None or not report.cut:
                return report
            later = await self._part(names, report.token, tree=tree)
            if later is None or later.token == report.token:
                return None
            report.follow(later)
        return None

    async def _part(self, names: Names, token: str, *, tree: bool) -> Report | None:
        ask = Ask(
            method="REPORT",
            path=self._exchange.path_of(names, folder=True),
            headers={"depth": "0", "content-type": "application/xml; charset=utf-8"},
            content=_body(token, "infinite" if tree else "1"),
            expect=frozenset({207}) | _REFUSALS,
        )
        try:
            reply = await self._exchange.reply(ask, LISTING_MAX_BYTES)
            if reply.status != 207:
                return None
            return await parsed(reply.body, lambda told: self._read(told, names, tree=tree))
        except (ProtocolViolation, Refused):
            return None

    def _read(self, told: Multistatus, names: Names, *, tree: bool) -> Report:
        if not told.sync_token:
            raise ProtocolViolation("a report without the position that it leads to")
        report = Report(told.sync_token)
        for row in told.responses:
            at = self._exchange.names_of(row.href)
            if at == names:
                report.cut |= row.status == CUT
            elif at[: len(names)] != names or (len(at) > len(names) + 1 and not tree):
                raise ProtocolViolation("a report of another folder")  # a server answers so for one that is gone
            elif not any(map(is_reserved, at[len(names) :])):
                self._note(report, at, row)
        report.gone -= report.present.keys()  # replaced: what stands there now counts
        return report

    def _note(self, report: Report, at: Names, row: Told) -> None:
        facts = self._looker.facts(row) if row.status == 200 else None
        if row.status == 404:
            report.gone.add(at)
        elif facts is None:
            report.unclear = True
        else:
            report.present[at] = facts


def _body(token: str, level: str) -> bytes:
    asked = "".join(f"<d:{each}/>" for each in PLAIN_PROPERTIES)
    return (
        f'{XML}<d:sync-collection xmlns:d="DAV:"><d:sync-token>{escape(token)}</d:sync-token>'
        f"<d:sync-level>{level}</d:sync-level><d:prop>{asked}</d:prop></d:sync-collection>"
    ).encode()
