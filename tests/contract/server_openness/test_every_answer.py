"""Every answer that the document tells is one that the server gives, and it gives no other.

A right request per operation is spoilt in each of the ways that the protocol knows. What is told must then have been
seen, but for what needs a broken disk, a broken server or a request that is no HTTP: tests beside this one show those.
The exchange of tus has a suite of its own.
"""

from __future__ import annotations

import http.client
import json
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis

from server_stub.auth import create_token
from server_stub.openapi.document import document, operations
from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from server_stub.openapi.parts import Operation

Json = dict[str, Any]
ELSEWHERE = {400, 408, 421, 431, 500, 503, 507}  # 400: of every operation, by what is no HTTP
SUITES_OF_THEIR_OWN = ("uploads", "webhooks")
OF_THEIR_OWN = {  # more items than one change may hold; a body larger than the drive may take
    ("deleteItem", 413),
    ("purgeItem", 413),
    ("putContent", 413),
    ("putNewContent", 413),
}
ROOTS = {"whole": "/", "reader": "/", "inside": "/inside", "nowhere": "/none", "gone": "/gone"}
ENDLESS = ("streamChanges",)
TOLD = [each for each in operations() if each.tag not in SUITES_OF_THEIR_OWN and each.name not in ENDLESS]
SCHEMA = schemathesis.openapi.from_dict(document())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, right until it is spoilt."""

    ids: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


class Asker:
    """Asks, checks each answer against the document, and remembers which there were."""

    def __init__(self, server: ServerProcess, client: httpx.Client, tokens: dict[str, str]) -> None:
        self.server = server
        self.client = client
        self.tokens = tokens
        self.seen: set[int] = set()
        self.root: Json = client.get("/v1/root").json()

    def ask(self, operation: Operation, asked: Asked, *, token: str | None = None) -> httpx.Response:
        path = operation.path.format(**asked.ids)
        content = {"content": asked.body} if isinstance(asked.body, bytes) else {"json": asked.body}
        signed = {} if token is None else {"authorization": f"Bearer {token}"}
        headers = asked.headers | signed
        body = content if asked.body is not None else {}
        answer = self.client.request(operation.method, path, params=asked.query, headers=headers, **body)
        if operation.method != "HEAD":
            SCHEMA[operation.path][operation.method].validate_response(answer)
        told = operation.described()["responses"]
        assert str(answer.status_code) in told, (operation.name, answer.status_code, answer.text)
        if answer.status_code >= 400 and operation.method != "HEAD":
            codes = told[str(answer.status_code)]["content"]["application/problem+json"]["schema"]["allOf"][1]
            assert answer.json()["code"] in codes["properties"]["code"]["enum"], (operation.name, answer.text)
        self.seen.add(answer.status_code)
        return answer

    def folder(self, parent: str = "") -> Json:
        body = {"parent_id": parent or self.root["item_id"], "name": uuid.uuid4().hex, "kind": "folder"}
        return self._made(self.client.post("/v1/items", json=body, headers=key()))

    def file(self, parent: str = "") -> Json:
        path = f"/v1/items/{parent or self.root['item_id']}/children/{uuid.uuid4().hex}/content"
        return self._made(self.client.put(path, content=b"0123456789", headers={"if-none-match": "*"}))

    def deleted(self, item: Json) -> Json:
        headers = key() | {"if-match": f'"{item["metadata_version"]}"'}
        assert self.client.delete(f"/v1/items/{item['item_id']}", headers=headers).status_code == 204
        return item

    def edited(self) -> tuple[Json, str]:
        """A file, and an older version of it."""
        item = self.file()
        base = {"if-match": f'"{item["content_version"]}"'}
        answer = self.client.put(f"/v1/items/{item['item_id']}/content", content=b"newer", headers=base)
        return answer.json(), item["content_version"]

    def _made(self, answer: httpx.Response) -> Json:
        assert answer.status_code == 201, answer.text
        item: Json = answer.json()
        return item


def key() -> dict[str, str]:
    return {"idempotency-key": f'"{uuid.uuid4()}"'}


def right(asker: Asker, operation: Operation) -> Asked:
    """A request that is answered as it wishes."""
    item = asker.folder() if operation.name in {"listChildren", "listDescendants"} else asker.file()
    names = {each["name"] for each in operation.parameters}
    version = item["content_version"] if operation.path.endswith("/content") else item["metadata_version"]
    headers = key() if "Idempotency-Key" in names else {}
    bodies = {
        "createItem": {"parent_id": asker.root["item_id"], "name": uuid.uuid4().hex, "kind": "folder"},
        "patchItem": {"mode": 0o600},
        "batchGet": {"item_ids": [item["item_id"], "none"]},
        "batchContent": {"items": [{"item_id": item["item_id"]}]},
        "copyItem": {"name": uuid.uuid4().hex},
        "restoreItem": {},
    }
    body: Any = bodies.get(operation.name)
    if operation.method == "PUT":
        body = b"content"
    if operation.name in {"restoreItem", "purgeItem"}:
        asker.deleted(item)
    if operation.name == "restoreVersion":
        item, older = asker.edited()
        version, body = item["content_version"], {"content_version": older}
    if operation.name in {"patchItem", "deleteItem", "purgeItem", "copyItem", "putContent", "restoreVersion"}:
        headers["if-match"] = f'"{version}"'
    if operation.name == "putNewContent":
        headers["if-none-match"] = "*"
    queries = {"search": {"q": "a"}, "getChanges": {"limit": "0"}, "getBlocks": {"block_bytes": "65536"}}
    query = queries.get(operation.name, {})
    ids = {"item_id": item["item_id"], "parent_id": asker.root["item_id"], "name": uuid.uuid4().hex}
    return Asked(ids=ids, query=query, headers=headers, body=body)


def spoilt(asker: Asker, operation: Operation, wish: Asked) -> Iterator[Asked]:
    """The request with one thing wrong at a time."""
    folder, file, gone = asker.folder(), asker.file(), asker.deleted(asker.file())
    asker.file(folder["item_id"])
    for item_id in ("none", folder["item_id"], file["item_id"], gone["item_id"], asker.root["item_id"]):
        yield replace(
            wish, ids=wish.ids | {"item_id": item_id, "parent_id": item_id}, headers=wish.headers | fresh(wish)
        )
    yield from _spoilt_headers(wish, asker)
    yield replace(wish, query=wish.query | {"limit": "x", "recursive": "x", "cursor": "x", "q": ""})
    yield replace(wish, query=wish.query | {"cursor": "AAAA"})
    yield replace(
        wish, query={"anchor": "old", "limit": "1", "recursive": "true", "q": "b"}, headers=wish.headers | fresh(wish)
    )
    nonempty = wish.ids | {"item_id": folder["item_id"]}
    yield replace(wish, ids=nonempty, headers=wish.headers | fresh(wish) | at(asker, folder))
    yield replace(wish, query={"limit": "0", "scope": "none", "q": "b"})
    yield replace(wish, query={"limit": "0", "scope": file["item_id"], "q": "b"})
    yield replace(wish, query={"limit": "0", "scope": gone["item_id"], "q": "b"})
    yield replace(wish, query=wish.query | {"version": "none"})
    if operation.method != "GET":
        yield from _spoilt_bodies(operation, wish, asker, folder)
    yield replace(wish, ids=wish.ids | {"name": "x" * 300})
    yield replace(wish, ids=wish.ids | {"name": file["name"]})


def at(asker: Asker, item: Json) -> dict[str, str]:
    """The item's metadata_version of now."""
    told = asker.client.get(f"/v1/items/{item['item_id']}").json()
    return {"if-match": f'"{told["metadata_version"]}"'}


