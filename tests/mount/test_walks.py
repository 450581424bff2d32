"""Programs that walk through a cold mount, over a link with a delay: requests are counted where they pass."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sync import descent
from sync.prefetch import PATIENCE_S
from tests.faults.proxy import FaultProxy
from tests.harness.mount import Mount
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.faults import Fault, Request
    from tests.harness.server import ServerProcess

pytestmark = pytest.mark.fuse

DELAY_S = 0.02
FILES, FOLDERS = 300, 60


def delayed(_request: Request) -> Fault | None:
    """Each request takes a round trip's time."""
    time.sleep(DELAY_S)
    return None


@contextmanager
def far_away(server: ServerProcess, tmp_path: Path) -> Iterator[tuple[Mount, FaultProxy]]:
    """The server, mounted over a slow link."""
    proxy = FaultProxy(server.address)
    proxy.rule = delayed
    try:
        with Mount(proxy.url, tmp_path, token=server.token, name="far") as mount:
            yield mount, proxy
    finally:
        proxy.close()


def filled(server: ServerProcess) -> dict[str, bytes]:
    """Files of 4 KiB in one folder, as the server has them."""
    bodies = {f"many/f{number:03}": f"{number:08}".encode() * 512 for number in range(FILES)}
    (server.root / "many").mkdir()
    for path, body in bodies.items():
        (server.root / path).write_bytes(body)
    server.scan()
    return bodies


def test_tar_of_300_cold_files_takes_few_requests(server: ServerProcess, tmp_path: Path) -> None:
    bodies = filled(server)
    with far_away(server, tmp_path) as (mount, proxy):
        begun_s = time.monotonic()
        done = subprocess.run(["tar", "-cf", "-", "many"], cwd=mount.path, capture_output=True, timeout=60, check=True)
        waits = (time.monotonic() - begun_s) / PATIENCE_S  # at most: after each of them a file is asked for by itself
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            assert {name: body.read() for name, body in found.items() if body is not None} == bodies
        asked = proxy.count("POST", "content:batch") + proxy.count("GET", "/content")
        assert asked <= 12 + waits, [f"{each.method} {each.target}" for each in proxy.requests]


def test_find_over_cold_folders_takes_few_requests(server: ServerProcess, tmp_path: Path) -> None:
    for number in range(FOLDERS):
        (server.root / f"top/d{number:02}/inner").mkdir(parents=True)
        (server.root / f"top/d{number:02}/inner/file").write_bytes(b"x")
    server.scan()
    with far_away(server, tmp_path) as (mount, proxy):
        begun_s = time.monotonic()
        done = subprocess.run(["find", "top"], cwd=mount.path, capture_output=True, timeout=60, check=True, text=True)
        over_s = time.monotonic() - begun_s - descent.PATIENCE_S
        # At most: after each of them a folder is asked for by itself.
        waits = 1 + over_s / descent.IMPATIENCE_S if over_s >= 0 else 0
        assert len(done.stdout.splitlines()) == 1 + 3 * FOLDERS
        asked = proxy.count("GET", "/children") + proxy.count("GET", "/descendants")
        assert asked <= 10 + waits, [f"{each.method} {each.target}" for each in proxy.requests]


def test_what_is_written_into_files_ahead_of_a_walk_is_what_is_read(server: ServerProcess, tmp_path: Path) -> None:
    """Their bytes may be on the way into the page cache when they are cut and written."""
    filled(server)
    expected = {f"f{number:03}": f"mine {number}".encode() for number in range(FILES) if number % 3 == 2}
    with Mount(server.url, tmp_path, token=server.token) as mount:
        names = [entry.name for entry in os.scandir(mount.path / "many")]
        writers = [
            threading.Thread(target=(mount.path / "many" / name).write_bytes, args=(data,))
            for name, data in expected.items()
        ]
        for position, name in enumerate(names):
            (mount.path / "many" / name).read_bytes()
            if position % 3 == 1:
                writers[position // 3].start()
        for writer in writers:
            writer.join(DEADLINE_S)
        found = {name: (mount.path / "many" / name).read_bytes() for name in expected}
        assert {name: found[name] for name in expected if found[name] != expected[name]} == {}
