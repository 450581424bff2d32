"""No request ends the process, holds its memory or its descriptors, or reaches another client's request."""

from __future__ import annotations

import json
import random
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

VALID = (
    b"GET /v1/root HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    (
        b'POST /v1/items HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nIdempotency-Key: "k"\r\n'
        b'Content-Length: 14\r\n\r\n{"parent_id":1'
    ),
    (
        b"PUT /v1/items/a/children/b/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nIf-None-Match: *\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ),
    b"GET /v1/changes?anchor=%ff&limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nRange: bytes=0-\r\n\r\n",
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "root").mkdir()
    with ServerProcess(folder) as server:
        yield server


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that waits a second for a head: whoever asks it stands still for longer now and then."""
    with ServerProcess(tmp_path_factory.mktemp("hurried"), options=("--head-timeout", "1")) as server:
        yield server


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that waits a second for a body and for a reader; a request without a body is under no such limit."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "root").mkdir()
    (folder / "root" / "big.bin").write_bytes(bytes(32 << 20))
    with ServerProcess(folder, options=("--stall-timeout", "1")) as server:
        yield server


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(server.address, timeout=DEADLINE_S)


def everything(connection: socket.socket) -> bytes:
    """What the server says until it ends the connection."""
    parts = []
    try:
        while part := connection.recv(1 << 20):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def descriptors(server: ServerProcess) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def resident_kib(server: ServerProcess) -> int:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def await_descriptors(server: ServerProcess, at_most: int) -> None:
    until(lambda: descriptors(server) <= at_most, f"at most {at_most} open descriptors")


def mutated(random_: random.Random, token: str) -> bytes:
    request = bytearray(random_.choice(VALID).replace(b"TOKEN", token.encode()))
    for _ in range(random_.randrange(1, 6)):
        place = random_.randrange(len(request))
        match random_.randrange(4):
            case 0:
                request[place] = random_.randrange(256)
            case 1:
                del request[place : place + random_.randrange(1, 20)]
            case 2:
                request[place:place] = random_.randbytes(random_.randrange(1, 30))
            case _:
                request[place:place] = request[: random_.randrange(len(request))]
        request = request or bytearray(b"x")
    return bytes(request)


def test_raw_bytes_end_nothing(target: ServerProcess) -> None:
    random_ = random.Random(20261122)
    before = descriptors(target)
    pid = target.pid
    for round_ in range(400):
        data = random_.randbytes(random_.randrange(1, 400)) if round_ % 4 == 0 else mutated(random_, target.token or "")
        with connect(target) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(0.01)
                connection.recv(4096)
            except OSError:
                continue
    await_descriptors(target, before)
    assert httpx.get(f"{target.url}/healthz", timeout=DEADLINE_S).json() == {"status": "ok", "watch": "off"}
    assert target.pid == pid
    log = target.log_path.read_text()
    assert "Traceback" not in log
    assert " 500 " not in log


def test_an_endless_head_is_refused(target: ServerProcess) -> None:
    before = resident_kib(target)
    with connect(target) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            for _ in range(64):
                connection.sendall(b"x" * (1 << 20))
        except OSError:
            pass
        told = everything(connection)
    assert told == b"" or told.startswith(b"HTTP/1.1 431")  # a reset may overtake the answer
    assert resident_kib(target) - before < 16_384


@pytest.mark.parametrize("fields", [[f"X-{number}: y" for number in range(101)], [f"X-Long: {'y' * 66_000}"]])
def test_too_large_a_head_is_told_so(target: ServerProcess, fields: list[str]) -> None:
    with connect(target) as connection:
        connection.sendall(("GET /v1/root HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode())
        head, _, body = everything(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431")
    assert json.loads(body)["code"] == "head_too_large"


def test_a_connection_that_says_nothing_is_not_waited_for(hurried: ServerProcess) -> None:
    with connect(hurried) as connection:
        assert everything(connection) == b""  # within its deadline


@pytest.mark.parametrize("sent", [b"GET /v1/root HTT", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(hurried: ServerProcess, sent: bytes) -> None:
    def is_told() -> bool:
        """Not when what is sent came too late itself."""
        with connect(hurried) as connection:
            connection.sendall(sent)
            told = everything(connection)  # within its deadline
        assert told == b"" or told.startswith(b"HTTP/1.1 408")
        return told != b""

    until(is_told, "an answer to half a head")


def test_a_body_that_does_not_come_is_not_waited_for(strict: ServerProcess) -> None:
    with strict.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        with connect(strict) as connection:
            head = (
                f"PUT /v1/items/{root}/children/stalled/content HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n"
                f"Authorization: Bearer {strict.token}\r\nContent-Length: 100000\r\n\r\nhalf"
            )
            connection.sendall(head.encode())
            assert everything(connection) == b""
        names = [item["name"] for item in client.get(f"/v1/items/{root}/children").json()["items"]]
        assert "stalled" not in names


def test_a_reader_that_takes_nothing_is_cut_off(strict: ServerProcess) -> None:
    with strict.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        items = client.get(f"/v1/items/{root}/children").json()["items"]
        big = next(item["item_id"] for item in items if item["name"] == "big.bin")
        before = descriptors(strict)
        with connect(strict) as connection:
            asked = f"GET /v1/items/{big}/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {strict.token}\r\n\r\n"
            connection.sendall(asked.encode())
            await_descriptors(strict, before)  # its socket and its file are given back while we hold our end
            assert client.get("/healthz").status_code == 200


def test_deep_and_broken_json_is_refused(target: ServerProcess) -> None:
    bodies = [b"[" * 200_000, b'{"a":' * 100_000, b'{"item_ids":' + b"[" * 100_000, b'"\xff"', b"\xef\xbb\xbf{}", b""]
    with target.client() as client:
        root = client.get("/v1/root").json()
        for path, method in (
            ("/v1/items", "POST"),
            ("/v1/items:batchGet", "POST"),
            (f"/v1/items/{root['item_id']}", "PATCH"),
        ):
            for number, body in enumerate(bodies):
                headers = {"idempotency-key": f'"{path}{number}"', "if-match": f'"{root["metadata_version"]}"'}
                answer = client.request(method, path, content=body, headers=headers)
                assert answer.status_code in {400, 422}, (path, body[:20])
                assert answer.json()["code"] == "invalid_request"
        huge = client.post("/v1/items:batchGet", content=b" " * ((1 << 20) + 1))
        assert (huge.status_code, huge.json()["code"]) == (413, "too_large")


def test_many_overlapping_ranges_cost_no_more_than_the_whole(target: ServerProcess) -> None:
    with target.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        written = client.put(
            f"/v1/items/{root}/children/r/content", content=b"0123456789" * 100, headers={"if-none-match": "*"}
        )
        content = f"/v1/items/{written.json()['item_id']}/content"
        for ranges in (",".join(["0-"] * 5000), ",".join(f"{n}-{n}" for n in range(51)), "0-999,1-999"):
            answer = client.get(content, headers={"range": f"bytes={ranges}"})
            assert (answer.status_code, len(answer.content)) == (200, 1000)


def test_pages_are_cut_to_their_maximum(target: ServerProcess) -> None:
    with target.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        assert client.get(f"/v1/items/{root}/children?limit=999999999").status_code == 200
        assert client.get(f"/v1/items/{root}/children?limit={'9' * 5000}").status_code == 400


def test_garbage_after_a_request_does_not_mix_into_its_answer(target: ServerProcess) -> None:
    with connect(target) as connection:
        asked = (
            f"GET /v1/root HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.token}\r\n\r\n\x00\x01garbage\r\n\r\n"
        )
        connection.sendall(asked.encode())
        told = everything(connection)
    assert told.count(b"HTTP/1.1") <= 1  # one answer, or the end of the connection


def test_a_plain_request_to_tls_and_the_other_way(target: ServerProcess) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(target) as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection)
    assert httpx.get(f"{target.url}/healthz", timeout=DEADLINE_S).status_code == 200
