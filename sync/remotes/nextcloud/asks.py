"""Requests and their bodies. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from sync.remotes.asking import Ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cache.model import ItemId

_SPACES = {"{DAV:}": "d", "{http://owncloud.org/ns}": "oc", "{http://nextcloud.org/ns}": "nc"}
_DECLARED = 'xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"'
_XML = {"content-type": "application/xml; charset=utf-8"}
SEARCH_MAX = 90  # comparisons in one search; the server takes 100 operators


def _tag(name: str) -> str:
    space, _, local = name.partition("}")
    return f"{_SPACES[space + '}']}:{local}"


def _props(names: Iterable[str]) -> str:
    return "".join(f"<{_tag(name)}/>" for name in names)


def look(path: str, properties: Sequence[str], *, depth: int, asked: ItemId | None = None) -> Ask:
    """A PROPFIND."""
    body = f"<d:propfind {_DECLARED}><d:prop>{_props(properties)}</d:prop></d:propfind>"
    headers = {**_XML, "depth": str(depth)}
    return Ask(
        method="PROPFIND", path=path, headers=headers, content=body.encode(), asked=asked, expect=frozenset({207})
    )


def search(path: str, scope: str, properties: Sequence[str], where: str, limit: int) -> Ask:
    """A basicsearch (RFC 5323) below `scope`, an address relative to the WebDAV root."""
    body = (
        f"<d:searchrequest {_DECLARED}><d:basicsearch><d:select><d:prop>{_props(properties)}</d:prop></d:select>"
        f"<d:from><d:scope><d:href>{escape(scope)}</d:href><d:depth>infinity</d:depth></d:scope></d:from>"
        f"<d:where>{where}</d:where><d:orderby/>"
        f"<d:limit><d:nresults>{limit}</d:nresults></d:limit></d:basicsearch></d:searchrequest>"
    )
    headers = {**_XML, "content-type": "text/xml; charset=utf-8"}
    return Ask(method="SEARCH", path=path, headers=headers, content=body.encode(), expect=frozenset({207}))


def with_ids(file_ids: Iterable[str]) -> str:
    """A condition of a search: any of these ids, at most SEARCH_MAX."""
    each = "".join(
        f"<d:eq><d:prop><oc:fileid/></d:prop><d:literal>{file_id}</d:literal></d:eq>" for file_id in file_ids
    )
    return f"<d:or>{each}</d:or>" if each.count("<d:eq>") > 1 else each


def with_name(text: str) -> str:
    """A condition of a search: `text` in the name, letter case aside."""
    literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"<d:like><d:prop><d:displayname/></d:prop><d:literal>%{escape(literal)}%</d:literal></d:like>"


def set_mtime(path: str, mtime_s: int, headers: Mapping[str, str], asked: ItemId) -> Ask:
    """A PROPPATCH of the time of the last change."""
    body = (
        f"<d:propertyupdate {_DECLARED}><d:set><d:prop><d:lastmodified>{mtime_s}</d:lastmodified></d:prop></d:set>"
        "</d:propertyupdate>"
    )
    return Ask(
        method="PROPPATCH",
        path=path,
        headers={**_XML, **headers},
        content=body.encode(),
        mutates=True,
        asked=asked,
        expect=frozenset({207}),
    )


def if_match(etag: str) -> dict[str, str]:
    """Only while the file at the address itself has this ETag; on a folder it never holds."""
    return {"if-match": f'"{etag}"'}


def if_there(url: str, etag: str) -> dict[str, str]:
    """Only while the file at another address has this ETag."""
    return {"if": f'<{url}> (["{etag}"])'}
