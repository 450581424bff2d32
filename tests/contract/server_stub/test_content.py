"""Content: ranges and conditions of RFC 9110, digests, older versions, atomic replacement."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.harness.server import ServerProcess

    from .conftest import Api

Json = dict[str, Any]
DIGITS = b"0123456789"


def sha(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.fixture
def file(api: Api, home: Json) -> Json:
    answer: Json = api.write_new(home["item_id"], "f", DIGITS).json()
    return answer


def test_whole_content_with_its_headers(api: Api, file: Json) -> None:
    answer = api.content(file)
    assert answer.content == DIGITS
    assert answer.headers["etag"] == f'"{file["content_version"]}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["repr-digest"] == sha(DIGITS)
    assert file["digest"] == "sha-256:" + hashlib.sha256(DIGITS).hexdigest()
    head = api.http.head(f"/v1/items/{file['item_id']}/content")
    assert (head.content, head.headers["content-length"]) == (b"", "10")


@pytest.mark.parametrize(
    ("asked", "told", "body"),
    [
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=0-99", "bytes 0-9/10", DIGITS),
    ],
)
def test_single_range(api: Api, file: Json, asked: str, told: str, body: bytes) -> None:
    answer = api.content(file, range=asked)
    assert (answer.status_code, answer.headers["content-range"], answer.content) == (206, told, body)


def test_many_ranges_are_multipart(api: Api, file: Json) -> None:
    answer = api.content(file, range="bytes=0-1,8-9")
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert b"Content-Range: bytes 0-1/10\r\n\r\n01\r\n" in answer.content
    assert b"Content-Range: bytes 8-9/10\r\n\r\n89\r\n" in answer.content


def test_unsatisfiable_ignored_and_guarded_ranges(api: Api, file: Json) -> None:
    beyond = api.content(file, range="bytes=10-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    assert api.content(file, range="lines=1-2").status_code == 200
    assert api.content(file, range="bytes=4-2").status_code == 200
    assert api.content(file, range="bytes=" + ",".join(["0-"] * 20)).status_code == 200
    assert api.content(file, range="bytes=0-1", if_range='"other"').status_code == 200
    assert api.content(file, range="bytes=0-1", if_range=f'"{file["content_version"]}"').status_code == 206


def test_conditions_and_their_precedence(api: Api, file: Json) -> None:
    tag = f'"{file["content_version"]}"'
    assert api.content(file, if_none_match=tag).status_code == 304
    assert api.content(file, if_match='"other"').status_code == 412
    assert api.content(file, if_match='"other"', if_none_match=tag).status_code == 412
    assert api.content(file, if_match=tag, if_unmodified_since="Mon, 01 Jan 1990 00:00:00 GMT").status_code == 200
    assert api.content(file, if_none_match='"x"', if_modified_since="Fri, 01 Jan 2100 00:00:00 GMT").status_code == 200
    assert api.content(file, if_modified_since="Fri, 01 Jan 2100 00:00:00 GMT").status_code == 304


def test_overwrite_keeps_the_old_version_readable(
    api: Api, file: Json, shared_server: ServerProcess, home: Json
) -> None:
    new = api.overwrite(file, b"new", anchor_mode="0600", anchor_modified_at="2001-02-03T04:05:06Z").json()
    assert new["content_version"] != file["content_version"]
    assert new["metadata_version"] != file["metadata_version"]
    assert (new["mode"], new["modified_at"]) == (0o600, "2001-02-03T04:05:06.000000000Z")
    on_disk = shared_server.root / home["name"] / "f"
    assert on_disk.read_bytes() == b"new"
    assert on_disk.stat().st_mode & 0o777 == 0o600
    old = api.get(f"/v1/items/{file['item_id']}/content?version={file['content_version']}")
    assert (old.content, old.headers["etag"]) == (DIGITS, f'"{file["content_version"]}"')
    gone = api.get(f"/v1/items/{file['item_id']}/content?version=never")
    assert (gone.status_code, gone.json()["code"]) == (410, "version_gone")
    assert gone.json()["current"] == new


def test_writes_need_their_condition(api: Api, file: Json, home: Json) -> None:
    assert api.http.put(f"/v1/items/{file['item_id']}/content", content=b"x").status_code == 428
    path = f"/v1/items/{home['item_id']}/children/new/content"
    assert api.http.put(path, content=b"x").status_code == 428
    stale = api.overwrite({**file, "content_version": "other"}, b"x")
    assert stale.status_code == 412
    assert stale.json()["current"]["content_version"] == file["content_version"]
    taken = api.write_new(home["item_id"], "f", b"x")
    assert (taken.status_code, taken.json()["current"]) == (412, file)


def test_announced_digest_is_checked_before_anything_changes(api: Api, file: Json) -> None:
    for header in ("content_digest", "repr_digest"):
        wrong = api.overwrite(file, b"abc", **{header: sha(b"abd")})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "digest_mismatch")
    assert api.content(file).content == DIGITS
    assert api.overwrite(file, b"abc", content_digest=sha(b"abc")).status_code == 200


def test_large_content_round_trip(api: Api, home: Json) -> None:
    data = bytes(range(256)) * 20_000
    item = api.write_new(home["item_id"], "big", data).json()
    assert item["size"] == len(data)
    assert api.content(item).content == data
    assert api.content(item, range="bytes=3000000-4999999").content == data[3_000_000:5_000_000]


def test_percent_encoded_names(api: Api, home: Json) -> None:
    assert api.write_new(home["item_id"], "a%20b%25%3F%F0%9F%93%84", b"x").json()["name"] == "a b%?📄"
    assert api.write_new(home["item_id"], "a%2Fb", b"x").json()["code"] == "name_invalid"
    assert api.write_new(home["item_id"], "%FF", b"x").json()["code"] == "name_invalid"
    assert api.write_new(home["item_id"], "content", b"x").json()["name"] == "content"


def test_edit_in_place_behind_the_back_is_a_new_version(
    api: Api, file: Json, home: Json, shared_server: ServerProcess
) -> None:
    (shared_server.root / home["name"] / "f").write_bytes(b"edited")
    answer = api.content(file)
    assert answer.content == b"edited"
    assert answer.headers["etag"] != f'"{file["content_version"]}"'
    assert api.overwrite(file, b"mine").status_code == 412


def test_a_cut_upload_leaves_nothing(api: Api, home: Json, shared_server: ServerProcess) -> None:
    import socket  # noqa: PLC0415

    host, _, port = shared_server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as raw:
        request = (
            f"PUT /v1/items/{home['item_id']}/children/cut/content HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n"
            f"Authorization: Bearer {shared_server.token}\r\nContent-Length: 1000\r\n\r\n"
        )
        raw.sendall(request.encode() + b"x" * 500)
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(4096):
            continue
    assert "cut" not in api.children(home["item_id"])
    assert api.write_new(home["item_id"], "cut", b"whole").status_code == 201
