"""What whoever runs the server sees: logs, figures, TLS, a graceful end; and whom it answers without tokens."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from tests.harness.server import CHECKOUT, ServerProcess
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from pathlib import Path


WAITED_FOR_S = 4.0  # a server that ends waits for 5 s


def log_lines(server: ServerProcess) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.log_path.read_text().splitlines() if line.startswith("{")]


def test_json_lines_carry_the_request_and_no_secret(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, options=("--log-format", "json", "--verbose")) as server, server.client() as client:
        own = client.get("/v1/root", headers={"x-request-id": "trace-1"})
        assert own.headers["x-request-id"] == "trace-1"
        made = client.get("/v1/space").headers["x-request-id"]
        foreign = client.get("/v1/space", headers={"x-request-id": "a b"}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", made)
        assert re.fullmatch("[0-9a-f]{16}", foreign)
        httpx.get(
            f"{server.url}/v1/root?token={server.token}",
            headers={"authorization": f"Bearer {server.token}x"},
            timeout=DEADLINE_S,
        )
        httpx.get(
            f"{server.url}/v1/items/{server.token}",
            headers={"authorization": f"Bearer {server.token}"},
            timeout=DEADLINE_S,
        )
        server.stop()
        by_id = {line.get("request_id"): line for line in log_lines(server) if "route" in line}
        line = by_id["trace-1"]
        assert (line["method"], line["route"], line["status"], line["level"]) == ("GET", "/v1/root", 200, "INFO")
        assert isinstance(line["duration_ms"], float)
        assert line["token_id"]
        assert made in by_id
        secret = (server.token or "").rpartition("_")[2]
        assert secret not in server.log_path.read_text()


def test_text_lines_and_silence(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        httpx.get(f"{server.url}/healthz", headers={"x-request-id": "mine"}, timeout=DEADLINE_S)
        server.stop()
        assert re.search(r"Z INFO server_stub\.gate \[mine\]: GET /healthz 200 [\d.]+ ms \d+ bytes", server.log_tail())
        server.options = ("--no-access-log",)
        server.log_path.unlink()
        server.start()
        httpx.get(f"{server.url}/healthz", timeout=DEADLINE_S)
        server.stop()
        assert "/healthz" not in server.log_tail()


def test_figures_for_prometheus(tmp_path: Path) -> None:
    (tmp_path / "root" / "inside").mkdir(parents=True)
    tokens = tmp_path / "tokens.json"
    whole, part = (make_token(tokens, name, root) for name, root in (("whole", "/"), ("part", "/inside")))
    with ServerProcess(tmp_path, options=("--tokens", str(tokens))) as server:
        assert httpx.get(f"{server.url}/metrics", timeout=DEADLINE_S).status_code == 401
        with server.client(token=part) as client:
            assert client.get("/metrics").status_code == 403
        with server.client(token=whole) as client:
            for _ in range(3):
                client.get("/v1/root")
            client.get("/v1/items/nothing")
            client.get("/no/such/path")
            answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'anchorfs_requests_total{method="GET",route="/v1/root",status="200"} 3.0' in answer.text
    assert 'anchorfs_requests_total{method="GET",route="/v1/items/{item_id}",status="404"} 1.0' in answer.text
    assert 'anchorfs_requests_total{method="GET",route="none",status="404"} 1.0' in answer.text
    assert "anchorfs_items 2.0" in answer.text
    assert "nothing" not in answer.text


def make_token(tokens: Path, name: str, root: str) -> str:
    words = ["token", "create", "--tokens", str(tokens), "--name", name, "--root", root]
    done = subprocess.run(
        [sys.executable, "-m", "server_stub", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return done.stdout.strip()


def test_the_contract_and_its_page_need_no_token(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        contract = httpx.get(f"{server.url}/openapi.json", timeout=DEADLINE_S)
        page = httpx.get(f"{server.url}/docs", timeout=DEADLINE_S)
    assert contract.json()["openapi"] == "3.1.0"
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_https_by_certificate_files(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    certificate.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with ServerProcess(tmp_path, options=("--tls-cert", str(chain), "--tls-key", str(key))) as server:
        assert server.url.startswith("https://127.0.0.1:")
        (server.root / "big").write_bytes(bytes(range(256)) * 20_000)
        server.scan()
        headers = {"authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, verify=context, timeout=DEADLINE_S) as client:
            root = client.get("/v1/root").json()["item_id"]
            (big,) = client.get(f"/v1/items/{root}/children").json()["items"]
            assert client.get(f"/v1/items/{big['item_id']}/content").content == bytes(range(256)) * 20_000
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"{server.url}/healthz", timeout=DEADLINE_S)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http{server.url.removeprefix('https')}/healthz", timeout=DEADLINE_S)


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    words = ["serve", "--root", str(tmp_path), "--state", str(tmp_path / "s"), "--listen", "127.0.0.1:0"]
    for options, status in (
        (["--tls-cert", "x.pem"], 2),
        (["--tls-cert", "/none.pem", "--tls-key", "/none.pem"], 1),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "server_stub", *words, *options],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == status
        assert "anchorfs-server:" in done.stderr


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:1"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:8420"}, 200),
        ({"host": "localhost", "origin": "http://localhost:3000"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "localhost@evil.example"}, 421),
        ({"host": "localhost", "origin": "https://evil.example"}, 421),
        ({"host": "localhost", "origin": "null"}, 421),
        ({"host": "2130706433"}, 421),
    ],
)
def test_without_tokens_only_this_machines_names_are_answered(
    open_server: ServerProcess, headers: dict[str, str], status: int
) -> None:
    answer = httpx.get(f"{open_server.url}/v1/root", headers=headers, timeout=DEADLINE_S)
    assert answer.status_code == status
    if status == 421:
        assert answer.json()["code"] == "host_not_allowed"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> object:
    with ServerProcess(tmp_path_factory.mktemp("open"), auth=False) as server:
        yield server


def test_a_graceful_end_finishes_what_was_begun(tmp_path: Path) -> None:
    """The server waits for so long only: an end in which somebody stood still for longer shows nothing."""
    attempts = itertools.count()
    until(lambda: _ends_gracefully(tmp_path / str(next(attempts))) < WAITED_FOR_S, "an end without a delay")


def _ends_gracefully(folder: Path) -> float:
    """Seconds that what was begun took after the end was asked for."""
    with ServerProcess(folder) as server, server.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        begun, go_on = threading.Event(), threading.Event()
        answers: list[httpx.Response] = []

        def body() -> object:
            yield b"first half, "
            begun.set()
            assert go_on.wait(DEADLINE_S)
            yield b"second half"

        def upload() -> None:
            path = f"{server.url}/v1/items/{root}/children/f/content"
            headers = {"if-none-match": "*", "authorization": f"Bearer {server.token}"}
            with contextlib.suppress(httpx.HTTPError):  # no answer then
                answers.append(httpx.put(path, content=body(), headers=headers, timeout=DEADLINE_S))  # type: ignore[arg-type]

        with client.stream("GET", "/v1/changes/stream") as events:
            lines = events.iter_lines()
            next(lines)
            sending = threading.Thread(target=upload)
            sending.start()
            assert begun.wait(DEADLINE_S)
            assert server.process is not None
            asked_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            list(lines)  # the stream is ended in order: no exception, no wait for its reader
            go_on.set()
            sending.join(DEADLINE_S)
            took_s = time.monotonic() - asked_s
        assert server.process.wait(DEADLINE_S) == 0
        server.process = None
    if took_s < WAITED_FOR_S:
        assert [answer.status_code for answer in answers] == [201]
        assert (folder / "root" / "f").read_bytes() == b"first half, second half"
        assert "Traceback" not in server.log_tail()
    return took_s
