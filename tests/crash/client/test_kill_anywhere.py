"""kill -9 of a client at its system calls: at each of a recorded run that changes the state directory, or sends
something.

The suite takes a few, spread over the run, and `--long` every one; `ANCHORFS_KILLS=N` takes so many.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cache import fsck
from cache.errors import StateUnusable
from tests.crash.client.test_kill import ACTOR, CHECKOUT, assert_arrived_once, server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.server import ServerProcess

__all__ = ["server"]

CALLS = ("fdatasync", "fsync", "pwrite64", "write", "unlink", "rename", "ftruncate", "fchmod", "sendto")
KILLS = int(os.environ.get("ANCHORFS_KILLS", "3"))
EVERY = 1_000_000
TIMEOUT_S = 120
SEED_FOLDER = "recorded"

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: nothing can be injected")


def run(server: ServerProcess, state: Path, folder: str, *strace: str, work: bool) -> tuple[int, list[str]]:
    """Run the client, with strace if words for it are given; its exit status and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "ANCHORFS_TOKEN": server.token or ""}
    tracer = ["strace", "-f", "-e", "signal=none", *strace] if strace else []
    done = subprocess.run(
        [*tracer, sys.executable, str(ACTOR), server.url, str(state), folder, *(["work"] if work else [])],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
    return done.returncode, done.stdout.splitlines()


def moments(server: ServerProcess, folder: Path) -> list[tuple[str, int]]:
    """(call, its number) of every call in a recorded run that changed the state directory."""
    log = folder / "strace"
    (server.root / SEED_FOLDER).mkdir()
    server.scan()
    watched = f"trace={','.join(CALLS)}"
    status, _ = run(server, folder / "state", SEED_FOLDER, "-y", "-o", str(log), "-e", watched, work=True)
    assert status == 0
    counts = dict.fromkeys(CALLS, 0)
    found: list[tuple[str, int]] = []
    for line in log.read_text(errors="replace").splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        if call is not None and call[1] in counts:
            counts[call[1]] += 1
            if str(folder / "state") in line or call[1] == "sendto":
                found.append((call[1], counts[call[1]]))
    return found


def test_kill_at_system_calls(server: ServerProcess, tmp_path: Path, often: Callable[[int, int], int]) -> None:
    found = moments(server, tmp_path)
    assert {call for call, _ in found} >= {"fdatasync", "pwrite64", "unlink", "rename", "sendto"}
    step = max(len(found) // often(KILLS, EVERY), 1)
    chosen = found[step // 2 :: step]
    killed = 0
    for call, number in chosen:
        # Some runs make fewer calls of a kind than the recorded one: then at an earlier one.
        killed += kill_at(server, tmp_path, call, number) or kill_at(server, tmp_path, call, number * 2 // 3 or 1)
    print(f"{killed} killed of {len(chosen)} tried, of {len(found)} moments")  # noqa: T201
    assert killed >= len(chosen) // 2, "the runs differ too much from the recorded one"


def kill_at(server: ServerProcess, tmp_path: Path, call: str, number: int) -> bool:
    """One run, killed in that call; whether the call was reached. What was accepted is there, and arrived once."""
    folder, state = f"{call}-{number}", tmp_path / f"{call}-{number}"
    (server.root / folder).mkdir()
    server.scan()
    inject = f"inject={call}:signal=KILL:when={number}"
    status, said = run(server, state, folder, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, work=True)
    accepted = {line.removeprefix("accepted ") for line in said if line.startswith("accepted ")}
    with contextlib.nullcontext() if accepted else contextlib.suppress(StateUnusable):  # killed while it was made
        assert [str(each) for each in fsck.check(state, deep=True) if not each.heals] == [], folder
    run_status, said = run(server, state, folder, work=False)
    assert run_status == 0
    shown = json.loads(said[-1])
    assert shown == {path.name: path.read_text() for path in (server.root / folder).iterdir()}, folder
    assert fsck.check(state, deep=True) == [], folder
    assert_arrived_once(shown, accepted)
    shutil.rmtree(state)
    return status != 0
