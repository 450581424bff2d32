"""kill -9 around uploads: the acknowledged offset is true, nothing is committed twice or by half, no stray remains."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from server_stub.control import ask
from tests.harness.server import ServerProcess
from tests.harness.tus import Tus, metadata
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
MIB = 1 << 20
DATA = random.Random(7).randbytes(34 * MIB)
KILLS = 5
AIM = metadata(filename="f")


def names(server: ServerProcess) -> set[str]:
    return {path.name for path in server.root.iterdir()}


def agrees(server: ServerProcess, *, uploads: int) -> None:
    """Index and tree tell the same; the vault holds exactly the uploads that are not in the drive."""
    vault = server.state / "vault"
    assert list((vault / "staging").iterdir()) == []
    assert len(list((vault / "uploads").iterdir())) == uploads
    report = ask(server.state, "scan")["report"]
    assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)


def crash(server: ServerProcess, point: str) -> None:
    """Restart with the failpoint armed."""
    server.restart(env={"ANCHORFS_SERVER_FAILPOINT": point})


@pytest.mark.parametrize("point", ["upload-written:3", "upload-synced", "upload-recorded", "upload-sealed"])
def test_receiving(tmp_path: Path, point: str) -> None:
    """What was acknowledged is there byte by byte, and the rest is sent again."""
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            url = Tus(client).begin(len(DATA), DATA[:1000], upload_metadata=AIM["upload-metadata"])
        crash(server, point)
        with server.client() as client, pytest.raises(httpx.TransportError):
            Tus(client).patch(url, 1000, DATA[1000:])
        server.wait_dead()
        told = _told_offset(server, url)
        agrees(server, uploads=1)
        with server.client() as client:
            tus = Tus(client)
            assert tus.offset(url) == told
            assert told >= (16 * MIB if "recorded" in point else 1000)
            assert tus.patch(url, told, DATA[told:]).status_code == 204
            assert tus.state(url)["item"]["digest"] == "sha-256:" + hashlib.sha256(DATA).hexdigest()
        assert (server.root / "f").read_bytes() == DATA
        agrees(server, uploads=0)


def _told_offset(server: ServerProcess, url: str) -> int:
    """After a restart, and the same again after another."""
    server.start()
    with server.client() as client:
        told = Tus(client).offset(url)
    server.kill()
    server.start()
    return told


# From the intent on the change is durable; before it the last bytes are simply sent again.
@pytest.mark.parametrize(
    ("point", "committed"),
    [("upload-sealed", False), ("intended", True), ("after-put", True), ("applied", True)],
)
def test_the_last_byte(tmp_path: Path, point: str, *, committed: bool) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            url = Tus(client).begin(6, b"abc", upload_metadata=AIM["upload-metadata"])
        crash(server, point)
        with server.client() as client, pytest.raises(httpx.TransportError):
            Tus(client).patch(url, 3, b"def")
        server.wait_dead()
        server.start()
        agrees(server, uploads=0 if committed else 1)
        assert names(server) == ({"f"} if committed else set())
        with server.client() as client:
            tus = Tus(client)
            assert tus.offset(url) == (6 if committed else 3)
            assert tus.patch(url, tus.offset(url), b"def"[tus.offset(url) - 3 :]).status_code == 204
            item = tus.state(url)["item"]
            assert client.get(f"/v1/items/{item['item_id']}/content").content == b"abcdef"
        agrees(server, uploads=0)


@pytest.mark.parametrize("point", ["intended", "after-keep", "applied"])
def test_commit_elsewhere(tmp_path: Path, point: str) -> None:
    """Under one key the commit happens once, whatever it met."""
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            tus = Tus(client)
            old = tus.state(tus.begin(3, b"old", upload_metadata=AIM["upload-metadata"]))["item"]
            url = tus.begin(3, b"new")
        crash(server, point)
        aim = {"item_id": old["item_id"], "content_version": old["content_version"]}
        with server.client() as client, pytest.raises(httpx.TransportError):
            Tus(client).commit(url, "once", target=aim)
        server.wait_dead()
        server.start()
        agrees(server, uploads=0)
        with server.client() as client:
            tus = Tus(client)
            done = tus.commit(url, "once", target=aim)
            assert done.status_code == 200
            assert tus.state(url)["item"] == done.json()
            path = f"/v1/items/{old['item_id']}/content"
            assert client.get(path).content == b"new"
            assert client.get(f"{path}?version={old['content_version']}").content == b"old"


@pytest.mark.parametrize("point", ["upload-assembled", "intended", "after-put", "applied"])
def test_a_delta_is_committed_once(tmp_path: Path, point: str) -> None:
    """The content that was being made of it is made again; no half of it remains."""
    delta = b"AFDELTA1C" + bytes(8) + (3).to_bytes(8) + b"L" + (3).to_bytes(8) + b"new"
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            tus = Tus(client)
            old = tus.state(tus.begin(6, b"old, x", upload_metadata=AIM["upload-metadata"]))["item"]
            base = {"base_item_id": old["item_id"], "base_version": old["content_version"], "delta": "1", "size": "6"}
            told = metadata(digest="sha-256:" + hashlib.sha256(b"oldnew").hexdigest(), **base)
            url = tus.begin(len(delta), delta, upload_metadata=told["upload-metadata"])
        crash(server, point)
        aim = {"item_id": old["item_id"], "content_version": old["content_version"]}
        with server.client() as client, pytest.raises(httpx.TransportError):
            Tus(client).commit(url, "once", target=aim)
        server.wait_dead()
        server.start()
        agrees(server, uploads=1 if point == "upload-assembled" else 0)
        with server.client() as client:
            assert Tus(client).commit(url, "once", target=aim).status_code == 200
            assert client.get(f"/v1/items/{old['item_id']}/content").content == b"oldnew"
        agrees(server, uploads=0)


def test_a_refusal_is_decided_again_when_a_crash_swallowed_it(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            url = Tus(client).begin(6, b"abc", upload_metadata=AIM["upload-metadata"])
            assert Tus(client).create(1, b"x", upload_metadata=AIM["upload-metadata"]).status_code == 201
        crash(server, "upload-refused")
        with server.client() as client, pytest.raises(httpx.TransportError):
            Tus(client).patch(url, 3, b"def")
        server.wait_dead()
        server.start()
        with server.client() as client:
            tus = Tus(client)
            assert (tus.state(url)["state"], tus.offset(url)) == ("finished", 6)
            assert tus.patch(url, 6, b"").status_code == 412
            root = client.get("/v1/root").json()["item_id"]
            assert tus.commit(url, "k", target={"parent_id": root, "name": "g"}).status_code == 201
        assert (server.root / "g").read_bytes() == b"abcdef"


@pytest.mark.parametrize("point", ["upload-created", "applied", "upload-sealed", "intended", "after-put"])
def test_concatenation(tmp_path: Path, point: str) -> None:
    """Asked again under its key it is one file; its parts are there until it holds their bytes."""
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            parts = [Tus(client).begin(3, data, upload_concat="partial") for data in (b"abc", b"def")]
        crash(server, point)
        ask = {"upload_metadata": AIM["upload-metadata"], "idempotency_key": '"once"'}
        with server.client() as client, pytest.raises(httpx.TransportError):
            Tus(client).concat(parts, **ask)
        server.wait_dead()
        server.start()
        with server.client() as client:
            tus = Tus(client)
            final = tus.concat(parts, **ask)
            assert final.status_code == 201, final.text
            assert final.headers["anchor-upload-state"] == "committed"
            assert (server.root / "f").read_bytes() == b"abcdef"
            assert tus.offset(final.headers["location"]) == 6
            assert tus.head(parts[0]).status_code == 410
        server.restart()
        agrees(server, uploads=0)


def test_termination(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            url = Tus(client).begin(6, b"abc")
        crash(server, "upload-ended")
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.delete(url, headers={"tus-resumable": "1.0.0"})
        server.wait_dead()
        server.start()
        agrees(server, uploads=0)
        with server.client() as client:
            assert Tus(client).head(url).status_code == 410


def test_random_kills(tmp_path: Path) -> None:
    """An upload through a server that keeps dying: no offset was ever told and lost, the content is right."""
    dice = random.Random(20)
    acknowledged: list[int] = [0]
    kills = 0
    with ServerProcess(tmp_path) as server:
        with server.client() as client:
            url = Tus(client).begin(len(DATA), upload_metadata=AIM["upload-metadata"])
        while acknowledged[-1] < len(DATA):
            with server.client() as client:
                acknowledged.append(Tus(client).offset(url))
            assert acknowledged[-1] >= acknowledged[-2], acknowledged
            killed = threading.Event()
            if kills == KILLS:
                killed.set()  # nobody is to be waited for any more
            else:
                threading.Timer(dice.uniform(0.0, 0.2), _kill, (server.pid, killed)).start()
            with server.client() as client, contextlib.suppress(httpx.TransportError):
                _send_rest(Tus(client), url, acknowledged, killed)
            if kills < KILLS:
                kills += 1
                assert killed.wait(DEADLINE_S)
                server.wait_dead()
                server.start()
        assert kills == KILLS
        assert (server.root / "f").read_bytes() == DATA
        server.restart()
        agrees(server, uploads=0)


def _kill(pid: int, killed: threading.Event) -> None:
    os.kill(pid, signal.SIGKILL)
    killed.set()


def _send_rest(tus: Tus, url: str, acknowledged: list[int], killed: threading.Event) -> None:
    """In steps; each answer is a promise. The last one waits for the kill: a fast machine would be done before."""
    deadline = time.monotonic() + 2 * DEADLINE_S
    while acknowledged[-1] < len(DATA):
        assert time.monotonic() < deadline
        start = acknowledged[-1]
        if start + 3 * MIB >= len(DATA):
            assert killed.wait(DEADLINE_S)
        answer = tus.patch(url, start, DATA[start : start + 3 * MIB])
        assert answer.status_code == 204, answer.text
        acknowledged.append(int(answer.headers["upload-offset"]))
