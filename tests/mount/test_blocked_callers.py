"""Whoever waits in a mount whose daemon dies is let go at once: nobody hangs where no signal reaches them.

With `--long` 50 kills, after each of which nobody waits for 5 s; in the suite the machine may be busy with other tests.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Gate, HoldAnswer, Times, content
from tests.harness.trees import pattern
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.drives import Drive

pytestmark = pytest.mark.fuse
READERS = 4
SIZE_BYTES = 3_000_000


def test_readers_are_let_go_when_the_daemon_is_killed(lonely: Drive, often: Callable[[int, int], int]) -> None:
    link = lonely.link()
    (lonely.served / "file").write_bytes(pattern(SIZE_BYTES))
    lonely.server.scan()
    mount = lonely.mount("one", url=link.url)
    for _ in range(often(1, 50)):
        gate = Gate()
        link.rule = Times(HoldAnswer(gate, 1000), content, count=1000)
        readers = [_reader(mount.path / "file", number) for number in range(READERS)]
        try:
            assert gate.reached.wait(DEADLINE_S)
            until(lambda readers=readers: all(_waits_in_the_kernel(each) for each in readers), "the readers to wait")
            mount.kill()
            deadline = time.monotonic() + often(int(DEADLINE_S), 5)
            statuses = [each.wait(max(deadline - time.monotonic(), 0)) for each in readers]
        finally:
            for each in readers:
                each.kill()
            gate.go.set()
        assert all(statuses), "they were told that they got everything"
        mount.remount()


def _reader(path: Path, number: int) -> subprocess.Popen[bytes]:
    """Reads at a place of its own, far from what is held."""
    offset = SIZE_BYTES * (number + 1) // (READERS + 1)
    words = f"import os; fd = os.open({str(path)!r}, os.O_RDONLY); print(len(os.pread(fd, 4096, {offset})))"
    return subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _waits_in_the_kernel(process: subprocess.Popen[bytes]) -> bool:
    """By proc_pid_stack(5)'s short form: the kernel function that a process sleeps in."""
    return "fuse" in Path(f"/proc/{process.pid}/wchan").read_text(encoding="ascii") or _state(process) == "D"


def _state(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
