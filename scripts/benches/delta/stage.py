"""A tree of n files, our server over it, and our mount of it: brought up, stopped in its tracks, and asked.

The mount's server is reached through a counting proxy that holds nothing back (or, far away, every byte for a while).
What the client knows of the tree at first it was told by the server through the client's own code (`seeding`), because
a walk of a million files through the kernel would be most of the bench.
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
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from scripts.benches import links
from scripts.benches.running import CHECKOUT, BenchFailedError, Program, unmount_all
from vfs.cli.asking import ask
from vfs.control import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

FILES_PER_FOLDER = 100
FOLDERS_PER_GROUP = 100
_SEE_WITHIN_S = 900.0
_ASK_EVERY_S = 0.0005
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What something cost: seconds of CPU at both ends, and what passed between them."""

    client_cpu_s: float
    server_cpu_s: float
    requests: int
    up_bytes: int
    down_bytes: int

    def since(self, before: Spent) -> Spent:
        """The difference."""
        return Spent(
            client_cpu_s=self.client_cpu_s - before.client_cpu_s,
            server_cpu_s=self.server_cpu_s - before.server_cpu_s,
            requests=self.requests - before.requests,
            up_bytes=self.up_bytes - before.up_bytes,
            down_bytes=self.down_bytes - before.down_bytes,
        )


def folder_name(number: int) -> str:
    """The folder that holds files number * FILES_PER_FOLDER and on."""
    return f"g{number // FOLDERS_PER_GROUP:03}/d{number:05}"


def file_name(number: int) -> str:
    """The place of a file."""
    return f"{folder_name(number // FILES_PER_FOLDER)}/f{number % FILES_PER_FOLDER:02}.txt"


