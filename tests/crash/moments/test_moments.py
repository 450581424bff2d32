"""The library that tells moments, by programs made for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crash.moments.killing import Watch, library

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_S = 60
WRITES = 20_000
# A handler of Python writes to a socket from whatever the signal came into, as an event loop has it.
INTERRUPTED = f"""
import os, signal, socket, sys
read, written = socket.socketpair()
for end in (read, written):
    end.setblocking(False)
signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
with open(sys.argv[1], "wb", buffering=0) as file:
    for _ in range({WRITES}):
        file.write(b"x")
signal.setitimer(signal.ITIMER_REAL, 0)
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here: no call can be died at")


def test_a_signal_that_comes_while_a_moment_is_told_waits_for_it(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "below", tmp_path / "log")
    watch.below.mkdir()
    words = [sys.executable, "-c", INTERRUPTED, str(watch.below / "file")]
    environment = {**os.environ, **watch.environment, "LD_PRELOAD": str(library(tmp_path))}
    subprocess.run(words, env=environment, timeout=WITHIN_S, check=True)
    told = watch.moments()
    assert [moment for moment in told if moment.startswith("write ")] == [f"write file {n + 1}" for n in range(WRITES)]
    assert any(moment.startswith("send ") for moment in told)
