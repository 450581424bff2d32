"""A WebDAV server in memory that tells changes since a position, as RFC 6578 has it; and some that do it worse.

A position names a picture of the whole tree as it was when the position was told, and the folder that it was told for:
one of a folder that was made anew is foreign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.fakes.awkward import AwkwardDav, Names

if TYPE_CHECKING:
    import httpx

Picture = dict[Names, tuple[int, bool]]
_ANNOUNCED = (
    "<d:supported-report-set><d:supported-report><d:report><d:sync-collection/></d:report></d:supported-report>"
    "</d:supported-report-set>"
)
_INVALID = b'<?xml version="1.0"?><d:error xmlns:d="DAV:"><d:valid-sync-token/></d:error>'


@dataclass
class ReportingDav(AwkwardDav):
    """The defaults do all that the RFC allows."""

    levels: frozenset[str] = frozenset({"1", "infinite"})
    tells_folders: bool = True  # in a report which folders came and went
    tells_property: bool = True  # the position, as a property of its folder
    takes_any: bool = False  # a position that it never told
    answers_for_parent: bool = False  # when asked about a folder that is not there
    at_most: int = 1_000_000  # changes in one report
    forgets: bool = False  # every position that it told so far: true until the next is told
    pictures: list[Picture] = field(default_factory=list)
    reports: list[tuple[Names, int]] = field(default_factory=list)  # the folders asked about, and the rows told

    def _token(self, names: Names, picture: Picture) -> str:
        if not self.pictures or self.pictures[-1] != picture:
            self.pictures.append(picture)
        self.forgets = False
        return f"http://example.org/at/{len(self.pictures) - 1}/{self.things[names].count}"

    def _now(self) -> Picture:
        return {names: (thing.count, thing.data is None) for names, thing in self.things.items()}

    def _then(self, names: Names, token: str) -> Picture | None:
        """The picture that a position names, unless it is not (or no longer) one of this folder."""
        if not token:
            return {}
        match = re.fullmatch(r"http://example\.org/at/(\d+)/(\d+)", token)
        if match is None or self.forgets or int(match[2]) != self.things[names].count:
            return self._now() if self.takes_any else None
        return self.pictures[int(match[1])]

    def _row(self, names: Names) -> str:
        if self.things[names].data is not None:
            return AwkwardDav._row(self, names)
        token = f"<d:sync-token>{self._token(names, self._now())}</d:sync-token>" if self.tells_property else ""
        return AwkwardDav._row(self, names).replace("<d:getetag>", f"{token}{_ANNOUNCED}<d:getetag>")

    def _report(self, names: Names, headers: httpx.Headers, body: bytes) -> tuple[int, dict[str, str], bytes]:
        found = re.search(rb"<d:sync-token>(.*)</d:sync-token><d:sync-level>(.*)</d:sync-level>", body)
        if found is None or headers.get("depth") != "0" or found[2].decode() not in self.levels:
            return 400, {}, b""
        if names not in self.things and self.answers_for_parent:
            names = names[:-1]
        self._need(names)
        then = self._then(names, found[1].decode())
        if then is None:
            return 403, {"content-type": "application/xml"}, _INVALID
        changed = self._changed(names, then, endless=found[2] == b"infinite")
        told, picture = changed[: self.at_most], dict(then)
        for each in told:
            picture[each] = self._now().get(each, (-1, False))
        whole = len(told) == len(changed)
        self.reports.append((names, len(told)))
        rows = "".join(map(self._changed_row, told)) + ("" if whole else _row_of(names, 507))
        token = self._token(names, self._now() if whole else picture)
        answer = f'<d:multistatus xmlns:d="DAV:">{rows}<d:sync-token>{token}</d:sync-token></d:multistatus>'
        return 207, {"content-type": "application/xml"}, answer.encode()

    def _changed(self, names: Names, then: Picture, *, endless: bool) -> list[Names]:
        now = self._now()
        return sorted(
            each
            for each in now.keys() | then.keys()
            if each[: len(names)] == names and (len(each) == len(names) + 1 or (endless and each != names))
            if then.get(each, (-1, False)) != now.get(each, (-1, False))
            if self.tells_folders or not (now.get(each) or then[each])[1]
        )

    def _changed_row(self, names: Names) -> str:
        return self._row(names) if names in self.things else _row_of(names, 404)


def _row_of(names: Names, status: int) -> str:
    href = f"/{'/'.join(map(quote, names))}"
    return f"<d:response><d:href>{href}</d:href><d:status>HTTP/1.1 {status} So</d:status></d:response>"