def fresh(wish: Asked) -> dict[str, str]:
    return key() if "idempotency-key" in wish.headers else {}


def _spoilt_headers(wish: Asked, asker: Asker) -> Iterator[Asked]:
    current = f'"{asker.root["metadata_version"]}"'
    for name in wish.headers:
        without = {other: value for other, value in wish.headers.items() if other != name}
        yield replace(wish, headers=without | ({} if name == "idempotency-key" else fresh(wish)))
    for headers in (
        {"if-match": '"stale"'},
        {"if-none-match": current},
        {"if-none-match": "*"},
        {"if-match": "*"},
        {"range": "bytes=0-1"},
        {"range": "bytes=99-"},
        {"content-digest": f"sha-256=:{'A' * 43}=:"},
        {"anchor-mode": "x"},
        {"anchor-modified-at": "yesterday"},
    ):
        yield replace(wish, headers=wish.headers | fresh(wish) | headers)


def _spoilt_bodies(operation: Operation, wish: Asked, asker: Asker, folder: Json) -> Iterator[Asked]:
    """Another request under the same key comes first: its answer is stored by now."""
    if "idempotency-key" in wish.headers:
        other = {**wish.body, "conflict": "fail"} if isinstance(wish.body, dict) else wish.body
        headers = wish.headers | {"if-match": '"another"'}
        yield replace(wish, body=other, headers=headers)
    if operation.body is None or isinstance(wish.body, bytes):
        return
    taken = asker.file()
    below = asker.folder(folder["item_id"])
    for body in (
        b"[",
        {"unknown": 1},
        b" " * ((1 << 20) + 1),
        (wish.body or {}) | {"name": "a/b"},
        (wish.body or {}) | {"name": "x" * 300},
        (wish.body or {}) | {"name": taken["name"], "parent_id": asker.root["item_id"]},
        (wish.body or {}) | {"parent_id": "none"},
        (wish.body or {}) | {"parent_id": taken["item_id"]},
        (wish.body or {}) | {"parent_id": asker.deleted(asker.folder())["item_id"]},
        {"content_version": "none"},
    ):
        yield replace(wish, body=body, headers=wish.headers | fresh(wish))
    moved = {"parent_id": below["item_id"], "name": "deeper"}
    current = {"if-match": f'"{asker.client.get("/v1/items/" + folder["item_id"]).json()["metadata_version"]}"'}
    yield replace(
        wish, ids=wish.ids | {"item_id": folder["item_id"]}, body=moved, headers=wish.headers | fresh(wish) | current
    )


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    folder: Path = tmp_path_factory.mktemp("answers")
    for name in ("inside", "gone"):
        (folder / "root" / name).mkdir(parents=True)
    tokens = folder / "tokens.json"
    made = {
        name: create_token(tokens, name=name, root=root, read_only=name == "reader")
        for name, root in {
            "whole": "/",
            "reader": "/",
            "inside": "/inside",
            "nowhere": "/none",
            "gone": "/gone",
        }.items()
    }
    options = ("--tokens", str(tokens), "--no-access-log")
    with ServerProcess(folder, options=options) as server, server.client(token=made["whole"]) as client:
        asker = Asker(server, client, made)
        with server.client(token=made["gone"]) as bound:  # bound to its folder by the first use
            item_id = bound.get("/v1/root").json()["item_id"]
        asker.deleted(client.get(f"/v1/items/{item_id}").json())
        yield asker


