"""A real server process for tests: started, waited for by its ready file, killed and restarted on the same
port.

Knows nothing of the server's inside: `python -m server_stub` with options, an environment and a URL.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from tests.harness.ports import Port
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from types import TracebackType

CHECKOUT = Path(__file__).resolve().parents[2]
START_WITHIN_S = STOP_WITHIN_S = DEADLINE_S
ANY_PORT = "127.0.0.1:0"


class ServerProcess:
    """`with ServerProcess(tmp_path) as server:` serves `server.root`; reaped however the block ends."""

    def __init__(
        self,
        folder: Path,
        *,
        options: tuple[str, ...] = (),
        auth: bool = True,
        scan_interval_s: float = 0.0,
        watch: str | None = "off",
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.root = folder / "root"
        self.state = folder / "state"
        self.log_path = folder / "server.log"
        self.options = options
        self.auth = auth
        self.scan_interval_s = scan_interval_s
        self.watch = watch  # None: as the server does by itself
        self._prefix = prefix  # a command that runs the server's
        self.url = ""
        self.token: str | None = None
        self.token_file: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._ready = folder / "ready.json"
        self._listen = ANY_PORT
        self._port: Port | None = None
        self.root.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.kill()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, also while it is down."""
        host, _, port = self._listen.rpartition(":")
        return host, int(port)

    def start(self, *, env: dict[str, str] | None = None, within_s: float = START_WITHIN_S) -> None:
        """Start and wait until it listens; raises with the log's end when it does not."""
        assert self.process is None, "already running"
        if self._listen == ANY_PORT:  # a restart comes back under the same address
            self._port = Port()
            self._listen = f"127.0.0.1:{self._port.number}"
        self._ready.unlink(missing_ok=True)
        self.process = self._launched(env or {})
        deadline = time.monotonic() + within_s
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                status = self.kill()
                raise AssertionError(f"the server did not start (exit status {status}):\n{self.log_tail()}")
            time.sleep(0.02)
        told = json.loads(self._ready.read_text())
        self.url = told["url"]
        self._listen = self.url.removeprefix("http://")
        self.token_file = None if told["token_file"] is None else Path(told["token_file"])
        self.token = None if self.token_file is None else self.token_file.read_text().strip()

    def _launched(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """The process, with these variables more."""
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "server_stub", *self._words()],
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _words(self) -> list[str]:
        command = ["serve", "--root", str(self.root), "--state", str(self.state)]
        command += ["--listen", self._listen, "--ready-file", str(self._ready)]
        command += ["--scan-interval", str(self.scan_interval_s)]
        watch = [] if self.watch is None else ["--watch", self.watch]
        return [*command, *watch, *([] if self.auth else ["--no-auth"]), *self.options]

    def stop(self, within_s: float = STOP_WITHIN_S) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None
        return status

    def kill(self) -> int:
        """SIGKILL, whatever it was doing; the exit status."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        status = self.process.wait()
        self.process = None
        return status

    def wait_dead(self, within_s: float = STOP_WITHIN_S) -> int:
        """Wait for a process that ends by itself (a failpoint); the exit status."""
        assert self.process is not None
        status = self.process.wait(within_s)
        self.process = None
        return status

    def restart(self, *, env: dict[str, str] | None = None) -> None:
        """Stop if it runs, and start again on the same port and state."""
        if self.process is not None:
            self.stop()
        self.start(env=env)

    def scan(self) -> dict[str, float]:
        """Run `anchorfs-server scan` and return its report."""
        command = [
            sys.executable,
            "-m",
            "server_stub",
            "scan",
            "--json",
            "--root",
            str(self.root),
            "--state",
            str(self.state),
        ]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stderr.decode()
        report: dict[str, float] = json.loads(done.stdout)
        return report

    def client(self, *, token: str | None = None, timeout_s: float = DEADLINE_S) -> httpx.Client:
        """A client that is signed in."""
        secret = token or self.token
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        # Nothing here is verified over plain HTTP, and reading the certificates for that takes 70 ms.
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, verify=not self.url.startswith("http:")
        )

    def log_tail(self) -> str:
        """The end of the server's log."""
        return self.log_path.read_text(errors="replace")[-4000:] if self.log_path.exists() else ""
