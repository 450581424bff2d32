"""Uploads that tell a content over a base: what comes out is checked whole, and what does not fit changes nothing."""

from __future__ import annotations

import hashlib
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.auth import create_token
from tests.contract.server_stub.conftest import Api
from tests.harness.server import ServerProcess
from tests.harness.tus import Tus, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]
KIB = 1 << 10
OLD = random.Random(1).randbytes(300 * KIB + 7)
NEW = OLD[: 100 * KIB] + b"edited" + OLD[100 * KIB + 6 :]


@pytest.fixture
def tus(shared_server: ServerProcess) -> Iterator[Tus]:
    with shared_server.client() as client:
        yield Tus(client)


@pytest.fixture
def item(api: Api, home: Json) -> Json:
    told: Json = api.write_new(home["item_id"], "f", OLD).json()
    return told


def copy(offset: int, length: int) -> bytes:
    return b"C" + offset.to_bytes(8) + length.to_bytes(8)


def literal(data: bytes) -> bytes:
    return b"L" + len(data).to_bytes(8) + data


EDIT = b"AFDELTA1" + copy(0, 100 * KIB) + literal(b"edited") + copy(100 * KIB + 6, len(OLD) - 100 * KIB - 6)


def over(item: Json, new: bytes = NEW, **more: str) -> dict[str, str]:
    """What a delta over this item says of itself."""
    base = {"base_item_id": item["item_id"], "base_version": item["content_version"]}
    told = {"delta": "1", **base, "size": str(len(new)), "digest": f"sha-256:{hashlib.sha256(new).hexdigest()}"}
    return metadata(**(told | more))


def aim(item: Json) -> Json:
    return {"item_id": item["item_id"], "content_version": item["content_version"]}


def test_blocks_of_a_version(api: Api, item: Json) -> None:
    newer = api.overwrite(item, b"").json()
    path = f"/v1/items/{item['item_id']}/content/blocks?block_bytes=65536"
    told = api.get(f"{path}&version={item['content_version']}")
    assert told.status_code == 200
    assert told.headers["etag"] == f'"{item["content_version"]}"'
    assert told.content == b"".join(hashlib.sha256(OLD[at : at + 65536]).digest() for at in range(0, len(OLD), 65536))
    assert (api.get(path).content, api.get(path).headers["etag"]) == (b"", f'"{newer["content_version"]}"')
    gone = api.get(f"{path}&version=nonsense")
    assert (gone.status_code, gone.json()["code"], gone.json()["current"]) == (410, "version_gone", newer)


@pytest.mark.parametrize("block_bytes", ["", "0", "4095", "-4096", "99999999", "1e5", "4096.0"])
def test_blocks_have_a_sane_length(api: Api, item: Json, block_bytes: str) -> None:
    refused = api.get(f"/v1/items/{item['item_id']}/content/blocks?block_bytes={block_bytes}")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_blocks_of_a_folder_or_of_nothing(api: Api, home: Json) -> None:
    for item_id, code in ((home["item_id"], "is_a_folder"), ("nobody", "not_found")):
        assert api.get(f"/v1/items/{item_id}/content/blocks?block_bytes=65536").json()["code"] == code


def test_an_edit_becomes_the_new_content(tus: Tus, api: Api, item: Json) -> None:
    url = tus.begin(len(EDIT), EDIT, **_named(over(item)))
    assert tus.head(url).headers["anchor-upload-state"] == "finished"
    done = tus.commit(url, "delta-edit", target=aim(item), mode=0o640)
    assert (done.status_code, done.json()["size"], done.json()["mode"]) == (200, len(NEW), 0o640)
    assert api.content(item).content == NEW
    assert api.get(f"/v1/items/{item['item_id']}/content?version={item['content_version']}").content == OLD
    head = tus.head(url).headers
    assert (head["upload-offset"], head["upload-length"]) == (str(len(EDIT)), str(len(EDIT)))
    assert tus.commit(url, "delta-edit", target=aim(item), mode=0o640).json() == done.json()
    again = tus.commit(url, "delta-again", target=aim(item))
    assert (again.json()["code"], again.json()["current"]) == ("upload_committed", done.json())


def test_a_delta_with_a_target_commits_with_its_last_byte(tus: Tus, api: Api, item: Json) -> None:
    told = over(item, NEW, **aim(item))
    url = tus.begin(len(EDIT), EDIT[:50], **_named(told))
    answer = tus.patch(url, 50, EDIT[50:])
    assert (answer.status_code, answer.headers["anchor-upload-state"]) == (204, "committed")
    assert api.content(item).content == NEW


