"""kill -9 between any two steps of a copy, a restoration or a deletion of a tree: afterwards it is whole or absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
KEY = {"idempotency-key": '"the-one"'}
TREE = {"inner/b": b"beta", "a": b"alpha", "inner/c": b"gamma"}


def plant(server: ServerProcess) -> None:
    """`top` with files at two levels, on disk before the first start."""
    for path, data in TREE.items():
        place = server.root / "top" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def named(client: httpx.Client, name: str) -> Json | None:
    root = client.get("/v1/root").json()["item_id"]
    items = client.get(f"/v1/items/{root}/children").json()["items"]
    return next((item for item in items if item["name"] == name), None)


def told(client: httpx.Client, top: Json) -> dict[str, bytes]:
    """The files below a folder as the server tells them, by path."""
    files: dict[str, bytes] = {}
    for item in client.get(f"/v1/items/{top['item_id']}/children").json()["items"]:
        if item["is_folder"]:
            files |= {f"{item['name']}/{path}": data for path, data in told(client, item).items()}
        else:
            files[item["name"]] = client.get(f"/v1/items/{item['item_id']}/content").content
    return files


def agrees(server: ServerProcess) -> None:
    """No stray is left, and a scan finds nothing to correct."""
    assert list((server.state / "vault" / "staging").iterdir()) == []
    report = server.scan()
    assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)


def die(server: ServerProcess, point: str, method: str, path: str, **request: object) -> None:
    """One request into the armed failpoint, then a plain start."""
    server.restart(env={"ANCHORFS_SERVER_FAILPOINT": point})
    with server.client() as client, pytest.raises(httpx.TransportError):
        client.request(method, path, **request)  # type: ignore[arg-type]
    server.wait_dead()
    server.start()


@pytest.mark.parametrize("point", ["intended", "after-put", "applied"])
def test_copy(tmp_path: Path, point: str) -> None:
    server = ServerProcess(tmp_path)
    plant(server)
    with server:
        with server.client() as client:
            top = named(client, "top")
        assert top is not None
        path, request = f"/v1/items/{top['item_id']}:copy", {"json": {"name": "twin"}, "headers": KEY}
        die(server, point, "POST", path, **request)
        with server.client() as client:
            agrees(server)
            twin = named(client, "twin")
            assert twin is not None
            assert told(client, twin) == TREE
            answer = client.post(path, **request)
            assert (answer.status_code, answer.json()) == (201, twin)


@pytest.mark.parametrize("point", ["intended", "after-keep:2", "stowing", "performed", "applied"])
def test_delete_tree(tmp_path: Path, point: str) -> None:
    server = ServerProcess(tmp_path)
    plant(server)
    with server:
        with server.client() as client:
            top, anchor = named(client, "top"), client.get("/v1/changes?limit=0").json()["anchor"]
        assert top is not None
        request = {
            "params": {"recursive": "true", "anchor": anchor},
            "headers": {"if-match": f'"{top["metadata_version"]}"', **KEY},
        }
        path = f"/v1/items/{top['item_id']}"
        die(server, point, "DELETE", path, **request)
        with server.client() as client:
            agrees(server)
            assert named(client, "top") is None
            assert not (server.root / "top").exists()
            changes = client.get("/v1/changes", params={"anchor": anchor}).json()["changes"]
            assert [change["type"] for change in changes] == ["deleted"] * 5
            assert client.delete(path, **request).status_code == 204  # type: ignore[arg-type]
            back = client.post(f"{path}:restore", json={}, headers={"idempotency-key": '"back"'})
            assert told(client, back.json()) == TREE


def test_a_tree_that_others_changed_while_the_server_was_down_comes_back(tmp_path: Path) -> None:
    """The intent is durable, the folder has left the tree, but nobody has looked through it yet."""
    server = ServerProcess(tmp_path)
    plant(server)
    with server:
        with server.client() as client:
            top, anchor = named(client, "top"), client.get("/v1/changes?limit=0").json()["anchor"]
        assert top is not None
        server.restart(env={"ANCHORFS_SERVER_FAILPOINT": "stowing"})
        headers = {"if-match": f'"{top["metadata_version"]}"', **KEY}
        params = {"recursive": "true", "anchor": anchor}
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.delete(f"/v1/items/{top['item_id']}", params=params, headers=headers)
        server.wait_dead()
        (aside,) = (server.state / "vault" / "staging").iterdir()
        (aside / "inner" / "theirs").write_bytes(b"written through an open descriptor")
        server.start()
        server.scan()
        with server.client() as client:
            assert (server.root / "top" / "inner" / "theirs").exists()
            again = named(client, "top")
            assert again is not None
            assert told(client, again) == TREE | {"inner/theirs": b"written through an open descriptor"}
            assert client.get(f"/v1/items/{top['item_id']}").status_code == 200


@pytest.mark.parametrize("point", ["after-fetch:2", "after-seal", "after-put", "applied"])
def test_restore_tree(tmp_path: Path, point: str) -> None:
    server = ServerProcess(tmp_path)
    plant(server)
    with server:
        with server.client() as client:
            top, anchor = named(client, "top"), client.get("/v1/changes?limit=0").json()["anchor"]
            assert top is not None
            path = f"/v1/items/{top['item_id']}"
            gone = client.delete(
                path,
                params={"recursive": "true", "anchor": anchor},
                headers={"if-match": f'"{top["metadata_version"]}"', "idempotency-key": '"gone"'},
            )
            assert gone.status_code == 204
        request = {"json": {"name": "back"}, "headers": KEY}
        die(server, point, "POST", f"{path}:restore", **request)
        with server.client() as client:
            agrees(server)
            back = named(client, "back")
            assert back is not None
            assert back["item_id"] == top["item_id"]
            assert told(client, back) == TREE
            assert list((server.state / "vault" / "kept").iterdir()) == []
            answer = client.post(f"{path}:restore", **request)
            assert (answer.status_code, answer.json()) == (200, back)
            assert client.get("/v1/trash").json()["items"] == []


def test_a_restoration_whose_place_was_taken_meanwhile_leaves_the_trash_as_it_was(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    plant(server)
    with server:
        with server.client() as client:
            top, anchor = named(client, "top"), client.get("/v1/changes?limit=0").json()["anchor"]
            assert top is not None
            path = f"/v1/items/{top['item_id']}"
            client.delete(
                path,
                params={"recursive": "true", "anchor": anchor},
                headers={"if-match": f'"{top["metadata_version"]}"', "idempotency-key": '"gone"'},
            )
        server.restart(env={"ANCHORFS_SERVER_FAILPOINT": "after-fetch:2"})
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.post(f"{path}:restore", headers=KEY)
        server.wait_dead()
        (server.root / "top").write_bytes(b"theirs")
        server.start()
        server.scan()
        with server.client() as client:
            agrees(server)
            refused = client.post(f"{path}:restore", headers=KEY)
            assert (refused.status_code, refused.json()["code"]) == (409, "name_taken")
            back = client.post(f"{path}:restore", json={"name": "back"}, headers={"idempotency-key": '"again"'})
            assert told(client, back.json()) == TREE


def test_purge(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    plant(server)
    with server:
        with server.client() as client:
            top = named(client, "top")
            assert top is not None
            (file,) = (
                item
                for item in client.get(f"/v1/items/{top['item_id']}/children").json()["items"]
                if item["name"] == "a"
            )
            version = {"if-match": f'"{file["metadata_version"]}"'}
            client.delete(f"/v1/items/{file['item_id']}", headers=version | {"idempotency-key": '"gone"'})
        path = f"/v1/trash/{file['item_id']}"
        die(server, "applied", "DELETE", path, headers=version | KEY)
        with server.client() as client:
            agrees(server)
            assert client.get("/v1/trash").json()["items"] == []
            assert list((server.state / "vault" / "kept").iterdir()) == []
            assert client.delete(path, headers=version | KEY).status_code == 204
