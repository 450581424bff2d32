"""A real server on a real socket, and a client that says what it wants in one line."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

Json = dict[str, Any]
LONG_POLL_S = "50"  # longer than a busy machine stands still, shorter than the client waits


class Api:
    """The protocol's requests, each with the headers that it needs."""

    def __init__(self, client: httpx.Client) -> None:
        self.http = client

    def key(self) -> str:
        """A fresh idempotency key, as a header value."""
        return f'"{uuid.uuid4()}"'

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def root(self) -> Json:
        answer: Json = self.get("/v1/root").json()
        return answer

    def item(self, item_id: str) -> httpx.Response:
        return self.get(f"/v1/items/{item_id}")

    def children(self, folder_id: str) -> dict[str, Json]:
        listing = self.http.get(f"/v1/items/{folder_id}/children", params={"limit": "5000"}).json()
        return {item["name"]: item for item in listing["items"]}

    def anchor(self) -> str:
        anchor: str = self.get("/v1/changes?limit=0").json()["anchor"]
        return anchor

    def changes(self, anchor: str, **params: str) -> Json:
        answer: Json = self.http.get("/v1/changes", params={"anchor": anchor, **params}).json()
        return answer

    def create(
        self, parent_id: str, name: str, kind: str = "folder", *, key: str = "", **fields: object
    ) -> httpx.Response:
        body = {"parent_id": parent_id, "name": name, "kind": kind, **fields}
        return self.http.post("/v1/items", json=body, headers={"idempotency-key": key or self.key()})

    def write_new(self, parent_id: str, name: str, data: bytes, **headers: str) -> httpx.Response:
        extra = {key.replace("_", "-"): value for key, value in headers.items()}
        path = f"/v1/items/{parent_id}/children/{name}/content"
        return self.http.put(path, content=data, headers={"if-none-match": "*", **extra})

    def overwrite(self, item: Json, data: bytes, **headers: str) -> httpx.Response:
        extra = {key.replace("_", "-"): value for key, value in headers.items()}
        base = {"if-match": f'"{item["content_version"]}"'}
        return self.http.put(f"/v1/items/{item['item_id']}/content", content=data, headers=base | extra)

    def patch(self, item: Json, *, key: str = "", **fields: object) -> httpx.Response:
        headers = {"if-match": f'"{item["metadata_version"]}"', "idempotency-key": key or self.key()}
        return self.http.patch(f"/v1/items/{item['item_id']}", json=fields, headers=headers)

    def delete(self, item: Json, *, key: str = "") -> httpx.Response:
        headers = {"if-match": f'"{item["metadata_version"]}"', "idempotency-key": key or self.key()}
        return self.http.delete(f"/v1/items/{item['item_id']}", headers=headers)

    def content(self, item: Json, **headers: str) -> httpx.Response:
        return self.get(f"/v1/items/{item['item_id']}/content", **headers)

    def folder(self, name: str) -> Json:
        """A folder of one test's own."""
        answer: Json = self.create(self.root()["item_id"], name).json()
        return answer


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that work in a folder of their own."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def api(shared_server: ServerProcess) -> Iterator[Api]:
    with shared_server.client() as client:
        yield Api(client)


@pytest.fixture
def home(api: Api, request: pytest.FixtureRequest) -> Json:
    """An empty folder for this test."""
    return api.folder(request.node.name[:200].replace("/", "_"))


@pytest.fixture
def server(tmp_path: object) -> Iterator[ServerProcess]:
    """A server of this test's own, not yet started."""
    own = ServerProcess(tmp_path)  # type: ignore[arg-type]
    yield own
    if own.process is not None:
        own.kill()