def build(root: Path, items: int) -> None:
    """Empty files, a hundred to a folder, a hundred folders to a group."""
    for number in range(-(-items // FILES_PER_FOLDER)):
        folder = root / folder_name(number)
        folder.mkdir(parents=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in range(min(FILES_PER_FOLDER, items - number * FILES_PER_FOLDER)):
                os.mknod(f"f{name:02}.txt", 0o100644, dir_fd=fd)
        finally:
            os.close(fd)


class Stage:
    """See the module. `items` counts files."""

    def __init__(self, stack: ExitStack, base: Path, items: int, *, round_trip_ms: float = 0.0) -> None:
        base.mkdir()
        self.base, self.items, self._stack, self.round_trip_ms = base, items, stack, round_trip_ms
        self.root = base / "tree"
        self.root.mkdir()
        began_s = time.perf_counter()
        build(self.root, items)
        self.built_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        self.server = self._serve()
        self.imported_s = time.perf_counter() - began_s
        told = json.loads((base / "ready.json").read_text(encoding="utf-8"))
        self.server_url = str(told["url"])
        self.server.await_true(lambda: self._get("/healthz")["watch"] == "watching", "watch")
        self.link = links.counted(stack, base, self.server_url, round_trip_ms)
        self.mountpoint, self.cache = base / "mount", base / "cache"
        self._folders = {"XDG_RUNTIME_DIR": base / "run", "XDG_STATE_HOME": base / "state"}
        for folder in (self.mountpoint, *self._folders.values()):
            folder.mkdir(mode=0o700)
        stack.callback(unmount_all, base)
        self.client: Program | None = None

    def _serve(self) -> Program:
        words = [sys.executable, "-m", "server_stub", "serve", "--root", self.root, "--state", self.base / "server"]
        words += ["--no-auth", "--listen", "127.0.0.1:0", "--ready-file", self.base / "ready.json"]
        # inotify, though root could have fanotify: that hears of all that others do on this file system, too.
        words += ["--scan-interval", "0", "--no-access-log", "--watch", "inotify"]
        server = Program(words, self.base / "server.log")
        self._stack.callback(server.close)
        server.await_true((self.base / "ready.json").exists, "server")
        return server

    def seed(self) -> float:
        """Have the client know the whole tree, by its own code; seconds."""
        return self._tool("seed")

    def forget_anchor(self) -> None:
        """Have the client believe that the feed does not reach back to what it knows."""
        self._tool("forget-anchor")

    def _tool(self, what: str) -> float:
        began_s = time.perf_counter()
        words = [sys.executable, "-m", "scripts.benches.delta.seeding", what, self.link.url, str(self.cache)]
        done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchFailedError(f"{what}: {done.stderr[-2000:]}")
        return time.perf_counter() - began_s

    def start_client(self) -> float:
        """Mount; seconds from the start of the process to the first answered stat of a file."""
        words = [sys.executable, "-m", "vfs.cli", "mount", self.link.url, self.mountpoint, "--foreground"]
        environment = {key: str(value) for key, value in self._folders.items()}
        os.environ.update(environment)  # where this process finds the mount's control socket, too
        began_s = time.perf_counter()
        self.client = Program([*words, "--cache-dir", self.cache], self.base / "mount.log", environment=environment)
        self._stack.callback(self.client.close)
        self.client.await_true(lambda: _is_there(self.mountpoint / file_name(0)), "mount", every_s=0.002)
        seconds = time.perf_counter() - began_s
        self.client.await_true(lambda: "is mounted on" in self.running.log_tail(), "mount")
        return seconds

    def stop_client(self) -> None:
        """Unmount in order."""
        self.running.close()
        self.client = None

    @property
    def running(self) -> Program:
        """The mount's process."""
        if self.client is None:
            raise BenchFailedError("nothing is mounted")
        return self.client

    def freeze(self) -> None:
        """The mount hears nothing from here on; nobody may touch it."""
        os.kill(self.running.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on, and finds what it missed."""
        os.kill(self.running.pid, signal.SIGCONT)

    def pull(self) -> None:
        """Return when the mount has everything that the server has."""
        ask(str(self.mountpoint), Request(verb=Verb.SYNC, timeout_s=_SEE_WITHIN_S))

    def status(self) -> dict[str, Any]:
        """What the mount says of itself."""
        return ask(str(self.mountpoint), Request(verb=Verb.STATUS))

    def spent(self) -> Spent:
        """Everything so far."""
        up, down, requests = self.link.passed()
        client_cpu_s = 0.0 if self.client is None else cpu_s(self.client.pid)
        return Spent(
            client_cpu_s=client_cpu_s, server_cpu_s=cpu_s(self.server.pid),
            requests=requests, up_bytes=up, down_bytes=down,
        )  # fmt: skip

    def memory_mib(self, key: str = "VmRSS") -> float:
        """Of the mount's process; VmHWM is the most that it ever had."""
        return memory_mib(self.running.pid, key)

    def newest_anchor(self) -> str:
        """Where the server's feed stands."""
        return str(self._get("/v1/changes?limit=0")["anchor"])

    def changes(self, anchor: str) -> list[dict[str, Any]]:
        """All of the feed behind an anchor, from the server itself."""
        told: list[dict[str, Any]] = []
        while True:
            page = self._get(f"/v1/changes?anchor={anchor}&limit=5000")
            told += page["changes"]
            anchor = page["anchor"]
            if not page["has_more"]:
                return told

    def item(self, path: str) -> dict[str, Any]:
        """What the server tells of a file."""
        found: dict[str, Any] = self._get("/v1/root")
        for name in path.split("/"):
            found = next(each for each in self._children(found["item_id"]) if each["name"] == name)
        return found

    def _children(self, folder_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(f"/v1/items/{folder_id}/children?limit=5000")["items"]
        return found

    def rewrite(self, count: int) -> None:
        """Have the server's index tell of so many changed files, without a word to anybody."""
        words = [sys.executable, "-m", "scripts.benches.delta.rewriting", str(self.base / "server"), str(count)]
        done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode != 0 or int(done.stdout) != count:
            raise BenchFailedError(f"rewriting: {done.stdout} {done.stderr[-2000:]}")

    def _get(self, target: str) -> dict[str, Any]:
        with urlopen(self.server_url + target, timeout=60) as answer:  # noqa: S310 - our own server
            found: dict[str, Any] = json.loads(answer.read())
        return found


def cpu_s(pid: int) -> float:
    """User and system time of a process and its threads, from proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS_PER_S


def memory_mib(pid: int, key: str) -> float:
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def await_true(question: Callable[[], bool], what: str, *, within_s: float = _SEE_WITHIN_S) -> None:
    """Ask every half millisecond; BenchFailedError when it takes too long."""
    deadline_s = time.monotonic() + within_s
    while not question():
        if time.monotonic() > deadline_s:
            raise BenchFailedError(f"never seen: {what}")
        time.sleep(_ASK_EVERY_S)


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size >= 0
    except OSError:
        return False
