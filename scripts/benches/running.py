"""Processes and mounts of a bench: awaited with a deadline, reaped and unmounted however the bench ends.

Every class here is a context manager, entered in an ExitStack by the bench. The scratch folder is removed only when
nothing is mounted below it: removing a mounted tree would remove the drive's files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

CHECKOUT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 300.0  # a server takes in a large tree before it listens
STOP_TIMEOUT_S = 90.0  # a mount flushes for a minute at most
LOG_TAIL_CHARACTERS = 3000
IDLE_SHARE = 0.05  # of one core, over a second
LOOKS = 20  # in that second


class BenchFailedError(Exception):
    """The bench could not be carried out; the text says why."""


class Program:
    """A process with a log of its own, ended and reaped on leaving."""

    def __init__(self, words: Sequence[object], log_path: Path, *, environment: dict[str, str] | None = None) -> None:
        self.log_path = log_path
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in words],
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the bench's: it ends its processes in order
            )

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._process.pid

    def await_true(self, question: Callable[[], bool], what: str, *, every_s: float = 0.02) -> None:
        """Ask until the answer is yes; BenchFailedError when the process ended, or after START_TIMEOUT_S."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not question():
            if self._process.poll() is not None or time.monotonic() > deadline:
                status = self._process.poll()
                raise BenchFailedError(f"no {what} (exit status {status}):\n{self.log_tail()}")
            time.sleep(every_s)

    def await_idle(self, what: str) -> None:
        """Wait until it does nothing: what it has to do behind its start would be measured along, by chance."""

        def is_idle() -> bool:
            """It did nothing for a second, and not for want of a processor or of its disk."""
            before, busy = self._cpu_s(), 0
            for _ in range(LOOKS):
                time.sleep(1.0 / LOOKS)
                busy += not self._sleeps()
            return busy <= IDLE_SHARE * LOOKS and self._cpu_s() - before < IDLE_SHARE

        self.await_true(is_idle, f"idle {what}")

    def _sleeps(self) -> bool:
        """Whether all its threads wait for something to happen (state S, proc_pid_stat(5))."""
        try:
            stats = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):  # one has just ended
            return False
        return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime, stime (proc_pid_stat(5))

    def log_tail(self) -> str:
        """The end of what it said."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARACTERS:]

    def close(self) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def mounts_below(folder: Path) -> list[tuple[str, str]]:
    """Path and file system type of what is mounted at or below `folder`, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    found = [(line.split()[4], line.partition(" - ")[2].split()[0]) for line in lines]
    root = str(folder)
    return [(path, kind) for path, kind in reversed(found) if path == root or path.startswith(root + "/")]


def is_mounted(path: Path) -> bool:
    """Whether something is mounted at exactly this path."""
    return any(mounted == str(path) for mounted, _ in mounts_below(path))


def unmount_all(folder: Path) -> None:
    """Detach whatever is still mounted below, also when its process is dead or hangs."""
    for path, _ in mounts_below(folder):
        subprocess.run(["fusermount3", "-u", "-z", "--", path], check=False, timeout=STOP_TIMEOUT_S)


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A private folder on the disk that is measured, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="anchorfs-bench-", dir=parent)).resolve()
    try:
        yield folder
    finally:
        unmount_all(folder)
        if mounts_below(folder):
            raise BenchFailedError(f"something is still mounted below {folder}; it is left as it is")
        shutil.rmtree(folder)


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM leaves through the same doors as an error does."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
