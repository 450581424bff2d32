"""Requests generated from the server's own document: no 5xx, and no answer that the document does not tell."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server_stub.openapi.document import document, operations
from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server_stub.openapi.parts import Operation

INSTANTS = (
    "2026-01-02T03:04:05.000000006Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.5+14:00",
)
Json = dict[str, Any]
DIGESTS = {"Content-Digest", "Repr-Digest", "Upload-Checksum"}
ENDLESS = ("streamChanges",)
NO_ROOM = 507  # what is announced may be more than the disk of this machine has: no failure of the server


def no_failure(context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """No 5xx, but for what is told of a full disk."""
    if response.status_code != NO_ROOM:
        schemathesis.checks.not_a_server_error(context, response, case)


CHECKS = [
    no_failure,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("generated")
    for place in ("a", "b", "b/c"):
        (folder / "root" / place).mkdir(parents=True)
    (folder / "root" / "b" / "file.txt").write_bytes(b"0123456789" * 100)
    (folder / "root" / "link").symlink_to("b/file.txt")
    with ServerProcess(folder, options=("--no-access-log",)) as server:
        yield server


@pytest.fixture(scope="module")
def known(drive: ServerProcess) -> list[Json]:
    """Items that generated requests may meet."""
    with drive.client() as client:
        root = client.get("/v1/root").json()
        found = [root, *client.get(f"/v1/items/{root['item_id']}/children").json()["items"]]
        folders = [item for item in found[1:] if item["is_folder"]]
        for folder in folders:
            found += client.get(f"/v1/items/{folder['item_id']}/children").json()["items"]
    return found


schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = [operation for operation in operations() if operation.name not in ENDLESS]
EXAMPLES = 25  # per operation; the whole file stays well under a minute


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_surprise(operation: Operation, drive: ServerProcess, known: list[Json]) -> None:
    described = SCHEMA[operation.path][operation.method]
    headers = {"authorization": f"Bearer {drive.token}"}

    @hypothesis.given(case=described.as_strategy(), choice=st.integers(0, 5 * len(known) - 1))
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def ask(case: schemathesis.Case, choice: int) -> None:
        wish, index = divmod(choice, len(known))
        if wish:
            meet(case, drive, known[index], well_formed=wish > 1)
        case.call_and_validate(base_url=drive.url, headers=headers, checks=CHECKS, timeout=DEADLINE_S)

    ask()


def meet(case: schemathesis.Case, drive: ServerProcess, item: Json, *, well_formed: bool) -> None:
    """Name a real item and, when well formed, its versions of now: or nothing would ever be found or changed."""
    for name in ("item_id", "parent_id"):
        if name in (case.path_parameters or {}):
            case.path_parameters[name] = item["item_id"]
        if isinstance(case.body, dict) and name in case.body:
            case.body[name] = item["item_id"]
    if "upload_id" in (case.path_parameters or {}):
        case.path_parameters["upload_id"] = begun_upload(drive)
    if not well_formed:
        return
    told = {each["name"] for each in case.operation.definition.raw.get("parameters", []) if each["in"] == "header"}
    with drive.client() as client:
        current = client.get(f"/v1/items/{item['item_id']}").json()
    version = "content_version" if case.operation.path.endswith("/content") else "metadata_version"
    right = {
        "Idempotency-Key": f'"{uuid.uuid4()}"',
        "If-Match": f'"{current.get(version)}"',
        "If-None-Match": "*" if case.method == "PUT" else '"other"',
        "Anchor-Modified-At": INSTANTS[len(repr(case.headers)) % len(INSTANTS)],
        "Anchor-Mode": "0640",
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
    }
    kept = {name: value for name, value in (case.headers or {}).items() if name not in DIGESTS}
    case.headers = kept | {name: value for name, value in right.items() if name in told}
    if isinstance(case.body, dict) and isinstance(case.body.get("modified_at"), str):
        case.body["modified_at"] = INSTANTS[len(repr(case.body)) % len(INSTANTS)]


def begun_upload(drive: ServerProcess) -> str:
    """The id of an upload that waits for ten bytes."""
    headers = {"tus-resumable": "1.0.0", "upload-length": "10"}
    with drive.client() as client:
        answer = client.post("/v1/uploads", headers=headers)
    return answer.headers["location"].rpartition("/")[2]
