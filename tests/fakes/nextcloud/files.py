"""WebDAV on the files of the fake: `/remote.php/dav/files/USER/…`, and SEARCH."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

from tests.fakes.nextcloud.account import Node, Refusal
from tests.fakes.nextcloud.conditions import FILES, path_in, require, span
from tests.fakes.nextcloud.wire import Call, Reply, multi
from tests.fakes.nextcloud.xml import (
    DAV,
    NC,
    OC,
    asked_properties,
    dav_file_id,
    multistatus,
    node_row,
    parsed,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from tests.fakes.nextcloud.account import Account

SEARCH_OPERATORS_MAX, SEARCH_ROWS = 100, 100


def stored_headers(node: Node) -> dict[str, str]:
    """What is told of a file that was written."""
    etag = f'"{node.etag}"'
    return {"etag": etag, "oc-etag": etag, "oc-fileid": dav_file_id(node.file_id)}


def mtime_of(headers: dict[str, str]) -> int | None:
    """X-OC-MTime in seconds."""
    text = headers.get("x-oc-mtime")
    return None if text is None else int(text)


class Files:
    """The files of one account."""

    def __init__(self, account: Account, user: str) -> None:
        self.account, self.user = account, user
        self.base = f"{FILES}{user}"

    def answer(self, call: Call, path: str) -> Reply:
        methods: dict[str, Callable[[Call, str], Reply]] = {
            "PROPFIND": self._propfind, "GET": self._get, "HEAD": self._get, "PUT": self._put, "MKCOL": self._mkcol,
            "DELETE": self._delete, "MOVE": self._move, "PROPPATCH": self._proppatch, "OPTIONS": self._options,
        }  # fmt: skip
        method = methods.get(call.method)
        if method is None:
            raise Refusal(501, f"There was no plugin in the system that was willing to handle {call.method}")
        return method(call, path)

    def _options(self, _call: Call, _path: str) -> Reply:
        return Reply(status=200, headers={"dav": "1, 3, extended-mkcol", "allow": "OPTIONS, GET, PUT"})

    def _propfind(self, call: Call, path: str) -> Reply:
        node, depth = self.account.at(path), call.headers.get("depth", "infinity")
        shown = {"0": [node], "1": [node, *node.children.values()]}.get(depth) or self.account.walk(node)
        asked = asked_properties(call.body)
        return multi(multistatus(node_row(self.account, self.base, each, asked) for each in shown))

    def _get(self, call: Call, path: str) -> Reply:
        node = self.account.at(path)
        if node.data is None:
            raise Refusal(405 if call.method == "GET" else 200)
        require(self.account, self.user, call.headers, node)
        headers = stored_headers(node) | {"last-modified": formatdate(node.mtime_s, usegmt=True)}
        if node.checksum:
            headers["oc-checksum"] = node.checksum
        bounds = span(call.headers, node)
        if bounds is None:
            return Reply(status=200, headers=headers, body=node.data)
        start, stop = bounds
        headers["content-range"] = f"bytes {start}-{stop - 1}/{node.size}"
        return Reply(status=206, headers=headers, body=node.data[start:stop])

    def _put(self, call: Call, path: str) -> Reply:
        if "content-range" in call.headers:
            raise Refusal(400, "Content-Range on PUT requests are forbidden.")
        there = self.account.find(path)
        require(self.account, self.user, call.headers, there)
        if there is None and self.account.find(path.rpartition("/")[0]) is None:
            raise Refusal(404, f"File with name //{path.rpartition('/')[0]} could not be located")
        mtime_s = mtime_of(dict(call.headers))
        node = self.account.write(path, call.body, mtime_s=mtime_s, checksum=call.headers.get("oc-checksum", ""))
        headers = stored_headers(node) | ({} if mtime_s is None else {"x-oc-mtime": "accepted"})
        return Reply(status=201 if there is None else 204, headers=headers)

    def _mkcol(self, _call: Call, path: str) -> Reply:
        return Reply(status=201, headers={"oc-fileid": dav_file_id(self.account.make_folder(path).file_id)})

    def _delete(self, call: Call, path: str) -> Reply:
        node = self.account.at(path)
        require(self.account, self.user, call.headers, node)
        if node.parent is None:
            raise Refusal(403)
        self.account.remove(node)
        return Reply(status=204)

    def _move(self, call: Call, path: str) -> Reply:
        node = self.account.at(path)
        require(self.account, self.user, call.headers, node)
        target = path_in(call.headers.get("destination", ""), self.user)
        if target is None:
            raise Refusal(400, "The destination header was malformed")
        replaced = self.account.move(node, target, overwrite=call.headers.get("overwrite", "T") == "T")
        return Reply(status=204 if replaced else 201, headers={"oc-fileid": dav_file_id(node.file_id)})

    def _proppatch(self, call: Call, path: str) -> Reply:
        node, tree = self.account.at(path), parsed(call.body)
        assert tree is not None
        require(self.account, self.user, call.headers, node)
        done: list[str] = []
        for prop in tree.findall(f"{{{DAV}}}set/{{{DAV}}}prop/*"):
            if prop.tag in {f"{{{DAV}}}lastmodified", f"{{{DAV}}}getlastmodified"}:
                self.account.touch(node, _time(prop.text or ""))
            else:
                node.properties[prop.tag] = prop.text or ""
            done.append(prop.tag)
        href = f"{self.base}/{node.path}"
        return multi(multistatus([row(href, dict.fromkeys(done, str), done)]))

    # --- SEARCH

    def search(self, call: Call) -> Reply:
        """basicsearch below one folder, by name or file id."""
        tree = parsed(call.body)
        basic = None if tree is None else tree.find(f"{{{DAV}}}basicsearch")
        if basic is None:
            raise Refusal(400, "no query")
        scope = basic.findtext(f"{{{DAV}}}from/{{{DAV}}}scope/{{{DAV}}}href") or ""
        path = path_in(scope if scope.startswith("/remote.php") else f"/remote.php/dav/{scope.strip('/')}", self.user)
        where = basic.find(f"{{{DAV}}}where/*")
        if path is None or where is None:
            raise Refusal(400, "no scope inside the files of this person")
        if len([each for each in where.iter() if each.tag.endswith(("}eq", "}like"))]) > SEARCH_OPERATORS_MAX:
            raise Refusal(400, "Invalid search query, maximum operator limit exceeded")
        limit = int(basic.findtext(f"{{{DAV}}}limit/{{{DAV}}}nresults") or SEARCH_ROWS)
        select = basic.find(f"{{{DAV}}}select/{{{DAV}}}prop")
        asked = [] if select is None else [each.tag for each in select]
        found = [each for each in self.account.walk(self.account.at(path))[1:] if _holds(where, each)]
        return multi(multistatus(node_row(self.account, self.base, each, asked) for each in found[:limit]))


def _time(text: str) -> int:
    return int(text) if text.strip().isdigit() else int(parsedate_to_datetime(text).timestamp())


def _holds(where: Element, node: Node) -> bool:
    operator = where.tag.rpartition("}")[2]
    if operator in {"or", "and"}:
        return (any if operator == "or" else all)(_holds(each, node) for each in where)
    prop = where.find(f"{{{DAV}}}prop/*")
    literal = where.findtext(f"{{{DAV}}}literal") or ""
    known = {f"{{{OC}}}fileid": str(node.file_id), f"{{{DAV}}}displayname": node.name, f"{{{NC}}}name": node.name}
    value = known.get("" if prop is None else prop.tag)
    if value is None:
        raise Refusal(400, "an unknown property")
    if operator == "eq":
        return value == literal
    if operator == "like":  # only `%…%`, without regard to case; `\\%` and `\\_` are themselves
        wanted = literal.removeprefix("%").removesuffix("%").replace("\\%", "%").replace("\\_", "_")
        return wanted.casefold() in value.casefold()
    raise Refusal(400, "an unknown operator")
