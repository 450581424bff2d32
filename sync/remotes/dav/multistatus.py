"""Reads what WebDAV servers write: 207 bodies and the errors in refusals. Pure.

The text was written by a stranger. A document type, and with it every entity, is refused before it could be
expanded; depth, the number of elements and of responses have bounds; a body that is cut is no answer at all, so no
half of a listing is ever taken for a listing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from sync.remote import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPTH_MAX = 32
ELEMENTS_MAX = 8_000_000  # a folder of 200,000 with 40 elements each
_STATUS = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})(?: |\Z)")
_SEPARATOR = " "
DAV = "DAV:"


@dataclass(slots=True)
class Element:
    """One element; `name` is `{namespace}local`."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        return next((each for each in self.children if each.name == name), None)

    def has(self, name: str) -> bool:
        """Whether there is such a child."""
        return self.child(name) is not None


def dav(local: str) -> str:
    """The name of an element of the DAV: namespace."""
    return f"{{{DAV}}}{local}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One response: what is said of one address."""

    href: str
    status: int  # of the address as a whole: 200 when properties are told
    properties: Mapping[str, Element]  # those that were found

    def text(self, name: str) -> str | None:
        """The text of a property; None when it was not told."""
        found = self.properties.get(name)
        return None if found is None else found.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Multistatus:
    """A whole 207 body."""

    responses: tuple[Told, ...]
    sync_token: str | None = None


class _Builder:
    """Builds elements from what expat says."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def start(self, name: str, _: object) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_MAX or self._count > ELEMENTS_MAX:
            raise ProtocolViolation("XML that is too deep or too large")
        element = Element(_qualified(name))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def text(self, data: str) -> None:
        if self._texts:
            self._texts[-1].append(data)

    def end(self, _: str) -> None:
        element = self._open.pop()
        element.text = "".join(self._texts.pop()).strip()


def _qualified(name: str) -> str:
    namespace, _, local = name.rpartition(_SEPARATOR)
    return f"{{{namespace}}}{local}"


def _refuse(*_: object) -> NoReturn:
    raise ProtocolViolation("XML with a document type or an entity")


def parse(body: bytes) -> Element:
    """The root element; ProtocolViolation for anything that is no plain, whole XML."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = parser.ExternalEntityRefHandler = parser.UnparsedEntityDeclHandler = _refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError) as error:
        raise ProtocolViolation(f"the answer is no XML: {error}") from None
    if builder.root is None:
        raise ProtocolViolation("the answer is empty")
    return builder.root


def multistatus_of(body: bytes) -> Multistatus:
    """A 207 body (RFC 4918, section 14.16), with its sync-token if it has one (RFC 6578)."""
    root = parse(body)
    if root.name != dav("multistatus"):
        raise ProtocolViolation(f"a 207 body that begins with {root.name[:100]!r}")
    responses = [_told(each, href) for each in root.children if each.name == dav("response") for href in _hrefs(each)]
    token = root.child(dav("sync-token"))
    return Multistatus(responses=tuple(responses), sync_token=None if token is None else token.text)


def _hrefs(response: Element) -> list[str]:
    hrefs = [each.text for each in response.children if each.name == dav("href")]
    if not hrefs or not all(hrefs):
        raise ProtocolViolation("a response without an address")
    return hrefs


def _told(response: Element, href: str) -> Told:
    status = response.child(dav("status"))
    properties: dict[str, Element] = {}
    for propstat in response.children:
        found = propstat.child(dav("prop")) if propstat.name == dav("propstat") else None
        if found is not None and _status(propstat.child(dav("status"))) == 200:
            properties |= {each.name: each for each in found.children}
    return Told(href=href, status=200 if status is None else _status(status), properties=properties)


def _status(element: Element | None) -> int:
    match = None if element is None else _STATUS.match(element.text)
    if match is None:
        raise ProtocolViolation("a status that is none")
    return int(match[1])


def condition_of(body: bytes) -> str:
    """The first pre- or postcondition named in the body of a refusal (RFC 4918, section 16), or ""."""
    try:
        root = parse(body)
    except ProtocolViolation:
        return ""  # a page for people
    if root.name != dav("error"):
        return ""
    return next((each.name.rpartition("}")[2] for each in root.children), "")