@pytest.mark.parametrize("operation", TOLD, ids=lambda operation: operation.name)
def test_what_is_told_is_seen(operation: Operation, asker: Asker) -> None:
    asker.seen = set()
    wish = right(asker, operation)
    assert asker.ask(operation, wish).status_code < 300
    if not operation.is_open:
        for token in ("no such token", *asker.tokens.values()):
            asker.ask(operation, right(asker, operation), token=token)
    for asked in spoilt(asker, operation, right(asker, operation)):
        asker.ask(operation, asked)
    told = {int(status) for status in operation.described()["responses"]} - ELSEWHERE
    missing = {status for status in told - asker.seen if (operation.name, status) not in OF_THEIR_OWN}
    assert missing == set()


@pytest.mark.parametrize("name", ["putContent", "putNewContent"])
def test_a_content_beyond_the_limit_is_refused_before_it_comes(name: str, asker: Asker) -> None:
    operation = next(each for each in TOLD if each.name == name)
    wish = right(asker, operation)
    connection = http.client.HTTPConnection(*asker.server.address, timeout=DEADLINE_S)
    try:
        connection.putrequest("PUT", operation.path.format(**wish.ids))
        signed = {"authorization": f"Bearer {asker.tokens['whole']}", "content-length": str(1 << 60)}
        for field_name, value in (wish.headers | signed).items():
            connection.putheader(field_name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (413, "too_large")
    finally:
        connection.close()
