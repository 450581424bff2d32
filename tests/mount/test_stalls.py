"""A server that falls silent in the middle of an answer: who waits can be killed, and nobody else waits."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Fault, Gate, HoldAnswer, Request
from tests.harness.drives import seen
from tests.harness.trees import pattern
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.proxy import FaultProxy
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

BIG = 40_000_000
UNDISTURBED_S = 40.0  # of the 60 that the reader of a held answer waits


@contextmanager
def silence(link: FaultProxy, about: Callable[[Request], bool], after_bytes: int) -> Iterator[Gate]:
    """Every such answer stops after so many bytes."""
    gate = Gate()

    def held(request: Request) -> Fault | None:
        return HoldAnswer(gate, after_bytes) if about(request) else None

    link.rule = held
    try:
        yield gate
    finally:
        gate.go.set()
        link.rule = None


def _download(request: Request) -> bool:
    return request.method == "GET" and "/content" in request.target


def _listing(request: Request) -> bool:
    return request.method == "GET" and "/children" in request.target


def _killed(process: subprocess.Popen[bytes]) -> float:
    """Seconds until it was gone."""
    begun = time.monotonic()
    process.kill()
    process.wait(DEADLINE_S)
    return time.monotonic() - begun


def _forget_pages(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def test_readers_of_a_silent_server_can_be_killed_and_others_read_on(one: Path, far: Mount, link: FaultProxy) -> None:
    there = far.path / one.name
    (one / "big").write_bytes(pattern(BIG, 1))
    (one / "held").write_bytes(pattern(4_000_000, 2))
    until(lambda: (there / "big").stat().st_size == BIG, "the placeholder")
    seen(there / "held", pattern(4_000_000, 2))
    with silence(link, _download, 1_000_000) as gate:
        words = ["dd", f"if={there / 'big'}", "of=/dev/null", "bs=1M", "status=none"]
        readers = [subprocess.Popen([*words, f"skip={skip}"]) for skip in range(0, 32, 4)]
        assert gate.reached.wait(DEADLINE_S)
        begun = time.monotonic()
        _forget_pages(there / "held")
        assert (there / "held").read_bytes() == pattern(4_000_000, 2)
        assert {path.name for path in there.iterdir()} == {"big", "held"}
        assert time.monotonic() - begun < UNDISTURBED_S, "a held file waited for another one's bytes"
        assert [reader.poll() for reader in readers] == [None] * len(readers)
        assert max(map(_killed, readers)) < UNDISTURBED_S
        assert far.command("status", str(far.path)).returncode == 0
    assert (there / "big").read_bytes() == pattern(BIG, 1)


def test_who_waits_for_a_listing_can_be_killed(one: Path, served: Path, far: Mount, link: FaultProxy) -> None:
    (one / "folder").mkdir()
    (one / "folder" / "file").write_bytes(b"x")
    there = far.path / one.name
    until((there / "folder").is_dir, "the folder")
    until((served / "folder" / "file").exists, "the file at the server")
    with silence(link, _listing, 0) as gate:
        lister = subprocess.Popen(["ls", there / "folder"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert gate.reached.wait(DEADLINE_S)
        assert lister.poll() is None
        assert _killed(lister) < UNDISTURBED_S
        assert (there / "folder").is_dir()
    assert [path.name for path in (there / "folder").iterdir()] == ["file"]
