"""Trees deeper than a program's stack and than a path: walked, copied, deleted and restored like any other."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.clearing import clear

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.server import ServerProcess

Json = dict[str, Any]
DEPTH = 1_050  # beyond Python's recursion limit of 1,000 and beyond the 1,024 descriptors of a process
NAME = "a-name-of-some-length"  # 1,050 of them are 22,050 bytes, beyond PATH_MAX


def dig(top: Path) -> None:
    """Folders in folders, with a file at the bottom."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir(NAME, dir_fd=fd)
        deeper = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    bottom = os.open("bottom", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(bottom, b"deep")
    os.close(bottom)
    os.close(fd)


@pytest.fixture
def deep(server: ServerProcess) -> Iterator[ServerProcess]:
    """A server over a deep tree, which is taken away again: what clears up after tests recurses too."""
    dig(server.root / "top")
    yield server
    if server.process is not None:
        server.kill()
    folder = os.open(server.root.parent, os.O_RDONLY)
    for name in ("root", "state"):
        clear(folder, name)
    os.close(folder)
    assert not server.root.exists()


def walked(api: Api, top: Json) -> Json:
    """The last item of a walk."""
    lines = api.http.get(f"/v1/items/{top['item_id']}/descendants").text.splitlines()
    assert len(lines) == DEPTH + 2
    item: Json = json.loads(lines[-2])["item"]
    return item


def bottoms(api: Api) -> list[bytes]:
    """The contents of every file at a bottom."""
    found = api.http.get("/v1/search", params={"q": "bottom"}).json()["items"]
    return [api.content(item).content for item in found]


def test_depth_is_no_matter(deep: ServerProcess) -> None:
    server = deep
    server.start(within_s=240)
    with server.client(timeout_s=240.0) as client:
        api = Api(client)
        top = api.children(api.root()["item_id"])["top"]
        assert bottoms(api) == [b"deep"]
        headers = {"idempotency-key": api.key()}
        twin = api.http.post(f"/v1/items/{top['item_id']}:copy", json={"name": "twin"}, headers=headers)
        assert twin.status_code == 201, twin.text
        assert bottoms(api) == [b"deep", b"deep"]
        headers = {"idempotency-key": api.key(), "if-match": f'"{top["metadata_version"]}"'}
        params = {"recursive": "true", "anchor": api.anchor()}
        gone = api.http.delete(f"/v1/items/{top['item_id']}", params=params, headers=headers)
        assert gone.status_code == 204, gone.text
        assert not (server.root / "top").exists()
        assert bottoms(api) == [b"deep"]
        back = api.http.post(f"/v1/items/{top['item_id']}:restore", headers={"idempotency-key": api.key()})
        assert back.status_code == 200, back.text
        assert api.content(walked(api, top)).content == b"deep"
    assert list((server.state / "vault" / "staging").iterdir()) == []
    assert server.stop() == 0
