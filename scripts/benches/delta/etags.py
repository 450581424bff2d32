"""A WebDAV server whose folders' ETags tell of every change below them, and the walk of a client that lives by them.

That is how Nextcloud and its clients find out what changed: the ETag of a folder changes with anything below it, so a
client asks for the root (PROPFIND, Depth: 1), and goes down where an ETag is another than it knows. The server here is
as cheap as it can be: the ETags of folders that changed are in memory, names and sizes come from one listing of the
disk, there is no database, no login, no PHP. A real one takes longer; it never takes less.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST = "0"  # the ETag of a folder in which nothing has changed since the server started
_HEAD = b'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns">'
_ENTRY = (
    "<d:response><d:href>{href}</d:href><d:propstat><d:prop><d:resourcetype>{kind}</d:resourcetype>"
    '<d:getlastmodified>{mtime}</d:getlastmodified><d:getetag>"{etag}"</d:getetag>'
    "<d:getcontentlength>{size}</d:getcontentlength><oc:id>{ino:020}</oc:id><oc:permissions>RGDNVW</oc:permissions>"
    "</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
)
_ASKED = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:resourcetype/>'
    b"<d:getlastmodified/><d:getetag/><d:getcontentlength/><oc:id/><oc:permissions/></d:prop></d:propfind>"
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.etags: dict[str, str] = {}
        self.changes = 0

    def changed(self, paths: Iterable[str]) -> None:
        """Every folder above them has another ETag from here on."""
        self.changes += 1
        for path in paths:
            folder = path
            while folder:
                folder = folder.rpartition("/")[0]
                self.etags[folder] = str(self.changes)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Not WebDAV: the bench tells what it changed."""
        self.server.changed(json.loads(self._body()))
        self._answer(204, b"")

    def do_PROPFIND(self) -> None:
        """A folder and its children."""
        self._body()
        folder = unquote(self.path).strip("/")
        told = [self._entry(folder, os.stat(self.server.root / folder))]  # noqa: PTH116 - once per folder
        with os.scandir(self.server.root / folder) as entries:
            told += [self._entry(f"{folder}/{entry.name}".lstrip("/"), entry.stat()) for entry in entries]
        self._answer(207, _HEAD + "".join(told).encode() + b"</d:multistatus>")

    def _entry(self, path: str, status: os.stat_result) -> str:
        is_folder = status.st_mode & 0o040000
        etag = self.server.etags.get(path, _FIRST) if is_folder else f"{status.st_mtime_ns:x}-{status.st_size:x}"
        return _ENTRY.format(
            href=quote(f"/{path}"), kind="<d:collection/>" if is_folder else "", etag=etag, size=status.st_size,
            mtime=self.date_time_string(status.st_mtime), ino=status.st_ino,
        )  # fmt: skip

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", "0")))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No lines."""


@dataclass(slots=True)
class Walk:
    """A client: what it knew of folders is that nothing had changed, or what it last saw."""

    address: str
    etags: dict[str, str]

    def run(self) -> tuple[int, int, int]:
        """Find what changed; (requests, bytes, entries of folders that were looked into)."""
        connection = http.client.HTTPConnection(self.address, timeout=600)
        requests = received = entries = 0
        todo = [""]
        while todo:
            folder = todo.pop()
            connection.request("PROPFIND", quote(f"/{folder}"), body=_ASKED, headers={"Depth": "1"})
            body = connection.getresponse().read()
            requests, received = requests + 1, received + len(body)
            for path, etag, is_folder in _told(body):
                entries += 1
                if path == folder:
                    self.etags[path] = etag
                elif is_folder and self.etags.get(path, _FIRST) != etag:
                    todo.append(path)
        connection.close()
        return requests, received, entries

    def tell(self, paths: list[str]) -> None:
        """Let the server know what was changed behind its back."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("POST", "/", body=json.dumps(paths))
        connection.getresponse().read()
        connection.close()


def _told(body: bytes) -> Iterable[tuple[str, str, bool]]:
    for response in ET.fromstring(body):  # noqa: S314 - of our own server
        prop = response[1][0]
        yield unquote(response[0].text or "").strip("/"), (prop[2].text or "").strip('"'), len(prop[0]) > 0


def main() -> None:
    """Serve a folder; the address goes into a file."""
    server = _Server(Path(sys.argv[1]))
    ready = Path(sys.argv[2])
    fresh = ready.with_suffix(".new")
    fresh.write_text(f"127.0.0.1:{server.server_address[1]}", encoding="ascii")
    fresh.rename(ready)
    server.serve_forever()


if __name__ == "__main__":
    main()
