"""The trash: the same item comes back, whole, or it is let go of for good; a folder is deleted only as it was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server_stub.auth import create_token

from .conftest import Api

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.harness.server import ServerProcess

Json = dict[str, Any]


def restore(api: Api, item_id: str, *, key: str = "", **target: object) -> httpx.Response:
    headers = {"idempotency-key": key or api.key()}
    return api.http.post(f"/v1/items/{item_id}:restore", json=target, headers=headers)


def purge(api: Api, item: Json, *, key: str = "", version: str = "") -> httpx.Response:
    headers = {"if-match": f'"{version or item["metadata_version"]}"', "idempotency-key": key or api.key()}
    return api.http.delete(f"/v1/trash/{item['item_id']}", headers=headers)


def delete_tree(api: Api, item: Json, anchor: str, *, key: str = "") -> httpx.Response:
    headers = {"if-match": f'"{item["metadata_version"]}"', "idempotency-key": key or api.key()}
    params = {"recursive": "true", "anchor": anchor}
    return api.http.delete(f"/v1/items/{item['item_id']}", params=params, headers=headers)


def trash(api: Api) -> dict[str, Json]:
    """Everything in the trash, by id, through pages of three."""
    found: dict[str, Json] = {}
    cursor = None
    while True:
        page = api.http.get("/v1/trash", params={"limit": "3"} | ({} if cursor is None else {"cursor": cursor})).json()
        found |= {item["item_id"]: item for item in page["items"]}
        cursor = page["cursor"]
        if cursor is None:
            return found


def plant(api: Api, home: Json) -> dict[str, Json]:
    """`top` with two files, a symlink and a folder in a folder."""
    top = api.create(home["item_id"], "top").json()
    inner = api.create(top["item_id"], "inner", mode=0o750, modified_at="2020-01-02T03:04:05.123456789Z").json()
    return {
        "top": top,
        "top/inner": inner,
        "top/a": api.write_new(top["item_id"], "a", b"alpha").json(),
        "top/inner/b": api.write_new(inner["item_id"], "b", b"beta", anchor_mode="0640").json(),
        "top/inner/link": api.create(inner["item_id"], "link", "symlink", symlink_target="../a").json(),
        "top/inner/empty": api.create(inner["item_id"], "empty").json(),
    }


def same_but_for_the_version(one: Json, other: Json) -> bool:
    return {**one, "metadata_version": ""} == {**other, "metadata_version": ""}


def test_a_file_comes_back_under_its_id_with_its_content(api: Api, home: Json, shared_server: ServerProcess) -> None:
    file = api.write_new(home["item_id"], "f", b"data", anchor_mode="0600").json()
    api.delete(file)
    anchor = api.anchor()
    entry = trash(api)[file["item_id"]]
    assert entry["path"] == f"/{home['name']}/f"
    assert (entry["deleted"], entry["name"], entry["size"], entry["digest"]) == (True, "f", 4, file["digest"])
    assert entry["expires_at"] > entry["deleted_at"]
    back = restore(api, file["item_id"])
    assert back.status_code == 200
    assert same_but_for_the_version(back.json(), file)
    assert back.json()["metadata_version"] != file["metadata_version"]
    assert api.content(file).content == b"data"
    assert (shared_server.root / home["name"] / "f").read_bytes() == b"data"
    assert file["item_id"] not in trash(api)
    changes = api.changes(anchor)["changes"]
    assert [(change["type"], change["item"]) for change in changes] == [("changed", back.json())]
    assert restore(api, file["item_id"]).json()["code"] == "not_deleted"


def test_a_restored_file_can_be_changed_and_deleted_and_restored_again(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "f", b"one").json()
    api.delete(file)
    back = restore(api, file["item_id"]).json()
    assert api.delete(file).status_code == 412  # a deletion that is tried again does not delete what was restored
    second = api.overwrite(back, b"two").json()
    api.delete(second)
    again = restore(api, file["item_id"]).json()
    assert api.content(again).content == b"two"
    assert api.get(f"/v1/items/{file['item_id']}/content?version={file['content_version']}").content == b"one"


def test_a_tree_is_deleted_at_once_and_restored_at_once(api: Api, home: Json, shared_server: ServerProcess) -> None:
    planted = plant(api, home)
    on_disk = shared_server.root / home["name"] / "top"
    shared_server.scan()  # what other tests left on disk is found before
    anchor = api.anchor()
    assert delete_tree(api, planted["top"], anchor).status_code == 204
    assert not on_disk.exists()
    changes = api.changes(anchor)["changes"]
    assert {change["item_id"] for change in changes} == {item["item_id"] for item in planted.values()}
    assert {change["type"] for change in changes} == {"deleted"}
    assert changes[-1]["item_id"] == planted["top"]["item_id"]
    assert [id_ for id_ in trash(api) if id_ in {item["item_id"] for item in planted.values()}] == [
        planted["top"]["item_id"]
    ]
    old = f"/v1/items/{planted['top/a']['item_id']}/content?version={planted['top/a']['content_version']}"
    assert api.get(old).content == b"alpha"  # an open handle reads on
    assert restore(api, planted["top"]["item_id"]).status_code == 200
    for path, item in planted.items():
        assert same_but_for_the_version(api.item(item["item_id"]).json(), item), path
    assert (on_disk / "inner" / "b").read_bytes() == b"beta"
    assert (on_disk / "inner" / "b").stat().st_mode & 0o777 == 0o640
    assert (on_disk / "inner").stat().st_mode & 0o777 == 0o750
    assert (on_disk / "inner" / "link").readlink().as_posix() == "../a"
    assert list((shared_server.state / "vault" / "staging").iterdir()) == []
    report = shared_server.scan()
    assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)


def test_a_part_of_a_deleted_tree_comes_back_alone(api: Api, home: Json) -> None:
    planted = plant(api, home)
    delete_tree(api, planted["top"], api.anchor())
    inner = restore(api, planted["top/inner"]["item_id"])
    assert (inner.status_code, inner.json()["code"]) == (409, "parent_gone")
    inner = restore(api, planted["top/inner"]["item_id"], parent_id=home["item_id"], name="new")
    assert (inner.status_code, inner.json()["name"]) == (200, "new")
    assert set(api.children(planted["top/inner"]["item_id"])) == {"b", "link", "empty"}
    restore(api, planted["top"]["item_id"])
    assert set(api.children(planted["top"]["item_id"])) == {"a"}


def test_a_taken_name_is_refused_or_numbered(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "f.txt", b"old").json()
    api.delete(file)
    other = api.write_new(home["item_id"], "f.txt", b"new").json()
    refused = restore(api, file["item_id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "name_taken")
    assert refused.json()["current"] == other
    assert restore(api, file["item_id"], conflict="rename").json()["name"] == "f (2).txt"
    assert api.content(other).content == b"new"


def test_a_replaced_file_is_in_the_trash_too(api: Api, home: Json) -> None:
    old = api.write_new(home["item_id"], "doc", b"old").json()
    new = api.write_new(home["item_id"], "tmp", b"new").json()
    named = {"item_id": old["item_id"], "content_version": old["content_version"]}
    assert api.patch(new, name="doc", replace=named).status_code == 200
    back = restore(api, old["item_id"], name="doc.old").json()
    assert api.content(back).content == b"old"


def test_keys_make_restoring_safe_to_repeat(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "f", b"x").json()
    api.delete(file)
    key = api.key()
    first = restore(api, file["item_id"], key=key)
    assert restore(api, file["item_id"], key=key).content == first.content
    assert restore(api, file["item_id"], key=key, name="other").json()["code"] == "idempotency_key_reused"
    bare = api.http.post(f"/v1/items/{file['item_id']}:restore")
    assert bare.json()["code"] == "idempotency_key_missing"


def test_what_is_let_go_of_is_gone_with_every_version(api: Api, home: Json, shared_server: ServerProcess) -> None:
    file = api.write_new(home["item_id"], "f", b"one").json()
    second = api.overwrite(file, b"two").json()
    api.delete(second)
    kept = shared_server.state / "vault" / "kept"
    assert {file["content_version"], second["content_version"]} <= {path.name for path in kept.iterdir()}
    stale = purge(api, second, version="other")
    assert (stale.status_code, stale.json()["current"]["item_id"]) == (412, file["item_id"])
    key = api.key()
    assert purge(api, second, key=key).status_code == 204
    assert purge(api, second, key=key).status_code == 204
    assert {file["content_version"], second["content_version"]}.isdisjoint({path.name for path in kept.iterdir()})
    assert file["item_id"] not in trash(api)
    gone = restore(api, file["item_id"])
    assert (gone.status_code, gone.json()["code"]) == (410, "deleted")
    assert api.get(f"/v1/items/{file['item_id']}/content?version={second['content_version']}").status_code == 410


def test_a_tree_is_let_go_of_as_one(api: Api, home: Json) -> None:
    planted = plant(api, home)
    delete_tree(api, planted["top"], api.anchor())
    assert purge(api, trash(api)[planted["top"]["item_id"]]).status_code == 204
    assert restore(api, planted["top/a"]["item_id"]).status_code == 410


def test_a_tree_that_changed_since_the_anchor_stays(api: Api, home: Json) -> None:
    planted = plant(api, home)
    changed: list[tuple[str, Any]] = [
        ("a file below is overwritten", lambda: api.overwrite(planted["top/inner/b"], b"newer")),
        ("something is created below", lambda: api.write_new(planted["top/inner"]["item_id"], "late", b"x")),
        ("something below is deleted", lambda: api.delete(planted["top/a"])),
        ("something below is moved out", lambda: api.patch(planted["top/inner/link"], parent_id=home["item_id"])),
    ]
    for what, change in changed:
        anchor = api.anchor()
        assert change().status_code in {200, 201, 204}, what
        answer = delete_tree(api, planted["top"], anchor)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), what
        assert api.item(planted["top"]["item_id"]).status_code == 200
    assert delete_tree(api, planted["top"], api.anchor()).status_code == 204


def test_a_tree_with_something_unseen_on_disk_stays(api: Api, home: Json, shared_server: ServerProcess) -> None:
    planted = plant(api, home)
    on_disk = shared_server.root / home["name"] / "top"
    anchor = api.anchor()
    (on_disk / "inner" / "theirs").write_bytes(b"theirs")
    assert delete_tree(api, planted["top"], anchor).status_code == 412
    assert (on_disk / "inner" / "theirs").read_bytes() == b"theirs"
    theirs = api.children(planted["top/inner"]["item_id"])["theirs"]
    assert api.content(theirs).content == b"theirs"
    anchor = api.anchor()
    (on_disk / "a").write_bytes(b"edited in place")
    assert delete_tree(api, planted["top"], anchor).status_code == 412
    assert (on_disk / "a").read_bytes() == b"edited in place"


def test_a_recursive_deletion_asks_for_what_it_needs(api: Api, home: Json) -> None:
    planted = plant(api, home)
    headers = {"if-match": f'"{planted["top"]["metadata_version"]}"', "idempotency-key": api.key()}
    path = f"/v1/items/{planted['top']['item_id']}"
    assert api.http.delete(path, params={"recursive": "true"}, headers=headers).json()["code"] == "invalid_request"
    assert delete_tree(api, planted["top"], "nonsense").json()["code"] == "anchor_expired"
    stale = planted["top"] | {"metadata_version": "stale"}
    assert delete_tree(api, stale, api.anchor()).status_code == 412
    root = api.root()
    assert delete_tree(api, root, api.anchor()).json()["code"] == "forbidden"
    key, anchor = api.key(), api.anchor()
    assert delete_tree(api, planted["top"], anchor, key=key).status_code == 204
    assert delete_tree(api, planted["top"], anchor, key=key).status_code == 204
    file = api.write_new(home["item_id"], "f", b"x").json()
    assert delete_tree(api, file, api.anchor()).status_code == 204


def test_what_others_deleted_on_disk_is_not_in_the_trash(server: ServerProcess) -> None:
    """Its content is not the server's to give back."""
    (server.root / "big").mkdir()
    for number in range(3):
        (server.root / "big" / str(number)).write_bytes(b"x")
    server.start()
    with server.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        (big,) = client.get(f"/v1/items/{root}/children").json()["items"]
        (server.root / "big" / "0").unlink()
        server.scan()
        assert client.get("/v1/trash").json() == {"items": [], "cursor": None}
        assert client.get(f"/v1/items/{big['item_id']}").status_code == 200


