"""kill -9 of a client at its borders: the state directory keeps its laws, and everything accepted arrives once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cache import fsck
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTOR = Path(__file__).with_name("actor.py")
CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 120

POINTS = (
    "blob-created:2", "marked", "stored", "stored:3", "answered", "concluded", "moved", "removed", "row-deleted",
    "page-told", "page-applied",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server; each test works in a folder of its own."""
    with ServerProcess(tmp_path_factory.mktemp("crash")) as process:
        yield process


def act(server: ServerProcess, state: Path, folder: str, *, work: bool, point: str = "") -> tuple[int, list[str]]:
    """Run the client; its exit status and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "ANCHORFS_FAILPOINT": point}
    environment["ANCHORFS_TOKEN"] = server.token or ""
    done = subprocess.run(
        [sys.executable, str(ACTOR), server.url, str(state), folder, *(["work"] if work else [])],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("point", POINTS)
def test_kill_and_come_back(server: ServerProcess, tmp_path: Path, point: str) -> None:
    folder, state = point.replace(":", "-"), tmp_path / "state"
    (server.root / folder).mkdir()
    server.scan()
    status, said = act(server, state, folder, work=True, point=point)
    assert status == -signal.SIGKILL, "this place was never reached"
    accepted = {line.removeprefix("accepted ") for line in said if line.startswith("accepted ")}

    findings = fsck.check(state, deep=True)
    assert [each for each in findings if not each.heals] == []

    status, said = act(server, state, folder, work=False)
    assert status == 0
    shown = json.loads(said[-1])
    assert shown == {path.name: path.read_text() for path in (server.root / folder).iterdir()}
    assert fsck.check(state, deep=True) == []
    assert_arrived_once(shown, accepted)


def assert_arrived_once(shown: dict[str, str], accepted: set[str]) -> None:
    """Every accepted file is there, in an old or a new state, under its old or its new name, and only once."""
    assert not [name for name in shown if "conflict" in name]
    if "one" in accepted:
        assert [shown.get("one"), shown.get("moved")].count("first") == 1
        assert len(shown.keys() & {"one", "moved"}) == 1
    if "two" in accepted:
        assert shown["two"] in {"second", "second, again", ""}
    if "gone" in shown:
        assert shown["gone"] in {"gone", ""}
