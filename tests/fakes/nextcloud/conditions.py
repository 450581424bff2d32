"""Conditions and ranges, as sabre/dav 4 reads them. A folder has no ETag there, so every condition on one fails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.fakes.nextcloud.account import Account, Node, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = "/remote.php/dav/files/"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TAGGED = re.compile(r"<([^>]*)>\s*((?:\([^)]*\)\s*)+)|(\([^)]*\))")


def path_in(url: str, user: str) -> str | None:
    """The path below a person's files that a URL means; None: elsewhere."""
    path = unquote(urlsplit(url).path)
    base = f"{FILES}{user}"
    inside = path == base or path.startswith(f"{base}/")
    return path[len(base) :].strip("/") if inside else None


def _etag(node: Node | None) -> str | None:
    return None if node is None or node.is_folder else f'"{node.etag}"'


def require(account: Account, user: str, headers: Mapping[str, str], node: Node | None) -> None:
    """412 unless every condition on `node` (None: nothing is there) and on others holds."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None:
        wanted = [each.strip() for each in match.split(",")]
        if node is None or (wanted != ["*"] and _etag(node) not in wanted):
            raise Refusal(412, "An If-Match header was specified, but none of the specified ETags matched.")
    if none_match is not None and node is not None:
        wanted = [each.strip() for each in none_match.split(",")]
        if wanted == ["*"] or _etag(node) in wanted:
            raise Refusal(412, "An If-None-Match header was specified, but the ETag matched.")
    _require_if(account, user, headers.get("if", ""), node)


def _require_if(account: Account, user: str, text: str, node: Node | None) -> None:
    for url, tagged, bare in _TAGGED.findall(text):
        path = path_in(url, user) if url else None
        about = node if not url else account.find(path or "")
        etags = re.findall(r"\[([^\]]*)\]", tagged or bare)
        if _etag(about) not in etags:
            raise Refusal(412, "None of the tokens in the If header matched")


def span(headers: Mapping[str, str], node: Node) -> tuple[int, int] | None:
    """The range [start, stop) to send; None: everything, with 200. `bytes=0-0` is taken for `bytes=0-`."""
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or not node.size or headers.get("if-range", _etag(node)) != _etag(node):
        return None
    first, last = found.groups()
    if first:
        start, stop = int(first), min(int(last or 0) + 1 if int(last or 0) else node.size, node.size)
    else:
        start, stop = max(node.size - int(last or 0), 0), node.size
    if start >= node.size or stop <= start:
        raise Refusal(416, "The requested range is not satisfiable")
    return start, stop