def test_a_token_sees_the_trash_below_its_root_only(server: ServerProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    whole = create_token(tokens, name="whole")
    part = create_token(tokens, name="part", root="/in")
    reader = create_token(tokens, name="reader", root="/in", read_only=True)
    server.options = ("--tokens", str(tokens))
    (server.root / "in").mkdir()
    (server.root / "out").mkdir()
    server.start()
    with server.client(token=whole) as one, server.client(token=part) as two, server.client(token=reader) as three:
        everything, inside, looking = Api(one), Api(two), Api(three)
        folders = everything.children(everything.root()["item_id"])
        files = {name: everything.write_new(folders[name]["item_id"], "f", b"x").json() for name in ("in", "out")}
        for file in files.values():
            everything.delete(file)
        assert {item["path"] for item in trash(inside).values()} == {"/f"}
        assert len(trash(everything)) == 2
        assert restore(inside, files["out"]["item_id"]).status_code == 404
        assert purge(inside, files["out"]).status_code == 404
        assert restore(looking, files["in"]["item_id"]).json()["code"] == "forbidden"
        assert purge(looking, files["in"]).json()["code"] == "forbidden"
        elsewhere = restore(inside, files["in"]["item_id"], parent_id=folders["out"]["item_id"])
        assert elsewhere.status_code == 404
        assert restore(inside, files["in"]["item_id"]).status_code == 200
