"""Items: whole in every answer, changed only on the base that the client has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.server import ServerProcess

    from .conftest import Api

Json = dict[str, Any]
MEMBERS = {
    "item_id",
    "parent_id",
    "name",
    "kind",
    "is_folder",
    "size",
    "created_at",
    "modified_at",
    "content_version",
    "metadata_version",
    "digest",
    "mode",
    "symlink_target",
    "capabilities",
    "deleted",
    "xattrs",
}


def test_root_is_a_whole_item_with_etag_and_304(api: Api) -> None:
    answer = api.get("/v1/root")
    root = answer.json()
    assert set(root) == MEMBERS
    assert root["parent_id"] is None
    assert root["name"] == ""
    assert "delete" not in root["capabilities"]
    assert answer.headers["etag"] == f'"{root["metadata_version"]}"'
    assert api.get("/v1/root", if_none_match=answer.headers["etag"]).status_code == 304


def test_create_folder_file_and_symlink(api: Api, home: Json, shared_server: ServerProcess) -> None:
    folder = api.create(home["item_id"], "d", mode=0o700)
    assert folder.status_code == 201
    assert folder.headers["location"] == f"/v1/items/{folder.json()['item_id']}"
    assert folder.json()["content_version"] is None
    file = api.create(home["item_id"], "f", "file", modified_at="2020-02-03T04:05:06.000000007Z").json()
    assert file["size"] == 0
    assert file["modified_at"] == "2020-02-03T04:05:06.000000007Z"
    link = api.create(home["item_id"], "l", "symlink", symlink_target="../nowhere").json()
    assert link["symlink_target"] == "../nowhere"
    on_disk = shared_server.root / home["name"]
    assert (on_disk / "d").stat().st_mode & 0o777 == 0o700
    assert (on_disk / "f").stat().st_mtime_ns == 1580702706_000000007
    assert (on_disk / "l").readlink().as_posix() == "../nowhere"


def test_taken_name_fails_with_its_holder_or_takes_a_number(api: Api, home: Json) -> None:
    first = api.create(home["item_id"], "a.txt", "file").json()
    taken = api.create(home["item_id"], "a.txt", "file")
    assert taken.status_code == 409
    assert taken.headers["content-type"] == "application/problem+json"
    assert taken.json()["code"] == "name_taken"
    assert taken.json()["existing_id"] == first["item_id"]
    assert taken.json()["current"] == first
    assert api.create(home["item_id"], "a.txt", "file", conflict="rename").json()["name"] == "a (2).txt"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name_invalid"),
        (".", "name_invalid"),
        ("..", "name_invalid"),
        ("a/b", "name_invalid"),
        ("é" * 128, "name_too_long"),
    ],
)
def test_names_that_the_drive_refuses(api: Api, home: Json, name: str, code: str) -> None:
    answer = api.create(home["item_id"], name)
    assert answer.status_code == 422
    assert answer.json()["code"] == code


def test_name_of_255_bytes_and_odd_characters(api: Api, home: Json) -> None:
    for name in ("x" * 255, "a%2Fb c?d#e", "новый 📄"):
        assert api.create(home["item_id"], name, "file").status_code == 201
    assert set(api.children(home["item_id"])) == {"x" * 255, "a%2Fb c?d#e", "новый 📄"}


def test_move_and_rename_in_one_step_keeps_id_and_content_version(api: Api, home: Json) -> None:
    folder = api.create(home["item_id"], "d").json()
    file = api.write_new(home["item_id"], "f", b"bytes").json()
    moved = api.patch(file, parent_id=folder["item_id"], name="g", mode=0o600)
    assert moved.status_code == 200
    now = moved.json()
    assert (now["item_id"], now["content_version"]) == (file["item_id"], file["content_version"])
    assert now["metadata_version"] != file["metadata_version"]
    assert (now["parent_id"], now["name"], now["mode"]) == (folder["item_id"], "g", 0o600)
    assert api.content(now).content == b"bytes"
    path = api.get(f"/v1/items/{file['item_id']}/path").json()
    assert path["path"] == f"/{home['name']}/d/g"


def test_patch_needs_a_base_a_key_and_the_right_version(api: Api, home: Json) -> None:
    file = api.create(home["item_id"], "f", "file").json()
    path = f"/v1/items/{file['item_id']}"
    bare = api.http.patch(path, json={"name": "g"}, headers={"idempotency-key": api.key()})
    assert (bare.status_code, bare.json()["code"]) == (428, "precondition_required")
    star = api.http.patch(path, json={"name": "g"}, headers={"idempotency-key": api.key(), "if-match": "*"})
    assert star.status_code == 428
    keyless = api.http.patch(path, json={"name": "g"}, headers={"if-match": f'"{file["metadata_version"]}"'})
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")
    stale = api.patch({**file, "metadata_version": "other"}, name="g")
    assert stale.status_code == 412
    assert stale.json()["current"] == file


def test_no_folder_moves_below_itself(api: Api, home: Json) -> None:
    outer = api.create(home["item_id"], "outer").json()
    inner = api.create(outer["item_id"], "inner").json()
    for target in (outer, inner):
        refused = api.patch(outer, parent_id=target["item_id"])
        assert (refused.status_code, refused.json()["code"]) == (409, "would_cycle")


def test_rename_over_another_item_only_when_it_was_named(api: Api, home: Json) -> None:
    old = api.write_new(home["item_id"], "doc", b"old").json()
    new = api.write_new(home["item_id"], "doc.tmp", b"new").json()
    assert api.patch(new, name="doc").json()["code"] == "name_taken"
    stale = api.patch(new, name="doc", replace={"item_id": old["item_id"], "content_version": "stale"})
    assert (stale.status_code, stale.json()["current"]["item_id"]) == (412, old["item_id"])
    done = api.patch(new, name="doc", replace={"item_id": old["item_id"], "content_version": old["content_version"]})
    assert done.status_code == 200
    assert list(api.children(home["item_id"])) == ["doc"]
    assert api.item(old["item_id"]).status_code == 410
    assert api.content(done.json()).content == b"new"


def test_folder_takes_the_place_of_an_empty_folder_only(api: Api, home: Json) -> None:
    source = api.create(home["item_id"], "source").json()
    target = api.create(home["item_id"], "target").json()
    child = api.create(target["item_id"], "child").json()
    place = {"item_id": target["item_id"], "content_version": None}
    assert api.patch(source, name="target", replace=place).json()["code"] == "not_empty"
    assert api.delete(child).status_code == 204
    assert api.patch(source, name="target", replace=place).status_code == 200
    assert api.children(home["item_id"])["target"]["item_id"] == source["item_id"]


def test_delete_leaves_a_tombstone_and_keeps_full_folders(api: Api, home: Json) -> None:
    folder = api.create(home["item_id"], "d").json()
    file = api.write_new(folder["item_id"], "f", b"x").json()
    refused = api.delete(folder)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_empty")
    assert api.delete(file).status_code == 204
    gone = api.item(file["item_id"])
    assert gone.status_code == 410
    assert gone.json()["item"]["deleted"] is True
    assert gone.json()["item"]["parent_id"] == folder["item_id"]
    assert api.delete(folder).status_code == 204
    assert api.item("never-existed").status_code == 404


def test_batch_get_tells_each_on_its_own(api: Api, home: Json) -> None:
    file = api.create(home["item_id"], "f", "file").json()
    dead = api.create(home["item_id"], "g", "file").json()
    api.delete(dead)
    ids = [dead["item_id"], "unknown", file["item_id"], file["item_id"]]
    results = api.http.post("/v1/items:batchGet", json={"item_ids": ids}).json()["results"]
    assert [each["status"] for each in results] == [410, 404, 200, 200]
    assert results[2]["item"] == file
    assert results[0]["item"]["deleted"] is True
    too_many = api.http.post("/v1/items:batchGet", json={"item_ids": ["x"] * 1001})
    assert too_many.status_code == 422


def test_children_pages_share_one_anchor_and_miss_nothing(api: Api, home: Json) -> None:
    names = [f"n{number:02d}" for number in range(7)]
    for name in names:
        api.create(home["item_id"], name, "file")
    path, seen, anchors, cursor = f"/v1/items/{home['item_id']}/children", [], set(), None
    while True:
        params = {"limit": "3"} | ({} if cursor is None else {"cursor": cursor})
        page = api.http.get(path, params=params).json()
        seen += [item["name"] for item in page["items"]]
        anchors.add(page["anchor"])
        if cursor is None:
            api.create(home["item_id"], "late", "file")
        cursor = page["cursor"]
        if cursor is None:
            break
    assert [name for name in seen if name != "late"] == names
    assert len(anchors) == 1
    assert "late" in {change["item"]["name"] for change in api.changes(anchors.pop())["changes"]}
    assert api.get(f"{path}?cursor=nonsense").json()["code"] == "cursor_invalid"


def test_keys_replay_the_first_answer_and_refuse_another_request(api: Api, home: Json) -> None:
    key = api.key()
    first = api.create(home["item_id"], "d", key=key)
    again = api.create(home["item_id"], "d", key=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    other = api.create(home["item_id"], "e", key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    refused_key = api.key()
    assert api.create(home["item_id"], "d", key=refused_key).status_code == 409
    api.delete(first.json())
    assert api.create(home["item_id"], "d", key=refused_key).status_code == 409


def test_put_replay_is_heard_although_its_base_is_stale(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "f", b"one").json()
    key = api.key()
    first = api.overwrite(file, b"two", idempotency_key=key)
    replay = api.overwrite(file, b"two", idempotency_key=key)
    assert (replay.status_code, replay.json()) == (200, first.json())
    assert api.overwrite(file, b"three", idempotency_key=key).status_code == 422
    assert api.overwrite(file, b"two").status_code == 412


def test_malformed_requests_are_refused_not_served(api: Api, home: Json) -> None:
    headers = {"idempotency-key": api.key(), "content-type": "application/json"}
    assert api.http.post("/v1/items", content=b"{", headers=headers).status_code == 400
    assert api.http.post("/v1/items", json={"parent_id": 5}, headers=headers).status_code == 422
    bare = api.http.post("/v1/items", json={}, headers={"idempotency-key": "unquoted"})
    assert bare.json()["code"] == "invalid_request"
    assert api.create(home["item_id"], "x", "file", mode=4096).status_code == 422
    assert api.create(home["item_id"], "x", "file", modified_at="yesterday").status_code == 422
    assert api.create(home["item_id"], "x", "symlink").status_code == 422
    assert api.get("/v1/nothing").json()["code"] == "not_found"
    assert api.http.put("/v1/root").status_code == 405


def test_a_file_made_behind_the_back_is_never_overwritten(api: Api, home: Json, shared_server: ServerProcess) -> None:
    (shared_server.root / home["name"] / "theirs").write_bytes(b"theirs")
    answer = api.write_new(home["item_id"], "theirs", b"ours")
    assert answer.status_code == 412
    assert api.content(answer.json()["current"]).content == b"theirs"


def test_no_symlink_leads_out_of_the_root(api: Api, home: Json, shared_server: ServerProcess, tmp_path: Path) -> None:
    folder = api.create(home["item_id"], "trap").json()
    on_disk = shared_server.root / home["name"] / "trap"
    on_disk.rmdir()
    on_disk.symlink_to(tmp_path)
    answer = api.write_new(folder["item_id"], "f", b"x")
    assert answer.status_code in {404, 409, 410}
    assert list(tmp_path.iterdir()) == []


def test_space_and_health(api: Api) -> None:
    space = api.get("/v1/space").json()
    assert 0 <= space["free"] <= space["total"]
    assert api.http.get("/healthz", headers={"authorization": ""}).json() == {"status": "ok", "watch": "off"}
