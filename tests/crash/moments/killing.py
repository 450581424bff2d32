"""Runs of a program that are told call by call, or ended at one call: what `moments.c` makes of it.

A moment ("pwrite state.db-wal 17") counts when its run says that it died there, and its exit status says so too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCE = Path(__file__).with_name("moments.c")
TIMEOUT_S = 120
PAUSE_S = 0.01


def library(folder: Path) -> Path:
    """The library that is preloaded, compiled."""
    made = folder / "moments.so"
    words = ["cc", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
    subprocess.run([*words, "-ldl", "-lpthread"], check=True)
    return made


def in_each(runs: Sequence[Sequence[str]]) -> list[str]:
    """The moments of some runs of the same program that are in each of them: those that a further run will come to."""
    others = [set(run) for run in runs[1:]]
    found = [moment for moment in runs[0] if all(moment in run for run in others)]
    print(f"recorded: {', '.join(str(len(run)) for run in runs)} moments, {len(found)} in each run")  # noqa: T201
    return found


@dataclass(frozen=True, slots=True)
class Watch:
    """What is told of a run, and where it ends. `torn`: half of the bytes of its last pwrite are written."""

    below: Path
    log: Path
    kill: str = ""
    torn: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """For the program."""
        told = {"MOMENTS_BELOW": str(self.below), "MOMENTS_LOG": str(self.log), "MOMENTS_KILL": self.kill}
        return told | ({"MOMENTS_TORN": "1"} if self.torn else {})

    def moments(self) -> list[str]:
        """Every moment of the run, in order; the one where it died says so."""
        return self.log.read_text().splitlines()

    def killed(self, status: int) -> bool:
        """Whether the run ended at the moment; it may have gone on to its end, and ended well, but nothing else."""
        there = self.log.exists() and self.moments()[-1:] == [f"{self.kill} killed"]
        expected = -signal.SIGKILL if there else 0
        assert status == expected, f"{self.kill}: exit status {status}, but died there: {there}"
        return there


class Child:
    """A process that the zygote started; as `subprocess.Popen`, as far as it is needed."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._zygote = zygote

    def poll(self) -> int | None:
        """Its exit status, None while it lives."""
        if self.returncode is None:
            self.returncode = self._zygote.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float = TIMEOUT_S) -> int:
        """The exit status; subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a child of the zygote", timeout)
            time.sleep(PAUSE_S)
        return status

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """To a process that may have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Zygote:
    """See the module of that name; one thread at a time asks it."""

    def __init__(self, preloaded: Path, *modules: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "LD_PRELOAD": str(preloaded)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.moments.zygote", *modules],
            cwd=CHECKOUT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, **request: object) -> int | None:
        """One answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer

    def start(self, module: str, arguments: list[str], environment: dict[str, str], output: Path) -> Child:
        """`module`.main in a process of its own."""
        pid = self.ask(
            start={
                "module": module, "arguments": arguments, "environment": environment, "output": str(output),
                "timeout_s": TIMEOUT_S,
            }
        )  # fmt: skip
        assert pid is not None
        return Child(self, pid)
