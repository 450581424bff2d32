"""A real mount in a process of its own: started by deadline, reaped and unmounted, its log read at the end.

An undeclared WARNING in the log fails the test that caused it: declare it with `expect_warning(pattern)`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from vfs import mountpoint as table
from vfs.registry import Registry, socket_address
from vfs.requests import Reply, Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 90.0
COMMAND_TIMEOUT_S = 90.0
CHECKOUT = Path(__file__).resolve().parents[2]
_TROUBLE = re.compile(r" (WARNING|ERROR|CRITICAL) |^Traceback |Warning: ")


class MountFailedError(Exception):
    """The mount did not come up; the text holds its exit status and log."""


class Mount:
    """`anchorfs mount URL PATH --foreground`, with a state and runtime folder of its own below `base`."""

    def __init__(
        self,
        url: str,
        base: Path,
        *,
        token: str | None = None,
        name: str = "mnt",
        arguments: tuple[str, ...] = ("-o", "write_back_delay=0.05,poll_interval=1"),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.url = url
        self.path = base / name
        self.cache_dir = base / f"{name}.cache"
        self.log_path = base / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = arguments
        self._expected: list[re.Pattern[str]] = []
        self._folders = {"XDG_RUNTIME_DIR": base / f"{name}.run", "XDG_STATE_HOME": base / f"{name}.state"}
        for folder in (self.path, *self._folders.values()):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environment = {**os.environ, **{key: str(value) for key, value in self._folders.items()}}
        self.environment.update({"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", **(environment or {})})
        self.environment.pop("ANCHORFS_TOKEN", None)
        if token is not None:
            self.environment["ANCHORFS_TOKEN"] = token

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None:
            self.check_log()

    @property
    def pid(self) -> int:
        """The mount's process."""
        if self.process is None:
            raise MountFailedError("not started")
        return self.process.pid

    def start(self) -> None:
        """Mount, and return when the mount answers."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*self._program(), "mount", self.url, str(self.path), "--foreground"),
                    *("--cache-dir", str(self.cache_dir), *self._arguments),
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the mount to leave, wait for it, return its exit status."""
        if self.process is None:
            raise MountFailedError("not started")
        self.process.send_signal(number)
        status = self.process.wait(STOP_TIMEOUT_S)
        self.process = None
        return status

    def kill(self) -> None:
        """SIGKILL; the mount point is left as the dead process leaves it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)
            self.process = None

    def remount(self) -> None:
        """Mount again over the same cache directory (after stop or kill)."""
        self.start()

    def close(self) -> None:
        """Leave nothing behind, however the test ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process is not None:
            self.process.wait(STOP_TIMEOUT_S)
            self.process = None
        while (entry := table.mounted_at(str(self.path))) is not None:
            if table.clear_dead(entry) is not None:
                break

    def command(self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run `anchorfs WORDS` beside the mount, as its user would."""
        return subprocess.run(
            [*self._program(), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def ask(self, request: Request) -> Reply:
        """Ask the mount over its control socket, without a command's process."""
        path = self._registry().socket_path(str(self.path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(COMMAND_TIMEOUT_S)
            with socket_address(path) as address:
                connection.connect(address)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as answer:
                return msgspec.json.decode(answer.readline(), type=Reply)

    def status(self) -> dict[str, object]:
        """As `anchorfs status`."""
        reply = self.ask(Request(verb=Verb.STATUS))
        assert isinstance(reply.result, dict), reply
        return reply.result

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is sent meanwhile: on a busy machine a save may take longer than a new file waits to be sent."""
        assert self.ask(Request(verb=Verb.PAUSE)).error is None
        try:
            yield
        finally:
            self.ask(Request(verb=Verb.RESUME))

    def settle(self, timeout_s: float = COMMAND_TIMEOUT_S - 5) -> None:
        """As `sync`, at the price of one line on the socket."""
        reply = self.ask(Request(verb=Verb.SYNC, timeout_s=timeout_s))
        assert isinstance(reply.result, dict), reply
        assert reply.result["settled"], f"{reply}\n{self.log()}"

    def evict(self, path: Path) -> None:
        """As `anchorfs evict`: what may go is not here any more, of a file or of all below a folder."""
        reply = self.ask(Request(verb=Verb.EVICT, ino=path.lstat().st_ino))
        assert reply.error is None, reply

    def sync(self, timeout_s: float = COMMAND_TIMEOUT_S - 5) -> None:
        """Return when the mount and its server agree; AssertionError with the reason otherwise."""
        done = self.command("sync", str(self.path), "--wait", "--timeout", str(timeout_s))
        assert done.returncode == 0, f"sync ended with {done.returncode}: {done.stderr}\n{self.log()}"

    def log(self) -> str:
        """What the mount has logged so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def expect_warning(self, pattern: str) -> None:
        """Lines with this pattern are part of the test."""
        self._expected.append(re.compile(pattern))

    def check_log(self) -> None:
        """AssertionError when the log holds trouble that no test declared."""
        lines = [line for line in self.log().splitlines() if _TROUBLE.search(line)]
        trouble = [line for line in lines if not any(pattern.search(line) for pattern in self._expected)]
        assert not trouble, "undeclared trouble in the mount's log:\n" + "\n".join(trouble) + "\n\n" + self.log()

    def _registry(self) -> Registry:
        return Registry(self._folders["XDG_RUNTIME_DIR"] / "anchorfs")

    def _program(self) -> list[str]:
        return [sys.executable, "-m", "vfs.cli"]

    def _wait_until_it_answers(self) -> None:
        registry = self._registry()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            record = registry.find(str(self.path))
            if record is not None and record.pid == self.pid:
                return
            if self.process is not None and self.process.poll() is not None:
                raise MountFailedError(f"the mount ended with {self.process.returncode}:\n{self.log()}")
            time.sleep(0.01)
        raise MountFailedError(f"the mount did not answer within {START_TIMEOUT_S} s:\n{self.log()}")
