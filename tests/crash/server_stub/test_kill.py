"""kill -9 between any two steps of a change: after the restart tree and index agree; the change is whole or absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
KEY = {"idempotency-key": '"the-one"'}

# The change is durable from the moment its intent is; before that it never was.
OVERWRITE = [("staged", b"old"), ("intended", b"new"), ("after-keep", b"new"), ("after-put", b"new")]
OVERWRITE += [("performed", b"new"), ("applied", b"new")]


def put(client: httpx.Client, item: Json, data: bytes) -> httpx.Response:
    headers = {"if-match": f'"{item["content_version"]}"', **KEY}
    return client.put(f"/v1/items/{item['item_id']}/content", content=data, headers=headers)


def make(client: httpx.Client, name: str, data: bytes) -> Json:
    root = client.get("/v1/root").json()["item_id"]
    path = f"/v1/items/{root}/children/{name}/content"
    item: Json = client.put(path, content=data, headers={"if-none-match": "*"}).json()
    return item


def names(client: httpx.Client) -> set[str]:
    root = client.get("/v1/root").json()["item_id"]
    return {item["name"] for item in client.get(f"/v1/items/{root}/children").json()["items"]}


def agrees(server: ServerProcess, client: httpx.Client) -> None:
    """Index and tree tell the same, no stray is left, and a scan finds nothing to correct."""
    assert names(client) == {path.name for path in server.root.iterdir()}
    assert list((server.state / "vault" / "staging").iterdir()) == []
    report = server.scan()
    assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)


def crash(server: ServerProcess, point: str) -> None:
    """Restart with the failpoint armed."""
    server.restart(env={"ANCHORFS_SERVER_FAILPOINT": point})


@pytest.mark.parametrize(("point", "expected"), OVERWRITE)
def test_overwrite(tmp_path: Path, point: str, expected: bytes) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            item = make(client, "f", b"old")
        crash(server, point)
        with server.client() as client, pytest.raises(httpx.TransportError):
            put(client, item, b"new")
        server.wait_dead()
        server.start()
        with server.client() as client:
            agrees(server, client)
            path = f"/v1/items/{item['item_id']}/content"
            assert client.get(path).content == expected
            assert (server.root / "f").read_bytes() == expected
            # The client asks again under its key: exactly one effect, and a true answer.
            answer = put(client, item, b"new")
            assert answer.status_code == 200
            assert client.get(path).headers["etag"] == f'"{answer.json()["content_version"]}"'
            old = client.get(f"{path}?version={item['content_version']}")
            assert old.content == b"old"


@pytest.mark.parametrize("point", ["intended", "after-setattributes", "after-keep", "after-move", "performed"])
def test_rename_over_another_file(tmp_path: Path, point: str) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            old, new = make(client, "doc", b"old"), make(client, "tmp", b"new")
        crash(server, point)
        place = {"item_id": old["item_id"], "content_version": old["content_version"]}
        headers = {"if-match": f'"{new["metadata_version"]}"', **KEY}
        request = {"name": "doc", "mode": 0o600, "replace": place}
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.patch(f"/v1/items/{new['item_id']}", json=request, headers=headers)
        server.wait_dead()
        server.start()
        with server.client() as client:
            agrees(server, client)
            assert names(client) == {"doc"}
            assert client.get(f"/v1/items/{old['item_id']}").status_code == 410
            assert client.get(f"/v1/items/{new['item_id']}/content").content == b"new"
            answer = client.patch(f"/v1/items/{new['item_id']}", json=request, headers=headers)
            assert (answer.status_code, answer.json()["name"]) == (200, "doc")


@pytest.mark.parametrize("point", ["intended", "after-stow", "performed", "applied"])
def test_delete(tmp_path: Path, point: str) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            item = make(client, "f", b"x")
            anchor = client.get("/v1/changes?limit=0").json()["anchor"]
        crash(server, point)
        headers = {"if-match": f'"{item["metadata_version"]}"', **KEY}
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.delete(f"/v1/items/{item['item_id']}", headers=headers)
        server.wait_dead()
        server.start()
        with server.client() as client:
            agrees(server, client)
            changes = client.get("/v1/changes", params={"anchor": anchor}).json()["changes"]
            assert [(change["type"], change["item_id"]) for change in changes] == [("deleted", item["item_id"])]
            assert client.delete(f"/v1/items/{item['item_id']}", headers=headers).status_code == 204


@pytest.mark.parametrize("point", ["intended", "after-put", "performed"])
def test_create_folder(tmp_path: Path, point: str) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            root = client.get("/v1/root").json()["item_id"]
        crash(server, point)
        request = {"parent_id": root, "name": "d", "kind": "folder"}
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.post("/v1/items", json=request, headers=KEY)
        server.wait_dead()
        server.start()
        with server.client() as client:
            agrees(server, client)
            answer = client.post("/v1/items", json=request, headers=KEY)
            assert answer.status_code == 201
            assert client.get(f"/v1/items/{answer.json()['item_id']}").json() == answer.json()
            assert names(client) == {"d"}
