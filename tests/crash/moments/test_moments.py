"""The library that tells moments, by programs made for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crash.moments.killing import Watch, library
from tests.crash.moments.sweeping import sweep

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_S = 60
WRITES = 20_000
NAME_MAX = 255
KINDS, GAVE_UP = 512, 70  # of moments.c
# A handler of Python writes to a socket from whatever the signal came into, as an event loop has it.
INTERRUPTED = f"""
import os, signal, socket, sys
read, written = socket.socketpair()
for end in (read, written):
    end.setblocking(False)
signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
with open(sys.argv[1], "wb", buffering=0) as file:
    for _ in range({WRITES}):
        file.write(b"x")
signal.setitimer(signal.ITIMER_REAL, 0)
"""
CREATES = "import sys; [open(name, 'wb').close() for name in sys.argv[1:]]"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here: no call can be died at")


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """Of a folder that is empty."""
    made = Watch(tmp_path / "below", tmp_path / "log")
    made.below.mkdir()
    return made


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library."""
    return library(tmp_path_factory.mktemp("library"))


def ran(watch: Watch, preloaded: Path, program: str, *arguments: str) -> int:
    """The exit status of a program of Python."""
    environment = {**os.environ, **watch.environment, "LD_PRELOAD": str(preloaded)}
    words = [sys.executable, "-c", program, *arguments]
    return subprocess.run(words, env=environment, timeout=WITHIN_S, check=False).returncode


def test_a_signal_that_comes_while_a_moment_is_told_waits_for_it(watch: Watch, preloaded: Path) -> None:
    assert ran(watch, preloaded, INTERRUPTED, str(watch.below / "file")) == 0
    told = watch.moments()
    assert [moment for moment in told if moment.startswith("write ")] == [f"write file {n + 1}" for n in range(WRITES)]
    assert any(moment.startswith("send ") for moment in told)


def test_a_long_name_is_told_by_its_beginning(watch: Watch, preloaded: Path) -> None:
    assert ran(watch, preloaded, CREATES, str(watch.below / ("x" * NAME_MAX)), str(watch.below / "short")) == 0
    long, short = watch.moments()
    assert long.startswith("create xxx")
    assert long.endswith("x 1")
    assert short == "create short 1"


def test_a_program_with_more_kinds_of_moments_than_can_be_counted_does_not_go_on(watch: Watch, preloaded: Path) -> None:
    names = [str(watch.below / f"x{number}") for number in range(KINDS + 1)]
    assert ran(watch, preloaded, CREATES, *names) == GAVE_UP
    assert watch.moments() == [f"create x{number} 1" for number in range(KINDS)]


def test_an_end_that_is_neither_the_moment_nor_the_last_line_is_told(watch: Watch) -> None:
    assert not watch.killed(0)
    for status in (1, -signal.SIGALRM, -signal.SIGKILL):
        with pytest.raises(AssertionError, match="exit status"):
            watch.killed(status)


def test_what_a_sweep_found_is_told_also_when_it_is_broken_off(capsys: pytest.CaptureFixture[str]) -> None:
    def kill_at(_bench: None, moment: str, _torn: bool) -> bool:
        if moment == "link b 1":
            raise KeyboardInterrupt
        raise AssertionError("a byte is lost")

    with pytest.raises(KeyboardInterrupt):
        sweep("link", ["link a 1", "link b 1"], lambda _usually, bar: bar, [None], kill_at)
    assert capsys.readouterr().out == "link: link a 1: AssertionError: a byte is lost\n"
