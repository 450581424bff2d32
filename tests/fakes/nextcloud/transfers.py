"""Uploads in chunks (`/remote.php/dav/uploads`), and many small files in one request (`/remote.php/dav/bulk`)."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

from tests.fakes.nextcloud.account import Refusal
from tests.fakes.nextcloud.conditions import path_in, require
from tests.fakes.nextcloud.files import mtime_of, stored_headers
from tests.fakes.nextcloud.wire import Call, Reply, as_json, multi
from tests.fakes.nextcloud.xml import DAV, asked_properties, dav_file_id, multistatus, row

if TYPE_CHECKING:
    from tests.fakes.nextcloud.account import Account

CHUNKS_MAX = 10_000


class Uploads:
    """The uploads of one account; a folder of chunks vanishes with the MOVE that uses it up.

    `chunk_min_bytes`: as with object storage, which takes numbered parts of at least 5 MiB.
    """

    def __init__(self, account: Account, user: str, chunk_min_bytes: int) -> None:
        self.account, self.user, self.chunk_min_bytes = account, user, chunk_min_bytes

    def answer(self, call: Call, path: str) -> Reply:
        name, _, chunk = path.partition("/")
        if call.method == "MKCOL" and not chunk:
            return self._begin(name)
        chunks = self.account.uploads.get(name)
        if chunks is None:
            raise Refusal(404, f"File with name {name} could not be located")
        if call.method == "PUT":
            return self._put(chunks, chunk, call)
        if call.method == "PROPFIND" and not chunk:
            return self._list(name, chunks, call)
        if call.method == "DELETE" and not chunk:
            del self.account.uploads[name]
            return Reply(status=204)
        if call.method == "MOVE" and chunk == ".file":
            return self._assemble(name, chunks, call)
        raise Refusal(405, "Reading intermediate uploads is not allowed")

    def _begin(self, name: str) -> Reply:
        if name in self.account.uploads:
            raise Refusal(405, "The resource you tried to create already exists")
        self.account.uploads[name] = {}
        return Reply(status=201)

    def _put(self, chunks: dict[str, bytes], chunk: str, call: Call) -> Reply:
        if self.chunk_min_bytes and not 1 <= int(chunk) <= CHUNKS_MAX:
            raise Refusal(400, "Invalid chunk name, must be numeric between 1 and 10000")
        chunks[chunk] = call.body
        return Reply(status=201)

    def _list(self, name: str, chunks: dict[str, bytes], call: Call) -> Reply:
        asked, base = asked_properties(call.body), f"/remote.php/dav/uploads/{self.user}/{name}"
        rows = [row(f"{base}/", {f"{{{DAV}}}resourcetype": lambda: "<d:collection/>"}, asked)]
        for chunk, data in {**chunks, ".file": b"".join(chunks.values())}.items():
            rows.append(row(f"{base}/{chunk}", {f"{{{DAV}}}getcontentlength": partial(str, len(data))}, asked))
        return multi(multistatus(rows))

    def _assemble(self, name: str, chunks: dict[str, bytes], call: Call) -> Reply:
        target = path_in(call.headers.get("destination", ""), self.user)
        if target is None:
            raise Refusal(400, "The destination header was malformed")
        there = self.account.find(target)
        if there is not None and call.headers.get("overwrite", "T") == "F":
            raise Refusal(412, "The destination node already exists, and the overwrite header is set to false")
        if self.account.find(target.rpartition("/")[0]) is None:
            raise Refusal(409, "The destination node is not found")
        if "if-match" in call.headers:
            raise Refusal(412, "what is moved has no ETag")
        require(self.account, self.user, {"if": call.headers.get("if", "")}, None)
        parts = [chunks[each] for each in sorted(chunks, key=int)]
        data = b"".join(parts)
        if call.headers.get("oc-total-length", str(len(data))) != str(len(data)):
            raise Refusal(400, f"Chunks on server do not sum up to the told length but to {len(data)} bytes")
        if any(len(part) < self.chunk_min_bytes for part in parts[:-1]):
            raise Refusal(400, "a part is too small")
        mtime_s = mtime_of(dict(call.headers))
        node = self.account.write(target, data, mtime_s=mtime_s, checksum=call.headers.get("oc-checksum", ""))
        del self.account.uploads[name]
        headers = stored_headers(node) | ({} if mtime_s is None else {"x-oc-mtime": "accepted"})
        return Reply(status=201 if there is None else 204, headers=headers)


def bulk(account: Account, call: Call) -> Reply:
    """Each part is written whatever stood there: no condition exists; no checksum is kept."""
    found = re.fullmatch(r'multipart/related; *boundary="?([^"]+)"?', call.headers.get("content-type", ""))
    if found is None:
        raise Refusal(400, "Content-Type must be multipart/related")
    written: dict[str, object] = {}
    rest, boundary = call.body, f"--{found[1]}".encode()
    while not rest.startswith(boundary + b"--"):
        head, separator, rest = rest.partition(b"\r\n\r\n")
        lines = head.removeprefix(boundary + b"\r\n").decode().split("\r\n")
        headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if not head.startswith(boundary) or not separator or "x-file-md5" not in headers:
            raise Refusal(400, "a part is malformed")
        size = int(headers["content-length"])
        data, rest = rest[:size], rest[size + 2 :]
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != headers["x-file-md5"]:
            raise Refusal(400, "Computed md5 hash is incorrect.")
        path = headers["x-file-path"]
        try:
            mtime = headers.get("x-oc-mtime") or headers.get("x-file-mtime")
            node = account.write(path.strip("/"), data, mtime_s=None if mtime is None else int(mtime))
            told = {"error": False, "etag": node.etag, "fileid": dav_file_id(node.file_id), "permissions": "RGDNVW"}
        except Refusal as refusal:
            told = {"error": True, "message": refusal.message}
        written[path] = told
    return as_json(written)