def test_a_conflict_keeps_the_delta_for_another_name(tus: Tus, api: Api, home: Json, item: Json) -> None:
    """The base is the version that was edited, whatever the item holds by now."""
    newer = api.overwrite(item, b"theirs").json()
    url = tus.begin(len(EDIT), EDIT, **_named(over(item)))
    refused = tus.commit(url, "delta-conflict", target=aim(item))
    assert (refused.status_code, refused.json()["current"]) == (412, newer)
    done = tus.commit(url, "delta-copy", target={"parent_id": home["item_id"], "name": "mine"})
    assert done.status_code == 201
    assert api.content(done.json()).content == NEW
    assert api.content(item).content == b"theirs"


@pytest.mark.parametrize(
    "case",
    [
        (b"AFDELTA1" + copy(1, len(OLD)), "invalid_request"),
        (b"AFDELTA1" + copy(0, 1 << 63), "invalid_request"),
        (b"AFDELTA1" + copy(0, 100), "invalid_request"),
        (EDIT + copy(0, 1), "invalid_request"),
        (NEW, "invalid_request"),
        (b"AFDELTA1" + copy(0, len(NEW)), "digest_mismatch"),
    ],
    ids=["outside", "overflow", "too-short", "too-long", "no-delta", "other-bytes"],
)
def test_a_delta_that_does_not_fit_changes_nothing(
    tus: Tus, api: Api, shared_server: ServerProcess, item: Json, case: tuple[bytes, str]
) -> None:
    delta, code = case
    url = tus.begin(len(delta), delta, **_named(over(item)))
    refused = tus.commit(url, str(uuid.uuid4()), target=aim(item))
    assert refused.json()["code"] == code
    assert api.item(item["item_id"]).json() == item
    assert list((shared_server.state / "vault" / "staging").iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"delta": "2"},
        {"base_version": ""},
        {"base_item_id": ""},
        {"size": "many"},
        {"size": "-1"},
        {"digest": "none"},
        {"size": str((1 << 43) + 1)},
    ],
)
def test_half_a_delta_is_none(tus: Tus, item: Json, wrong: dict[str, str]) -> None:
    refused = tus.create(len(EDIT), EDIT, **_named(over(item, NEW, **wrong)))
    assert refused.status_code in {400, 413, 422}


def test_a_base_that_is_not_there_is_told_before_a_byte_is_sent(tus: Tus, item: Json) -> None:
    refused = tus.create(len(EDIT), **_named(over(item, NEW, base_version="nonsense")))
    assert (refused.status_code, refused.json()["code"]) == (410, "version_gone")
    refused = tus.create(len(EDIT), **_named(over(item, NEW, base_item_id="nobody")))
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_a_base_that_went_meanwhile_is_a_clear_refusal(server: ServerProcess) -> None:
    server.start()
    with server.client() as client:
        api, tus = Api(client), Tus(client)
        item = api.write_new(api.root()["item_id"], "f", OLD).json()
        url = tus.begin(len(EDIT), EDIT, **_named(over(item)))
        newer = api.overwrite(item, b"theirs").json()
        (server.state / "vault" / "kept" / item["content_version"]).unlink()
        refused = tus.commit(url, "base-gone", target=aim(newer))
        assert (refused.status_code, refused.json()["code"]) == (410, "version_gone")
        assert tus.state(url)["state"] == "finished"


def test_the_content_counts_against_the_room(tus: Tus, item: Json) -> None:
    refused = tus.create(len(EDIT), **_named(over(item, NEW, size=str(1 << 43))))
    assert (refused.status_code, refused.json()["code"]) == (507, "quota_exceeded")


def test_a_base_outside_of_the_tokens_root_is_not_there(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    whole, inner = create_token(tokens, name="whole"), create_token(tokens, name="inner", root="/inner")
    with ServerProcess(tmp_path, options=("--tokens", str(tokens))) as server:
        (server.root / "inner").mkdir()
        (server.root / "secret").write_bytes(OLD)
        server.scan()
        with server.client(token=whole) as client:
            api = Api(client)
            secret = api.children(api.root()["item_id"])["secret"]
        with server.client(token=inner) as client:
            refused = Tus(client).create(len(EDIT), **_named(over(secret)))
            assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
            assert client.get(f"/v1/items/{secret['item_id']}/content/blocks?block_bytes=65536").status_code == 404


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}
