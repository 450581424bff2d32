"""A WebDAV server in memory that can be each of the awkward ones; plugged in below httpx, without a socket.

`Manners` say what it honours. `lose` is called after a request took effect: true, and its answer is lost. `before` is
called before a request takes effect: what another client does at the worst moment.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """The defaults are good ones."""

    if_match: bool = True
    if_none_match: bool = True
    overwrite_f: bool = True
    locks: bool = True
    seconds: bool = False  # tags are made of whole seconds and the size
    whole_ranges: bool = False  # any range is answered with everything, as a 206
    empty_files: bool = True  # else it dies of them, and answers nothing
    empty_listings: bool = False  # a 207 without a single response
    blanks: int = 0  # bytes of white space in each listing


@dataclass(slots=True)
class Thing:
    """A file, or a folder (`data` None)."""

    data: bytes | None
    written_s: float
    count: int


class _Refusal(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def _nothing(_method: str, _names: Names) -> None:
    return None


@dataclass(slots=True)
class AwkwardDav(httpx.AsyncBaseTransport):
    """Its root is `/`."""

    manners: Manners = Manners()
    now_s: float = 1_700_000_000.0
    things: dict[Names, Thing] = field(default_factory=lambda: {(): Thing(None, 0.0, 0)})
    locks: dict[Names, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    before: Callable[[str, Names], None] = _nothing
    lose: Callable[[str, Names], bool | None] = _nothing
    count: int = 0

    # --- as a second writer

    def write(self, *names: str, data: bytes) -> None:
        """Without any condition."""
        self.count += 1
        self.things[names] = Thing(data, self.now_s, self.count)

    def below(self, names: Names) -> list[Names]:
        """Everything in a folder, at any depth."""
        return [each for each in self.things if len(each) > len(names) and each[: len(names)] == names]

    def tag(self, names: Names) -> str:
        """The ETag of what stands there."""
        thing = self.things[names]
        if self.manners.seconds:
            return f'"{int(thing.written_s)}-{len(thing.data or b"")}"'
        return f'"{thing.count}"'

    # --- as a server

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        names = tuple(unquote(each) for each in request.url.raw_path.decode().split("?")[0].split("/") if each)
        body = b"".join([chunk async for chunk in request.stream])  # type: ignore[union-attr]
        self.requests.append(f"{request.method} /{'/'.join(names)}")
        self.before(request.method, names)
        self.now_s += 0.001
        try:
            status, headers, data = getattr(self, f"_{request.method.lower()}")(names, request.headers, body)
        except _Refusal as refusal:
            status, headers, data = refusal.status, {}, b""
        if self.lose(request.method, names):
            raise httpx.ReadError("the answer is lost")
        fields = {"date": formatdate(self.now_s, usegmt=True), "content-length": str(len(data)), **headers}
        return httpx.Response(status, headers=fields, stream=httpx.ByteStream(data))

    def _conditions(self, names: Names, headers: httpx.Headers) -> None:
        token = self.locks.get(names)
        if token is not None and f"<{token}>" not in headers.get("if", ""):
            raise _Refusal(423)
        told = re.search(r"\[(.*)\]", headers.get("if", ""))
        if told is not None and (names not in self.things or told[1] != self.tag(names)):
            raise _Refusal(412)
        match = headers.get("if-match")
        if self.manners.if_match and match is not None and (names not in self.things or match != self.tag(names)):
            raise _Refusal(412)
        if self.manners.if_none_match and headers.get("if-none-match") == "*" and names in self.things:
            raise _Refusal(412)

    def _need(self, names: Names) -> Thing:
        if names not in self.things:
            raise _Refusal(404)
        return self.things[names]

    def _put(self, names: Names, headers: httpx.Headers, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self._conditions(names, headers)
        if not (body or self.manners.empty_files):
            raise httpx.RemoteProtocolError("the connection ended")
        if self.things.get(names[:-1], Thing(b"", 0, 0)).data is not None:
            raise _Refusal(409)
        if names in self.things and self.things[names].data is None:
            raise _Refusal(405)
        status = 204 if names in self.things else 201
        self.write(*names, data=body)
        return status, {}, b""

    def _get(self, names: Names, headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        data = self._need(names).data or b""
        told = {"etag": self.tag(names)}
        if "range" not in headers:
            return 200, told, data
        first, last = headers["range"].removeprefix("bytes=").split("-")
        start, stop = int(first), min(int(last) + 1, len(data))
        if self.manners.whole_ranges:
            start, stop = 0, len(data)
        return 206, {**told, "content-range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]

    def _delete(self, names: Names, headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        self._need(names)
        self._conditions(names, headers)
        for each in (*self.below(names), names):
            del self.things[each]
            self.locks.pop(each, None)
        return 204, {}, b""

    def _mkcol(self, names: Names, _headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        if names in self.things:
            raise _Refusal(405)
        if names[:-1] not in self.things:
            raise _Refusal(409)
        self.count += 1
        self.things[names] = Thing(None, self.now_s, self.count)
        return 201, {}, b""

    def _move(self, names: Names, headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        self._need(names)
        to = tuple(unquote(each) for each in urlsplit(headers["destination"]).path.split("/") if each)
        self._conditions(names, headers)
        if self.manners.overwrite_f and headers.get("overwrite") == "F" and to in self.things:
            raise _Refusal(412)
        if to in self.locks and f"<{self.locks[to]}>" not in headers.get("if", ""):
            raise _Refusal(423)
        if to[:-1] not in self.things:
            raise _Refusal(409)
        for each in self.below(to):
            del self.things[each]
        for each in (names, *self.below(names)):
            self.things[to + each[len(names) :]] = self.things.pop(each)
        return 201, {}, b""

    def _lock(self, names: Names, _headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        if not self.manners.locks:
            raise _Refusal(501)
        if names in self.locks:
            raise _Refusal(423)
        made = names not in self.things
        if made:
            self.write(*names, data=b"")
        self.locks[names] = f"urn:uuid:{self.count}-{hashlib.sha256('/'.join(names).encode()).hexdigest()[:8]}"
        return 201 if made else 200, {"lock-token": f"<{self.locks[names]}>"}, b""

    def _unlock(self, names: Names, _headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        self.locks.pop(names, None)
        return 204, {}, b""

    def _propfind(self, names: Names, headers: httpx.Headers, _: bytes) -> tuple[int, dict[str, str], bytes]:
        self._need(names)
        told = [names]
        if headers.get("depth") == "1":
            told += [each for each in self.below(names) if len(each) == len(names) + 1]
        rows = "" if self.manners.empty_listings and headers.get("depth") == "1" else "".join(map(self._row, told))
        blanks = " " * (self.manners.blanks if headers.get("depth") == "1" else 0)
        body = f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{rows}{blanks}</d:multistatus>'
        return 207, {"content-type": "application/xml"}, body.encode()

    def _row(self, names: Names) -> str:
        thing = self.things[names]
        kind = "<d:collection/>" if thing.data is None else ""
        length = "" if thing.data is None else f"<d:getcontentlength>{len(thing.data)}</d:getcontentlength>"
        return (
            f"<d:response><d:href>/{'/'.join(map(quote, names))}</d:href><d:propstat><d:prop>"
            f"<d:resourcetype>{kind}</d:resourcetype>{length}<d:getetag>{self.tag(names)}</d:getetag>"
            f"<d:getlastmodified>{formatdate(thing.written_s, usegmt=True)}</d:getlastmodified>"
            "</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        )
