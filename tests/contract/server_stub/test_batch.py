"""Many contents in one answer: whole frames in the asked order, an error per item, and an end that can be missed."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from server_stub.auth import create_token
from tests.harness.waiting import DEADLINE_S, until

from .conftest import Api

if TYPE_CHECKING:
    from tests.harness.server import ServerProcess

Json = dict[str, Any]


def frames(body: bytes) -> list[tuple[Json, bytes]]:
    """(header, bytes) of every frame; the last one must be the end."""
    found: list[tuple[Json, bytes]] = []
    at = 0
    while at < len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        header = json.loads(body[at + 4 : at + 4 + length])
        at += 4 + length
        size = header["stop"] - header["start"] if header.get("status") == 200 else 0
        found.append((header, body[at : at + size]))
        at += size
    assert found.pop() == ({"end": True}, b"")
    return found


def fetch(api: Api, *items: Json) -> list[tuple[Json, bytes]]:
    answer = api.http.post("/v1/content:batch", json={"items": items})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.anchorfs.frames"
    return frames(answer.content)


def test_contents_come_in_the_asked_order_with_their_versions(api: Api, home: Json) -> None:
    data = {name: os.urandom(size) for name, size in (("empty", 0), ("small", 5), ("large", 5 << 20), ("last", 70_000))}
    items = {name: api.write_new(home["item_id"], name, each).json() for name, each in data.items()}
    order = ["last", "large", "small", "empty", "small"]
    got = fetch(api, *({"item_id": items[name]["item_id"]} for name in order))
    assert [body for _, body in got] == [data[name] for name in order]
    header, _ = got[1]
    assert header == {
        "item_id": items["large"]["item_id"],
        "status": 200,
        "content_version": items["large"]["content_version"],
        "start": 0,
        "stop": 5 << 20,
        "total": 5 << 20,
        "digest": items["large"]["digest"],
    }
    assert fetch(api) == []


def test_every_item_has_an_error_of_its_own(api: Api, home: Json) -> None:
    file = api.write_new(home["item_id"], "f", b"0123456789").json()
    dead = api.write_new(home["item_id"], "dead", b"x").json()
    api.delete(dead)
    got = fetch(
        api,
        {"item_id": "unknown"},
        {"item_id": dead["item_id"]},
        {"item_id": file["item_id"], "content_version": "older"},
        {"item_id": file["item_id"], "range": [11, 12]},
        {"item_id": file["item_id"], "range": [5, 2]},
        {"item_id": home["item_id"]},
        {"item_id": file["item_id"]},
    )
    headers = [header for header, _ in got]
    assert [(header["status"], header.get("code")) for header in headers] == [
        (404, "not_found"),
        (410, "deleted"),
        (410, "version_gone"),
        (416, "range_not_satisfiable"),
        (416, "range_not_satisfiable"),
        (409, "is_a_folder"),
        (200, None),
    ]
    assert headers[1]["item"]["item_id"] == dead["item_id"]
    assert headers[2]["current"] == file
    assert headers[3]["total"] == 10
    assert got[-1][1] == b"0123456789"


def test_ranges_and_older_versions(api: Api, home: Json) -> None:
    old = api.write_new(home["item_id"], "f", b"0123456789").json()
    new = api.overwrite(old, b"abc").json()
    base = {"item_id": old["item_id"], "content_version": old["content_version"]}
    link = api.create(home["item_id"], "l", "symlink", symlink_target="to/where").json()
    got = fetch(
        api,
        base | {"range": [2, 5]},
        base | {"range": [8, 100]},
        base | {"range": [10, 10]},
        {"item_id": old["item_id"]},
        {"item_id": link["item_id"]},
    )
    assert [body for _, body in got] == [b"234", b"89", b"", b"abc", b"to/where"]
    assert [(header["start"], header["stop"], header["total"]) for header, _ in got][:3] == [
        (2, 5, 10),
        (8, 10, 10),
        (10, 10, 10),
    ]
    assert got[3][0]["content_version"] == new["content_version"]
    api.delete(new)
    assert fetch(api, base)[0][1] == b"0123456789"


def test_a_file_edited_behind_the_back_is_told_as_it_is_now(api: Api, home: Json, shared_server: ServerProcess) -> None:
    file = api.write_new(home["item_id"], "f", b"before").json()
    (shared_server.root / home["name"] / "f").write_bytes(b"edited by others")
    ((header, body),) = fetch(api, {"item_id": file["item_id"]})
    assert body == b"edited by others"
    assert header["content_version"] == api.item(file["item_id"]).json()["content_version"]
    assert header["content_version"] != file["content_version"]


def test_malformed_batches_are_refused(api: Api) -> None:
    def status(body: object) -> int:
        return api.http.post("/v1/content:batch", json=body).status_code

    assert status({"items": [{"item_id": "x"}] * 5_001}) == 422
    assert status({"items": [{"item_id": 5}]}) == 422
    assert status({"items": [{"item_id": "x", "range": [1]}]}) == 422
    assert status([]) == 422
    assert api.http.post("/v1/content:batch", content=b"{").status_code == 400


def test_a_token_reads_below_its_root_only(server: ServerProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    whole = create_token(tokens, name="whole")
    part = create_token(tokens, name="part", root="/in", read_only=True)
    server.options = ("--tokens", str(tokens))
    for folder in ("in", "out"):
        (server.root / folder).mkdir()
        (server.root / folder / "f").write_bytes(folder.encode())
    server.start()
    with server.client(token=whole) as one, server.client(token=part) as two:
        everything, inside = Api(one), Api(two)
        folders = everything.children(everything.root()["item_id"])
        ids = [everything.children(folders[name]["item_id"])["f"]["item_id"] for name in ("in", "out")]
        got = fetch(inside, *({"item_id": item_id} for item_id in ids))
        assert [(header["status"], body) for header, body in got] == [(200, b"in"), (404, b"")]


def open_files(server: ServerProcess, name: str) -> int:
    """How many descriptors the server holds on files of this name."""
    held = 0
    for fd in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            held += fd.readlink().name == name
        except FileNotFoundError:  # closed while we look
            continue
    return held


def test_a_reader_that_goes_away_ends_the_work(api: Api, home: Json, shared_server: ServerProcess) -> None:
    file = api.write_new(home["item_id"], "f", b"").json()
    large = shared_server.root / home["name"] / "of-a-reader-that-went"
    with large.open("wb") as sparse:
        sparse.truncate(1 << 30)
    shared_server.scan()
    item = api.children(home["item_id"])["of-a-reader-that-went"]
    body = json.dumps({"items": [{"item_id": item["item_id"]}] * 50}).encode()
    address = urlsplit(shared_server.url)
    with socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S) as connection:
        head = f"POST /v1/content:batch HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + f"Authorization: Bearer {shared_server.token}\r\n\r\n".encode() + body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        until(lambda: open_files(shared_server, large.name) > 0, "the file to be opened")
    until(lambda: open_files(shared_server, large.name) == 0, "the file to be closed")
    large.unlink()
    assert api.content(file).status_code == 200
