"""The requests of tus 1.0.0, written out: a client that says exactly what a test wants to be said."""

from __future__ import annotations

import base64
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

VERSION = {"tus-resumable": "1.0.0"}
MEDIA_TYPE = {"content-type": "application/offset+octet-stream"}
Json = dict[str, Any]


def metadata(**values: str) -> dict[str, str]:
    """Upload-Metadata."""
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"upload-metadata": ",".join(pairs)}


class Tus:
    """`client` is signed in."""

    def __init__(self, client: httpx.Client) -> None:
        self.http = client

    def create(self, length: int | None, data: bytes | None = None, **headers: str) -> httpx.Response:
        """POST; `length` None: put off. Underscores in header names are dashes."""
        size = {"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}
        body = {} if data is None else MEDIA_TYPE
        return self.http.post("/v1/uploads", content=data, headers=VERSION | size | body | _dashed(headers))

    def begin(self, length: int | None, data: bytes | None = None, **headers: str) -> str:
        """The address of a new upload."""
        answer = self.create(length, data, **headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    def patch(self, url: str, offset: int, data: bytes | Iterable[bytes], **headers: str) -> httpx.Response:
        """PATCH."""
        own = VERSION | MEDIA_TYPE | {"upload-offset": str(offset)} | _dashed(headers)
        return self.http.patch(url, content=data, headers=own)

    def head(self, url: str) -> httpx.Response:
        """HEAD."""
        return self.http.head(url, headers=VERSION)

    def offset(self, url: str) -> int:
        """The acknowledged offset."""
        return int(self.head(url).headers["upload-offset"])

    def state(self, url: str) -> Json:
        """The state as JSON."""
        state: Json = self.http.get(url).json()
        return state

    def commit(self, url: str, key: str, **body: object) -> httpx.Response:
        """POST :commit."""
        return self.http.post(f"{url}:commit", json=body, headers={"idempotency-key": f'"{key}"'})

    def concat(self, urls: list[str], **headers: str) -> httpx.Response:
        """The final upload of a concatenation."""
        own = VERSION | {"upload-concat": "final;" + " ".join(urls)} | _dashed(headers)
        return self.http.post("/v1/uploads", headers=own)

    def half_patch(self, url: str, offset: int, announced: int, data: bytes) -> socket.socket:
        """A PATCH that announces more than it sends, on a connection that stays open. The server is receiving when
        this returns: it asked for the body.
        """
        parts = urlsplit(url)
        fields = VERSION | MEDIA_TYPE | {"upload-offset": str(offset), "content-length": str(announced)}
        fields |= {"expect": "100-continue", "host": parts.netloc, "authorization": self.http.headers["authorization"]}
        head = f"PATCH {parts.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=DEADLINE_S)
        connection.sendall(head.encode() + b"\r\n")
        told = connection.recv(4096)
        assert told.startswith(b"HTTP/1.1 100"), told
        connection.sendall(data)
        return connection

    def wait_for(self, url: str, offset: int, within_s: float = DEADLINE_S) -> None:
        """Until so much is acknowledged, asked without ending whoever sends."""
        deadline = time.monotonic() + within_s
        while self.state(url)["offset"] < offset:
            assert time.monotonic() < deadline, self.state(url)
            time.sleep(0.05)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
