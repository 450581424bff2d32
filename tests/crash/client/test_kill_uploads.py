"""Large uploads through kill -9 of either side and a wire that is cut: they go on where they stood, byte by byte."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cache import fsck
from tests.crash.client.large import MIB, body
from tests.harness.meter import Meter
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTOR = Path(__file__).with_name("large.py")
CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 110
SIZE = 18 * MIB + 77
DIGEST = hashlib.sha256(b"".join(body(SIZE))).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server; each test works in a folder of its own."""
    with ServerProcess(tmp_path_factory.mktemp("crash")) as process:
        yield process


def started(server: ServerProcess, state: Path, *words: str, url: str = "", point: str = "") -> subprocess.Popen[str]:
    """The client at work in the folder `f`."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "ANCHORFS_FAILPOINT": point}
    environment["ANCHORFS_TOKEN"] = server.token or ""
    command = [sys.executable, str(ACTOR), url or server.url, str(state), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> int | None:
    """How many bytes of content travelled; None when it was killed."""
    try:
        out, told = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode in {0, -signal.SIGKILL}, told
    return None if process.returncode else int(json.loads(out.splitlines()[-1]))


def in_folder(server: ServerProcess, name: str) -> Path:
    folder = server.root / name
    folder.mkdir()
    server.scan()
    return folder


def stands(server: ServerProcess, state: Path) -> int:
    """What the server holds of the upload that the client's catalog names."""
    with sqlite3.connect(state / "state.db") as catalog:
        rows = catalog.execute("SELECT remote_id FROM upload").fetchall()
    assert len(rows) == 1
    if rows[0][0] is None:
        return 0
    with server.client() as client:
        return int(client.get(f"/v1/uploads/{rows[0][0]}").json()["offset"])


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize(
    "point", ["upload-planned", "upload-begun", "upload-known", "upload-chunk:13", "upload-sent", "stored"]
)
def test_a_killed_client_sends_only_the_rest(server: ServerProcess, tmp_path: Path, point: str) -> None:
    name = point.replace(":", "-")
    folder, state = in_folder(server, name), tmp_path / "state"
    assert ended(started(server, state, name, "write", str(SIZE), point=point)) is None, "never reached"
    assert [each for each in fsck.check(state, deep=True) if not each.heals] == []
    before = stands(server, state)
    travelled = ended(started(server, state, name))
    assert travelled is not None
    assert travelled <= SIZE - before
    if point in {"upload-sent", "stored"}:
        assert travelled == 0
    assert [path.name for path in folder.iterdir()] == ["big"]
    assert digest_of(folder / "big") == DIGEST
    assert fsck.check(state, deep=True) == []
    assert list((server.state / "vault" / "uploads").iterdir()) == []


def test_a_killed_server_is_sent_only_what_it_lost(tmp_path: Path) -> None:
    """It dies when it has made 16 MiB durable, and comes back under the same address."""
    with ServerProcess(tmp_path) as server:
        folder, state = in_folder(server, "f"), tmp_path / "client"
        server.restart(env={"ANCHORFS_SERVER_FAILPOINT": "upload-recorded"})
        client = started(server, state, "f", "write", str(SIZE))
        try:
            server.wait_dead(TIMEOUT_S)
            server.start()
            travelled = ended(client)
        finally:
            client.kill()
        assert travelled is not None
        assert travelled < SIZE + 8 * MIB, "what was durable was sent again"
        assert digest_of(folder / "big") == DIGEST


def test_a_wire_that_is_cut_again_and_again_carries_each_byte_about_once(server: ServerProcess, tmp_path: Path) -> None:
    folder, dice = in_folder(server, "cut"), random.Random(5)
    cuts = itertools.accumulate(dice.randrange(MIB, 3 * MIB) for _ in range(6))
    with Meter(server.address, list(cuts)) as wire:
        travelled = ended(started(server, tmp_path / "state", "cut", "write", str(SIZE), url=wire.url))
        assert wire.cut_count == 6
        assert wire.up_bytes < SIZE + 6 * MIB
    assert travelled is not None
    assert digest_of(folder / "big") == DIGEST


def test_an_edit_of_a_large_file_sends_little_more_than_the_edit(server: ServerProcess, tmp_path: Path) -> None:
    """64 MiB, mostly holes; counted on the wire, with everything that was asked around it."""
    folder, state = in_folder(server, "edit"), tmp_path / "state"
    with (folder / "big").open("wb") as file:
        file.write(random.Random(9).randbytes(MIB))
        file.truncate(64 * MIB)
    server.scan()
    expected = bytearray((folder / "big").read_bytes())
    expected[10 * MIB : 10 * MIB + 4096] = random.Random(2).randbytes(4096)
    with Meter(server.address) as wire:
        travelled = ended(started(server, state, "edit", "edit", str(10 * MIB), "4096", url=wire.url))
        assert travelled is not None
        assert travelled < 40 << 10
        assert wire.up_bytes < 128 << 10
    assert digest_of(folder / "big") == hashlib.sha256(expected).hexdigest()
