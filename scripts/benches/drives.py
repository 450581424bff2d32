"""A real server over a real tree, asked as a client asks, and what its log and the kernel tell of it."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.benches.load import Request
from scripts.benches.running import BenchFailedError, Program

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

FILES_PER_FOLDER = 1000
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A running server."""

    url: str
    process: Program

    def request(self, target: str) -> Request:
        """A GET of this server."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return Request(address=(host, int(port)), target=target)

    def root_id(self) -> str:
        """The id of the root."""
        return str(self._get("/v1/root")["item_id"])

    def children(self, folder_id: str) -> list[dict[str, Any]]:
        """The first page of a folder."""
        items: list[dict[str, Any]] = self._get(f"/v1/items/{folder_id}/children?limit=5000")["items"]
        return items

    def newest_anchor(self) -> str:
        """Where the feed stands."""
        return str(self._get("/v1/changes?limit=0")["anchor"])

    def make_folder(self, parent_id: str, name: str) -> None:
        """One change."""
        body = json.dumps({"parent_id": parent_id, "name": name, "kind": "folder"}).encode()
        headers = {"Idempotency-Key": f'"{uuid.uuid4()}"', "Content-Type": "application/json"}
        self._open(urllib.request.Request(self.url + "/v1/items", data=body, headers=headers))  # noqa: S310 - our own

    def import_told(self) -> str:
        """What the server's log says of its import."""
        for line in self.process.log_path.read_text(encoding="utf-8").splitlines():
            _, found, report = line.partition("import done: ")
            if found:
                told = json.loads(report.replace("'", '"'))
                return f"{told['seconds']:.1f} s, {told['items_per_s']:,} items/s"
        raise BenchFailedError("the server's log tells of no import")

    def peak_mib(self) -> float:
        """The most memory that the process held."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:  # noqa: PTH123 - a file of the kernel
            kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        return kib / 1024

    def _get(self, target: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._open(urllib.request.Request(self.url + target)))  # noqa: S310 - our own
        return found

    def _open(self, request: urllib.request.Request) -> bytes:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - our own server
            body: bytes = answer.read()
        return body


def serve(stack: ExitStack, base: Path, root: Path) -> Drive:
    """Serve a tree with the defaults, without tokens, log lines and scans; ready when what lies there is imported."""
    base.mkdir()
    ready = base / "ready.json"
    words = [sys.executable, "-m", "server_stub", "serve", "--root", root, "--state", base / "state", "--no-auth"]
    words += ["--listen", "127.0.0.1:0", "--ready-file", ready, "--scan-interval", "0", "--no-access-log"]
    process = Program(words, base / "server.log")
    stack.callback(process.close)
    process.await_true(ready.exists, "server")
    return Drive(url=json.loads(ready.read_text(encoding="utf-8"))["url"], process=process)


def build(root: Path, items: int) -> None:
    """Empty files, a thousand to a folder."""
    for number in range(-(-items // FILES_PER_FOLDER)):
        folder = root / f"g{number // 100:03}" / f"d{number:05}"
        folder.mkdir(parents=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in range(min(FILES_PER_FOLDER, items - number * FILES_PER_FOLDER)):
                os.close(os.open(f"file-{name:04}.txt", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
        finally:
            os.close(fd)
