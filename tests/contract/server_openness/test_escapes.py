"""No way out of the exported directory: names, symlinks, and folders that become symlinks while requests run."""

from __future__ import annotations

import contextlib
import http.client
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

SECRET = b"what lies outside"
ROUNDS = 60


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What must neither be read nor changed."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for place in (folder, folder / "sub"):
        (place / "file.txt").write_bytes(SECRET)
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    root = tmp_path / "root"
    (root / "door" / "sub").mkdir(parents=True)
    for place in (root / "door", root / "door" / "sub"):
        (place / "file.txt").write_bytes(b"inside")
    with ServerProcess(tmp_path, options=("--no-access-log",), scan_interval_s=0.2) as running:
        yield running


def state_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, mode and time of everything."""
    files = (path for path in folder.rglob("*"))
    return {
        str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mode, path.stat().st_mtime_ns)
        for path in files
    }


@contextlib.contextmanager
def swapping(root: Path, outside: Path) -> Iterator[None]:
    """`door` is a folder and a symlink to the outside by turns, for moments; at the end a folder."""
    stop = threading.Event()
    failures: list[BaseException] = []
    (root / "link").symlink_to(outside)

    def swap() -> None:
        try:
            while not stop.is_set():
                (root / "door").rename(root / "aside")
                (root / "link").rename(root / "door")
                (root / "door").rename(root / "link")
                (root / "aside").rename(root / "door")
                stop.wait(0.002)  # long enough for requests to begin, short enough to end under them
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert failures == []
    assert not thread.is_alive()


def known_items(client: httpx.Client) -> dict[str, Any]:
    """Every item below the root, by its path."""
    found: dict[str, Any] = {}
    waiting = [("", client.get("/v1/root").json())]
    while waiting:
        path, folder = waiting.pop()
        found[path] = folder
        listing = client.get(f"/v1/items/{folder['item_id']}/children").json()
        for item in listing.get("items", []):  # the folder may be gone by now
            found[f"{path}/{item['name']}"] = item
            if item["is_folder"]:
                waiting.append((f"{path}/{item['name']}", item))
    return found


def assault(client: httpx.Client, items: dict[str, Any], number: int) -> list[httpx.Response]:
    """One round of everything that touches the tree."""
    door, sub, file = (items[path]["item_id"] for path in ("/door", "/door/sub", "/door/sub/file.txt"))
    key, other_key = ({"idempotency-key": f'"{uuid.uuid4()}"'} for _ in range(2))
    new = {"parent_id": sub, "name": f"made-{number}", "kind": ("file", "folder")[number % 2]}
    answers = [
        client.get(f"/v1/items/{file}/content"),
        client.get(f"/v1/items/{items['/door/file.txt']['item_id']}/content"),
        client.put(f"/v1/items/{sub}/children/put-{number}/content", content=b"x", headers={"if-none-match": "*"}),
        client.post("/v1/items", json=new, headers=key),
    ]
    told = client.get(f"/v1/items/{file}").json()
    if "content_version" in told:
        base = {"if-match": f'"{told["content_version"]}"'}
        answers.append(client.put(f"/v1/items/{file}/content", content=b"inside too", headers=base))
        base = {"if-match": f'"{told["metadata_version"]}"'} | other_key
        answers.append(client.patch(f"/v1/items/{file}", json={"mode": 0o600 + number % 8}, headers=base))
    answers.append(client.get(f"/v1/items/{door}/children"))
    return answers


def test_a_folder_that_becomes_a_symlink_leads_nowhere(server: ServerProcess, outside: Path) -> None:
    before = state_of(outside)
    statuses: dict[int, int] = {}
    with server.client(timeout_s=DEADLINE_S) as client:
        items = known_items(client)
        with swapping(server.root, outside):
            for number in range(ROUNDS):
                items |= known_items(client)  # what was taken for deleted comes back under new ids
                for answer in assault(client, items, number):
                    assert SECRET not in answer.content
                    statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert state_of(outside) == before
        assert client.get("/healthz").status_code == 200
        names = set(known_items(client))
    assert "/link/file.txt" not in names
    assert not any(status == 500 for status in statuses), statuses
    assert statuses.get(200, 0) + statuses.get(201, 0) > 0, statuses


def test_symlinks_are_told_and_not_followed(server: ServerProcess, outside: Path) -> None:
    targets = {
        "absolute": str(outside),
        "upwards": "../outside",
        "file": str(outside / "file.txt"),
        "proc": "/proc/self",
    }
    for name, target in targets.items():
        (server.root / name).symlink_to(target)
    server.scan()
    before = state_of(outside)
    with server.client() as client:
        items = known_items(client)
        for name, target in targets.items():
            item = items[f"/{name}"]
            assert (item["kind"], item["symlink_target"]) == ("symlink", target)
            content = client.get(f"/v1/items/{item['item_id']}/content")
            assert content.content == target.encode()
            below = client.get(f"/v1/items/{item['item_id']}/children")
            assert below.json()["code"] == "not_a_folder"
            put = f"/v1/items/{item['item_id']}/children/x/content"
            assert client.put(put, content=b"x", headers={"if-none-match": "*"}).status_code == 409
            headers = {"if-match": f'"{item["metadata_version"]}"', "idempotency-key": f'"{uuid.uuid4()}"'}
            client.patch(f"/v1/items/{item['item_id']}", json={"mode": 0o777}, headers=headers)
    assert state_of(outside) == before


def put_as_it_is(server: ServerProcess, target: str) -> int:
    """The status of a PUT whose target no library tidies up."""
    connection = http.client.HTTPConnection(*server.address, timeout=DEADLINE_S)
    try:
        headers = {"If-None-Match": "*", "Authorization": f"Bearer {server.token}"}
        connection.request("PUT", target, body=b"x", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "%2e%2e",
        "..%2Foutside%2Fx",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "%ff",
        "..%5cx%2f",
        "sub%2Ffile.txt",
        ".anchorfs",
    ],
)
def test_names_are_one_component(server: ServerProcess, outside: Path, name: str) -> None:
    before = state_of(outside)
    with server.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        status = put_as_it_is(server, f"/v1/items/{root}/children/{name}/content")
        assert status in {404, 422}
        assert set(known_items(client)) == {"", "/door", "/door/sub", "/door/file.txt", "/door/sub/file.txt"}
    assert state_of(outside) == before
