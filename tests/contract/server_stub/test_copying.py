"""Copies and older contents: made on the server, whole, under new ids and versions."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.harness.server import ServerProcess

    from .conftest import Api

Json = dict[str, Any]


def copy(api: Api, item: Json, *, key: str = "", base: str = "", **target: object) -> httpx.Response:
    headers = {"idempotency-key": key or api.key()} | ({"if-match": f'"{base}"'} if base else {})
    return api.http.post(f"/v1/items/{item['item_id']}:copy", json=target, headers=headers)


def restore_version(api: Api, item: Json, version: str, *, key: str = "") -> httpx.Response:
    headers = {"if-match": f'"{item["content_version"]}"', "idempotency-key": key or api.key()}
    path = f"/v1/items/{item['item_id']}:restoreVersion"
    return api.http.post(path, json={"content_version": version}, headers=headers)


def versions(api: Api, item: Json, **params: str) -> Json:
    answer: Json = api.http.get(f"/v1/items/{item['item_id']}/versions", params=params).json()
    return answer


def test_a_copied_file_is_a_new_item_with_the_same_content(api: Api, home: Json, shared_server: ServerProcess) -> None:
    data = os.urandom(3 << 20)
    stamp = "2020-01-02T03:04:05.123456789Z"
    file = api.write_new(home["item_id"], "f.bin", data, anchor_mode="0640", anchor_modified_at=stamp).json()
    refused = copy(api, file)
    assert (refused.status_code, refused.json()["code"]) == (409, "name_taken")
    made = copy(api, file, conflict="rename")
    assert made.status_code == 201
    twin = made.json()
    assert made.headers["location"] == f"/v1/items/{twin['item_id']}"
    assert (twin["name"], twin["mode"], twin["modified_at"]) == ("f (2).bin", 0o640, stamp)
    assert (twin["digest"], twin["size"]) == (file["digest"], len(data))
    for member in ("item_id", "content_version", "metadata_version"):
        assert twin[member] != file[member]
    assert api.content(twin).content == data
    on_disk = shared_server.root / home["name"] / "f (2).bin"
    assert on_disk.stat().st_mode & 0o777 == 0o640
    api.overwrite(file, b"changed")
    assert api.content(twin).content == data
    assert api.item(twin["item_id"]).json() == twin


def test_a_copied_tree_appears_whole_in_one_batch_of_changes(
    api: Api, home: Json, shared_server: ServerProcess
) -> None:
    top = api.create(home["item_id"], "top").json()
    inner = api.create(top["item_id"], "inner", mode=0o700, modified_at="2020-01-02T03:04:05Z").json()
    for number in range(20):
        api.write_new(inner["item_id"], f"n{number:02d}", b"%d" % number)
    api.create(inner["item_id"], "link", "symlink", symlink_target="../nowhere")
    shared_server.scan()  # what other tests left on disk is found before
    anchor = api.anchor()
    made = copy(api, top, name="twin")
    assert made.status_code == 201
    changes = api.changes(anchor)["changes"]
    assert [change["item"]["name"] for change in changes][:2] == ["twin", "inner"]  # folders before what they hold
    assert len(changes) == 23
    twins = {change["item"]["name"]: change["item"] for change in changes}
    originals = api.children(inner["item_id"])
    assert set(twins) - {"twin", "inner"} == set(originals)
    assert api.content(twins["n07"]).content == b"7"
    assert twins["link"]["symlink_target"] == "../nowhere"
    assert (twins["inner"]["mode"], twins["inner"]["modified_at"]) == (0o700, inner["modified_at"])
    assert not {item["item_id"] for item in twins.values()} & {item["item_id"] for item in originals.values()}
    assert (shared_server.root / home["name"] / "twin" / "inner" / "n07").read_bytes() == b"7"
    assert list((shared_server.state / "vault" / "staging").iterdir()) == []
    report = shared_server.scan()
    assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)


def test_copies_are_made_once_per_key_and_on_the_base_that_is_named(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "f", b"x").json()
    key = api.key()
    first = copy(api, file, key=key, name="g")
    assert copy(api, file, key=key, name="g").content == first.content
    assert copy(api, file, key=key, name="h").json()["code"] == "idempotency_key_reused"
    assert set(api.children(home["item_id"])) == {"f", "g"}
    stale = copy(api, file, base="stale", name="h")
    assert (stale.status_code, stale.json()["current"]) == (412, file)
    assert copy(api, file, base=file["metadata_version"], name="h").status_code == 201
    assert api.http.post(f"/v1/items/{file['item_id']}:copy").json()["code"] == "idempotency_key_missing"


def test_a_copy_goes_where_it_may(api: Api, home: Json) -> None:
    top = api.create(home["item_id"], "top").json()
    inner = api.create(top["item_id"], "inner").json()
    assert copy(api, top, parent_id=inner["item_id"]).json()["code"] == "would_cycle"
    assert copy(api, top, parent_id=top["item_id"]).json()["code"] == "would_cycle"
    file = api.write_new(home["item_id"], "f", b"x").json()
    assert copy(api, file, parent_id=file["item_id"]).json()["code"] == "not_a_folder"
    assert copy(api, file, parent_id="unknown").status_code == 404
    assert copy(api, file, name="a/b").json()["code"] == "name_invalid"
    api.delete(file)
    assert copy(api, file, name="g").status_code == 410


def test_a_file_changed_behind_the_back_is_copied_as_it_is_now(
    api: Api, home: Json, shared_server: ServerProcess
) -> None:
    file = api.write_new(home["item_id"], "f", b"before").json()
    (shared_server.root / home["name"] / "f").write_bytes(b"edited by others")
    twin = copy(api, file, name="g").json()
    assert api.content(twin).content == b"edited by others"


def test_two_copies_at_once_never_mix(api: Api, home: Json, shared_server: ServerProcess) -> None:
    """While a writer goes on replacing the file, each copy is one whole version."""
    file = api.write_new(home["item_id"], "f", b"\0" * 200_000).json()
    stop = threading.Event()

    def write() -> None:
        with shared_server.client() as client:
            current, number = file, 0
            while not stop.is_set():
                number = (number + 1) % 256
                headers = {"if-match": f'"{current["content_version"]}"'}
                path = f"/v1/items/{file['item_id']}/content"
                current = client.put(path, content=bytes([number]) * 200_000, headers=headers).json()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [copy(api, file, name="copy", conflict="rename") for _ in range(10)]
    finally:
        stop.set()
        writer.join()
    copied = [answer.json() for answer in made if answer.status_code == 201]
    assert {answer.status_code for answer in made} <= {201, 503}
    assert len(copied) >= 1
    for item in copied:
        data = api.content(item).content
        assert len(set(data)) == 1
        assert len(data) == 200_000


def test_versions_are_listed_newest_first_and_paged(api: Api, home: Json) -> None:
    contents = [api.write_new(home["item_id"], "f", b"v0").json()]
    for number in range(1, 6):
        contents.append(api.overwrite(contents[-1], b"v%d" % number).json())
    listing = versions(api, contents[0])
    assert listing["item"] == contents[-1]
    assert [each["content_version"] for each in listing["versions"]] == [
        item["content_version"] for item in reversed(contents)
    ]
    assert [each["replaced_at"] is None for each in listing["versions"]] == [True] + [False] * 5
    assert listing["versions"][1]["digest"] == contents[4]["digest"]
    first = versions(api, contents[0], limit="2")
    second = versions(api, contents[0], limit="9", cursor=first["cursor"])
    assert first["versions"] + second["versions"] == listing["versions"]
    assert second["cursor"] is None
    assert versions(api, home)["code"] == "is_a_folder"


def test_an_older_content_becomes_the_newest(api: Api, home: Json) -> None:
    old = api.write_new(home["item_id"], "f", b"good", anchor_modified_at="2020-01-02T03:04:05Z").json()
    new = api.overwrite(old, b"bad").json()
    key = api.key()
    back = restore_version(api, new, old["content_version"], key=key)
    assert back.status_code == 200
    assert back.json()["content_version"] not in {old["content_version"], new["content_version"]}
    assert (back.json()["digest"], back.json()["modified_at"]) == (old["digest"], old["modified_at"])
    assert api.content(old).content == b"good"
    assert restore_version(api, new, old["content_version"], key=key).content == back.content
    assert restore_version(api, new, old["content_version"]).status_code == 412
    assert restore_version(api, back.json(), "unknown").json()["code"] == "version_gone"
    assert len(versions(api, old)["versions"]) == 3
    bad = api.get(f"/v1/items/{old['item_id']}/content?version={new['content_version']}")
    assert bad.content == b"bad"


@pytest.mark.parametrize("what", ["copy", "restoreVersion"])
def test_malformed_bodies_are_refused(api: Api, home: Json, what: str) -> None:
    file = api.write_new(home["item_id"], "f", b"x").json()
    headers = {"idempotency-key": api.key(), "if-match": f'"{file["content_version"]}"'}
    path = f"/v1/items/{file['item_id']}:{what}"
    assert api.http.post(path, content=b"{", headers=headers).status_code == 400
    assert api.http.post(path, json={"unknown": 1}, headers=headers).status_code == 422
