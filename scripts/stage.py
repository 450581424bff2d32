"""The stage of the demonstration: a folder with a real tree, a server over it, a mount of it; and its
clearing away.

Everything is below one temporary folder. It is removed only when nothing is mounted there any more: removing
a mounted tree would delete the drive's files.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vfs import mountpoint as table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

START_TIMEOUT_S = 60.0
STEP_TIMEOUT_S = 60.0
WAIT_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 75.0  # a mount flushes for a minute at most
LEFT_OUT = ("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "config-*")


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Links, too: Debian's library has one into /etc, and what it leads to is no placeholder."""
    links = {name for name in names if Path(folder, name).is_symlink()}
    return links | set(shutil.ignore_patterns(*LEFT_OUT)(folder, names))


class StepFailedError(Exception):
    """A step was not seen to work; the text says what was seen instead."""


class Stage:
    """The folders, the two processes, and the commands by their paths."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.drive = base / "server" / "drive"  # what the server serves
        self.state = base / "server" / "state"
        self.mount = base / "mount"
        self.cache = base / "cache"
        self.url = ""
        self.token_file = ""
        self._running: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(base / "run"),
            "XDG_STATE_HOME": str(base / "state"),
        }
        self._environment.pop("ANCHORFS_TOKEN", None)

    def furnish(self) -> int:
        """Copy the Python standard library as the drive's content; the number of files."""
        for folder in (self.state, self.mount, self.base / "run"):
            folder.mkdir(mode=0o700, parents=True)
        library = Path(sysconfig.get_path("stdlib"))
        shutil.copytree(library, self.drive / "python", ignore=_left_out)
        (self.drive / "notes.txt").write_text("This file lies on the server.\n", encoding="utf-8")
        return sum(1 for path in self.drive.rglob("*") if path.is_file())

    def serve(self) -> None:
        """Start the server on a free loopback port."""
        ready = self.base / "ready.json"
        words = ["serve", "--root", self.drive, "--state", self.state, "--listen", "127.0.0.1:0"]
        process = self._start("anchorfs-server", [*words, "--ready-file", ready])
        self.await_true(lambda: ready.exists() or process.poll() is not None, "the server to listen", START_TIMEOUT_S)
        if not ready.exists():
            raise StepFailedError(f"the server ended with {process.returncode}")
        facts = json.loads(ready.read_text(encoding="utf-8"))
        self.url, self.token_file = facts["url"], facts["token_file"]

    def mount_drive(self) -> None:
        """Mount the drive and wait until the mount answers."""
        words = [
            "mount",
            self.url,
            self.mount,
            "--foreground",
            "--cache-dir",
            self.cache,
            "--cache-size",
            "1G",
        ]
        process = self._start("anchorfs", [*words, "--token-file", self.token_file])

        def settled() -> bool:
            return "is mounted on" in self.log("anchorfs") or process.poll() is not None

        self.await_true(settled, "the mount to answer", START_TIMEOUT_S)
        if process.poll() is not None:
            raise StepFailedError(f"the mount ended with {process.returncode}")

    def run(self, program: str, *words: object) -> str:
        """Run one of the two commands to its end; its output."""
        done = subprocess.run(
            [self._program(program), *map(str, words)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise StepFailedError(f"{program} {words[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def await_true(self, question: Callable[[], bool], what: str, timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Ask until the answer is yes; StepFailedError after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not question():
            if time.monotonic() > deadline:
                raise StepFailedError(f"waited {timeout_s:.0f} s in vain for {what}")
            time.sleep(0.02)

    def alive(self) -> bool:
        """Whether both processes run."""
        return all(process.poll() is None for process in self._running)

    def log(self, program: str) -> str:
        """What a process has said."""
        path = self.base / f"{program}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def clear(self) -> None:
        """End both processes, the mount first (it flushes), and remove the folder."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        while (entry := table.mounted_at(str(self.mount))) is not None:
            if reason := table.clear_dead(entry):
                raise StepFailedError(f"{self.mount} stays mounted ({reason}); {self.base} is left as it is")
        shutil.rmtree(self.base)

    def _start(self, program: str, words: list[object]) -> subprocess.Popen[bytes]:
        with (self.base / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [self._program(program), *map(str, words)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours: we end the two in order
            )
        self._running.append(process)
        return process

    def _program(self, name: str) -> str:
        return str(Path(sys.executable).with_name(name))


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage that is cleared away however the demonstration ends."""
    made = Stage(Path(tempfile.mkdtemp(prefix="anchorfs-demo-")))
    try:
        yield made
    finally:
        made.clear()


def within(timeout_s: float, step: Callable[[], T]) -> T:
    """Run a step in a thread that may be left behind: a system call on a mount cannot be called off."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(step())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            errors.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors:
        raise errors[0]
    if not results:
        raise StepFailedError(f"the mount gave no answer within {timeout_s:.0f} s")
    return results[0]
