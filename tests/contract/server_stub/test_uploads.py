"""What the drive adds to tus: conditions, commits elsewhere, interrupted requests, limits, keys and tokens."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from server_stub.auth import create_token
from tests.harness.server import ServerProcess
from tests.harness.tus import MEDIA_TYPE, VERSION, Tus, metadata
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.server_stub.conftest import Api

Json = dict[str, Any]
MIB = 1 << 20


@pytest.fixture
def tus(shared_server: ServerProcess) -> Iterator[Tus]:
    with shared_server.client() as client:
        yield Tus(client)


def aimed(tus: Tus, data: bytes, **target: str) -> httpx.Response:
    """One upload with its target, whole in its creation."""
    return tus.create(len(data), data, upload_metadata=metadata(**target)["upload-metadata"])


def in_folder(folder: Json, name: str) -> Json:
    return {"parent_id": folder["item_id"], "name": name}


def test_a_new_file_carries_what_the_metadata_says(tus: Tus, api: Api, home: Json) -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    stamp = "2001-02-03T04:05:06.000000007Z"
    answer = aimed(
        tus, b"data", **in_folder(home, "a b.txt"), modified_at=stamp, mode="0600", digest=f"sha-256:{digest}"
    )
    assert answer.status_code == 201
    item = api.children(home["item_id"])["a b.txt"]
    assert item["item_id"] == answer.headers["anchor-item-id"]
    assert (item["modified_at"], item["mode"], item["digest"]) == (stamp, 0o600, f"sha-256:{digest}")
    state = tus.state(answer.headers["location"])
    assert (state["state"], state["item"]) == ("committed", item)
    assert api.content(item).content == b"data"


def test_the_last_byte_commits_and_none_before_it(tus: Tus, api: Api, home: Json) -> None:
    item = api.write_new(home["item_id"], "f", b"old").json()
    target = metadata(item_id=item["item_id"], content_version=item["content_version"])
    url = tus.begin(6, b"ne", upload_metadata=target["upload-metadata"])
    assert api.content(item).content == b"old"
    answer = tus.patch(url, 2, b"west")
    assert (answer.status_code, answer.headers["anchor-item-id"]) == (204, item["item_id"])
    assert api.content(item).content == b"newest"
    assert tus.patch(url, 6, b"").status_code == 204  # told again, not done again
    assert api.get(f"/v1/items/{item['item_id']}/content?version={item['content_version']}").content == b"old"


def test_an_empty_file_is_whole_when_it_is_created(tus: Tus, api: Api, home: Json) -> None:
    answer = tus.create(0, upload_metadata=metadata(**in_folder(home, "empty"))["upload-metadata"])
    assert (answer.status_code, answer.headers["anchor-upload-state"]) == (201, "committed")
    assert api.children(home["item_id"])["empty"]["size"] == 0


def test_a_plain_client_that_names_a_file_means_the_root(tus: Tus, api: Api) -> None:
    name = f"plain-{uuid.uuid4()}"
    assert aimed(tus, b"x", filename=name, filetype="text/plain").status_code == 201
    assert name in api.children(api.root()["item_id"])


def test_a_stale_base_keeps_the_upload_and_another_target_takes_it(tus: Tus, api: Api, home: Json) -> None:
    item = api.write_new(home["item_id"], "f", b"old").json()
    target = metadata(item_id=item["item_id"], content_version=item["content_version"])
    url = tus.begin(4, b"mi", upload_metadata=target["upload-metadata"])
    newer = api.overwrite(item, b"theirs").json()
    answer = tus.patch(url, 2, b"ne")
    assert (answer.status_code, answer.headers["upload-offset"]) == (412, "4")
    assert (answer.json()["code"], answer.json()["current"]) == ("precondition_failed", newer)
    state = tus.state(url)
    assert (state["state"], state["offset"], state["refusal"]) == ("finished", 4, "precondition_failed")
    assert api.content(item).content == b"theirs"

    taken = tus.commit(url, "k1", target=in_folder(home, "f"))
    assert (taken.status_code, taken.json()["code"]) == (412, "precondition_failed")
    done = tus.commit(url, "k2", target=in_folder(home, "f (copy)"))
    assert done.status_code == 201
    assert api.content(done.json()).content == b"mine"
    assert tus.commit(url, "k2", target=in_folder(home, "f (copy)")).json() == done.json()  # a replay
    again = tus.commit(url, "k3", target=in_folder(home, "g"))
    assert (again.status_code, again.json()["code"]) == (409, "upload_committed")
    assert again.json()["item_id"] == done.json()["item_id"]
    assert set(api.children(home["item_id"])) == {"f", "f (copy)"}
    assert tus.state(url)["item"] == done.json()


def test_a_refused_upload_may_overwrite_the_newer_version(tus: Tus, api: Api, home: Json) -> None:
    item = api.write_new(home["item_id"], "f", b"old").json()
    target = metadata(item_id=item["item_id"], content_version=item["content_version"])
    url = tus.begin(4, upload_metadata=target["upload-metadata"])
    newer = api.overwrite(item, b"theirs").json()
    current = tus.patch(url, 0, b"mine").json()["current"]
    aim = {"item_id": current["item_id"], "content_version": current["content_version"]}
    done = tus.commit(url, "k-newer", target=aim, mode=0o640)
    assert (done.status_code, done.json()["mode"]) == (200, 0o640)
    assert api.content(item).content == b"mine"
    assert api.get(f"/v1/items/{item['item_id']}/content?version={newer['content_version']}").content == b"theirs"


def test_a_target_that_vanished_is_412_not_the_end_of_the_upload(tus: Tus, api: Api, home: Json) -> None:
    item = api.write_new(home["item_id"], "f", b"old").json()
    target = metadata(item_id=item["item_id"], content_version=item["content_version"])
    url = tus.begin(4, upload_metadata=target["upload-metadata"])
    assert api.delete(item).status_code == 204
    answer = tus.patch(url, 0, b"mine")
    assert (answer.status_code, answer.json()["current"], answer.json()["reason"]) == (412, None, "deleted")
    assert tus.commit(url, f"k-{uuid.uuid4()}", target=in_folder(home, "saved")).status_code == 201


def test_a_condition_that_is_false_already_is_told_before_a_byte_is_sent(tus: Tus, api: Api, home: Json) -> None:
    item = api.write_new(home["item_id"], "f", b"old").json()
    stale = metadata(item_id=item["item_id"], content_version="stale")
    assert tus.create(3, upload_metadata=stale["upload-metadata"]).json()["current"] == item
    assert aimed(tus, b"x", **in_folder(home, "f")).status_code == 412
    assert aimed(tus, b"x", **in_folder(item, "child")).json()["code"] == "not_a_folder"
    assert aimed(tus, b"x", item_id=item["item_id"]).status_code == 428
    assert aimed(tus, b"x", **in_folder(home, "a/b")).json()["code"] == "name_invalid"
    assert aimed(tus, b"x", **in_folder(home, "g"), mode="999").status_code == 400


def test_a_promised_digest_is_held(tus: Tus, api: Api, home: Json) -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    answer = aimed(tus, b"data", **in_folder(home, "f"), digest=f"sha-256:{wrong}")
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")
    url = answer.headers["location"]
    assert tus.commit(url, f"k-{uuid.uuid4()}", target=in_folder(home, "g")).json()["code"] == "digest_mismatch"
    assert api.children(home["item_id"]) == {}


def test_an_upload_without_a_target_waits_for_its_commit(tus: Tus, home: Json) -> None:
    url = tus.begin(4, b"da")
    early = tus.commit(url, f"k-{uuid.uuid4()}", target=in_folder(home, "f"))
    assert (early.status_code, early.json()["code"], early.json()["offset"]) == (409, "upload_incomplete", 2)
    assert tus.patch(url, 2, b"ta").headers["anchor-upload-state"] == "finished"
    assert tus.commit(url, f"k-{uuid.uuid4()}").status_code == 422
    assert tus.http.post(f"{url}:commit", json={}).json()["code"] == "idempotency_key_missing"
    half = {"parent_id": home["item_id"]}
    assert tus.commit(url, f"k-{uuid.uuid4()}", target=half).status_code == 422
    assert tus.commit(url, f"k-{uuid.uuid4()}", target=in_folder(home, "f")).status_code == 201


def test_a_key_makes_one_upload_of_two_creations(tus: Tus, home: Json) -> None:
    key = {"idempotency_key": f'"{uuid.uuid4()}"'}
    target = metadata(**in_folder(home, "f"))["upload-metadata"]
    first = tus.create(4, b"da", upload_metadata=target, **key)
    again = tus.create(4, b"da", upload_metadata=target, **key)
    assert again.status_code == 201
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["upload-offset"] == "2"
    other = tus.create(5, b"da", upload_metadata=target, **key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert tus.patch(first.headers["location"], 2, b"ta").status_code == 204
    done = tus.create(4, b"da", upload_metadata=target, **key)
    assert (done.status_code, done.headers["anchor-upload-state"]) == (201, "committed")


def test_a_cut_request_keeps_what_arrived(tus: Tus, home: Json) -> None:
    data = bytes(range(256)) * (24 * MIB // 256)
    target = metadata(**in_folder(home, "big"))["upload-metadata"]
    url = tus.begin(len(data), upload_metadata=target)
    connection = tus.half_patch(url, 0, len(data), data[: 20 * MIB])
    connection.close()
    tus.wait_for(url, 16 * MIB)
    offset = tus.offset(url)
    assert 16 * MIB <= offset <= 20 * MIB
    assert tus.patch(url, offset, data[offset:]).status_code == 204
    item = tus.state(url)["item"]
    assert item["digest"] == "sha-256:" + hashlib.sha256(data).hexdigest()


def test_a_stalled_request_gives_way_to_the_one_that_resumes(tus: Tus, home: Json) -> None:
    target = metadata(**in_folder(home, "f"))["upload-metadata"]
    url = tus.begin(6, upload_metadata=target)
    offset = 0
    while offset == 0:  # the question may overtake the bytes; then it ended a request that brought none
        with tus.half_patch(url, 0, 6, b"abc") as stalled:
            offset = tus.offset(url)
            answer = stalled.recv(4096)
            assert answer.startswith(b"HTTP/1.1 409")
            assert b"upload_interrupted" in answer
    assert offset == 3
    assert tus.patch(url, 3, b"def").status_code == 204
    assert tus.state(url)["state"] == "committed"


def test_a_newcomer_at_the_right_offset_takes_over(tus: Tus) -> None:
    url = tus.begin(6)
    with tus.half_patch(url, 0, 6, b""):
        assert tus.patch(url, 0, b"abcdef").status_code == 204
    assert tus.offset(url) == 6


def test_a_slow_request_is_made_durable_while_it_lasts(tus: Tus) -> None:
    """The offset moves without anybody ending the request."""
    url = tus.begin(1000)
    with tus.half_patch(url, 0, 1000, b"a") as connection:
        for _ in range(400):
            connection.sendall(b"b")
            if tus.state(url)["offset"] > 0:
                break
            time.sleep(0.1)  # the pace of a slow sender
        assert tus.state(url)["offset"] > 0


def test_a_cut_body_under_a_checksum_counts_for_nothing(tus: Tus) -> None:
    url = tus.begin(6, b"ab")
    parts = [b"c", b"d"]

    def cut() -> Iterator[bytes]:
        yield from parts
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        tus.patch(url, 2, cut(), upload_checksum="sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    assert tus.offset(url) == 2


def test_racing_writers_never_mix_their_bytes(tus: Tus, shared_server: ServerProcess, home: Json) -> None:
    """Whoever wins, the content is one of the two and the offset was true all along."""
    target = metadata(**in_folder(home, "raced"))["upload-metadata"]
    size = 4 * MIB
    url = tus.begin(size, upload_metadata=target)
    seen: list[int] = []

    def write(letter: bytes) -> None:
        with shared_server.client() as client:
            own = Tus(client)
            for _ in range(200):
                offset = own.offset(url)
                seen.append(offset)
                if offset == size:
                    return
                own.patch(url, offset, letter * min(256 * 1024, size - offset))

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    item = tus.state(url)["item"]
    content = tus.http.get(f"/v1/items/{item['item_id']}/content").content
    assert len(content) == size
    assert set(content) <= set(b"ab")
    assert item["digest"] == "sha-256:" + hashlib.sha256(content).hexdigest()


def test_an_upload_belongs_to_its_token_and_stays_in_its_root(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    whole = create_token(tokens, name="whole")
    inner = create_token(tokens, name="inner", root="/inner")
    reader = create_token(tokens, name="reader", read_only=True)
    with ServerProcess(tmp_path, options=("--tokens", str(tokens))) as server:
        (server.root / "inner").mkdir()
        server.scan()
        clients = {name: server.client(token=secret) for name, secret in (("w", whole), ("i", inner), ("r", reader))}
        all_of, own, looking = (Tus(clients[name]) for name in "wir")
        root_id = clients["w"].get("/v1/root").json()["item_id"]
        url = own.begin(2, b"x")
        assert all_of.head(url).status_code == 404
        assert all_of.patch(url, 1, b"y").status_code == 404
        assert all_of.http.delete(url, headers=VERSION).status_code == 404
        assert looking.create(1).status_code == 403
        assert aimed(own, b"x", parent_id=root_id, name="out").status_code == 404
        assert own.patch(url, 1, b"y").status_code == 204
        assert own.commit(url, "k", target={"parent_id": root_id, "name": "out"}).status_code == 404
        assert aimed(own, b"x", filename="in").status_code == 201
        assert (server.root / "inner" / "in").read_bytes() == b"x"
        assert httpx.options(f"{server.url}/v1/uploads", timeout=DEADLINE_S).status_code == 401
        for client in clients.values():
            client.close()


def test_uploads_are_limited_and_expire(tmp_path: Path) -> None:
    limits = ("--upload-max-size", "1000", "--uploads-max", "3")
    with ServerProcess(tmp_path, options=limits) as server:
        with server.client() as client:
            tus = Tus(client)
            assert tus.http.options("/v1/uploads").headers["tus-max-size"] == "1000"
            assert tus.create(1001).status_code == 413
            urls = [tus.begin(None), tus.begin(3, b"a"), tus.begin(4, b"ab")]
            assert tus.patch(urls[0], 0, iter([b"x" * 600, b"x" * 600])).status_code == 413
            refused = tus.create(1)
            assert (refused.status_code, refused.json()["code"]) == (507, "quota_exceeded")
        server.options = (*limits, "--upload-ttl", "1")
        server.restart()
        with server.client() as client:
            tus = Tus(client)
            for url in urls:  # an upload lives as long as it may from its last byte
                assert tus.patch(url, tus.offset(url), b"b").status_code == 204
            room = server.state / "vault" / "uploads"
            until(lambda: not list(room.iterdir()), "their bytes to go")
            assert {tus.head(url).status_code for url in urls} <= {404, 410}
            until(lambda: _is_told_as_gone(tus), "an upload that is told as gone")  # so their room is free again


def _is_told_as_gone(tus: Tus) -> bool:
    """Whether an upload that expires is told so; not when we are stopped until the proof of it is dropped too."""
    url = tus.begin(3)
    until(lambda: tus.head(url).status_code in {404, 410}, "the upload to expire")
    answer = tus.patch(url, 0, b"a")
    told = (answer.status_code, answer.json()["code"])
    assert told in {(410, "upload_gone"), (404, "not_found")}
    return told == (410, "upload_gone")


def test_a_graceful_stop_keeps_what_arrived(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            url = Tus(client).begin(6, upload_metadata=metadata(filename="f")["upload-metadata"])
        offset, tries = 0, 0
        while offset == 0 and tries < 5:  # a stop may come before the bytes do
            tries += 1
            with server.client() as client:
                stalled = Tus(client).half_patch(url, 0, 6, b"abc")
                assert client.get("/healthz").status_code == 200  # a round trip: the bytes were there before it
            assert server.stop() == 0
            stalled.close()
            server.start()
            with server.client() as client:
                offset = Tus(client).offset(url)
        assert offset == 3
        with server.client() as client:
            assert Tus(client).patch(url, 3, b"def").status_code == 204
        assert (server.root / "f").read_bytes() == b"abcdef"


@pytest.mark.parametrize("left", [None, b"a"])
def test_an_upload_whose_bytes_were_taken_away_ends(
    tus: Tus, shared_server: ServerProcess, home: Json, left: bytes | None
) -> None:
    """An offset that cannot be kept is not told again."""
    urls = [tus.begin(6, b"abc"), tus.begin(3, b"abc")]
    for url in urls:
        file = shared_server.state / "vault" / "uploads" / url.rpartition("/")[2]
        file.unlink()
        if left is not None:
            file.write_bytes(left)
    assert tus.patch(urls[0], 3, b"def").json()["code"] == "upload_gone"
    assert tus.commit(urls[1], f"k-{uuid.uuid4()}", target=in_folder(home, "f")).json()["code"] == "upload_gone"
    assert [tus.head(url).status_code for url in urls] == [410, 410]


def test_a_head_of_wrong_type_changes_nothing(tus: Tus) -> None:
    url = tus.begin(2)
    assert tus.http.put(url, content=b"x", headers=VERSION | MEDIA_TYPE).status_code == 405
    assert tus.offset(url) == 0
