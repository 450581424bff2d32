"""The places that are compared: a folder on the disk, an AnchorFS mount, an rclone mount, sshfs. Each has its own copy
of the data behind it, a real server of its own, and is worked in by path only.

rclone is given what is good for it: a full VFS cache, attributes and listings believed for an hour (nobody else writes
here), its own WebDAV server with its own dialect. So is sshfs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches.running import START_TIMEOUT_S, BenchFailedError, Program, is_mounted, unmount_all
from scripts.benches.tree import copy

if TYPE_CHECKING:
    from contextlib import ExitStack

ANCHORFS = "AnchorFS"
RCLONE = "rclone"
SSHFS = "sshfs"
RCLONE_MOUNT_OPTIONS = ("--vfs-cache-mode", "full", "--dir-cache-time", "1h", "--attr-timeout", "1h")
SSHFS_OPTIONS = ("dcache_timeout=3600", "entry_timeout=3600", "attr_timeout=3600", "kernel_cache")
_FADVISE_LENGTH_ALL = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a measure works. `source` is the data as its server sees it, `backing` what it keeps on this machine."""

    name: str
    path: Path
    source: Path
    backing: Path | None = None
    settle_words: tuple[str, ...] = ()  # what waits until nothing is left to be sent
    environment: tuple[tuple[str, str], ...] = ()
    pid: int | None = None  # of the process that serves the mount

    def settle(self) -> None:
        """Return when the place has nothing left to do in the background, where it can tell."""
        if self.settle_words:
            done = subprocess.run(
                self.settle_words,
                env={**os.environ, **dict(self.environment)},
                capture_output=True,
                text=True,
                timeout=START_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                raise BenchFailedError(f"{self.name} did not settle: {done.stderr or done.stdout}")

    def forget_pages(self, path: Path) -> None:
        """Have the kernel drop what it keeps in memory of a file, here and in what backs the place."""
        for each in [path, *self._backing_files()]:
            fd = os.open(each, os.O_RDONLY)
            try:
                os.fdatasync(fd)  # pages that are not on the disk yet are not dropped
                os.posix_fadvise(fd, 0, _FADVISE_LENGTH_ALL, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def _backing_files(self) -> list[Path]:
        if self.backing is None:
            return []
        found = (Path(folder) / name for folder, _, names in os.walk(self.backing) for name in names)
        return [path for path in found if path.is_file() and path.stat().st_size >= 1 << 20]


def disk(base: Path) -> Place:
    """The disk itself, under the name of its file system; as deep below `base` as the mounts are, because each part of
    a path costs time (a stat of a path two parts longer takes 10 % more on ext4)."""
    words = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(base)]
    kind = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    folder = base / "near" / "disk" / "mount"
    folder.mkdir(parents=True)
    return Place(name=kind, path=folder, source=folder)


def served_by_anchorfs(stack: ExitStack, base: Path, source: Path) -> str:
    """Our server; its URL, once it has read the tree and has the digests of what lies there.

    It watches for no changes of others: those would be all that happens on the disk that the caches lie on as well.
    """
    ready = base / "ready.json"
    serve = [sys.executable, "-m", "server_stub", "serve", "--root", source, "--state", base / "server", "--no-auth"]
    words = [*serve, "--watch", "off", "--listen", "127.0.0.1:0", "--ready-file", ready]
    server = Program(words, base / "server.log")
    stack.callback(server.close)
    server.await_true(ready.exists, "server")
    server.await_idle("server")
    return str(json.loads(ready.read_text(encoding="utf-8"))["url"])


def mounted_anchorfs(
    stack: ExitStack, base: Path, source: Path, url: str, options: tuple[str, ...] = ()
) -> Place:  # fmt: skip
    """Our mount, with `options` of `anchorfs mount` beyond the defaults."""
    mountpoint, cache = base / "mount", base / "cache"
    folders = {"XDG_RUNTIME_DIR": base / "run", "XDG_STATE_HOME": base / "state"}
    for folder in (mountpoint, *folders.values()):
        folder.mkdir(mode=0o700)
    environment = {key: str(value) for key, value in folders.items()}
    stack.callback(unmount_all, base)
    client = [sys.executable, "-m", "vfs.cli"]
    words = [*client, "mount", url, mountpoint, "--foreground", "--cache-dir", cache, *options]
    mount = Program(words, base / "mount.log", environment=environment)
    stack.callback(mount.close)
    mount.await_true(lambda: "is mounted on" in mount.log_tail(), "mount")
    settle = (*client, "sync", str(mountpoint), "--wait", "--timeout", "120")
    told = (*environment.items(), ("PYTHONPATH", os.environ["PYTHONPATH"]))
    return Place(
        name=ANCHORFS, path=mountpoint, source=source, backing=cache / "blobs", settle_words=settle,
        environment=told, pid=mount.pid,
    )  # fmt: skip


def served_by_rclone(stack: ExitStack, base: Path, source: Path, program: Path) -> str:
    """Its WebDAV server; its URL, once it listens."""
    address = f"127.0.0.1:{_free_port()}"
    words = [program, "--config", base / "none", "serve", "webdav", source, "--addr", address]
    server = Program(words, base / "server.log")
    stack.callback(server.close)
    server.await_true(lambda: _listens(address), "WebDAV server")
    return f"http://{address}"


def mounted_rclone(stack: ExitStack, base: Path, source: Path, url: str, program: Path) -> Place:
    """Its mount, with what is good for it."""
    mountpoint, cache = base / "mount", base / "cache"
    mountpoint.mkdir()
    stack.callback(unmount_all, base)
    words = [program, "--config", base / "none", "--cache-dir", cache, "mount", f":webdav,vendor=rclone,url='{url}':"]
    mount = Program([*words, mountpoint, *RCLONE_MOUNT_OPTIONS], base / "mount.log")
    stack.callback(mount.close)
    mount.await_true(lambda: is_mounted(mountpoint), "rclone mount")
    return Place(name=RCLONE, path=mountpoint, source=source, backing=cache / "vfs", pid=mount.pid)


def sshfs(stack: ExitStack, base: Path, source: Path, data: Path) -> list[Place]:
    """sshfs over a `source` that gets a copy of the data, where both halves of it are installed; or nothing.

    It talks to the SFTP server by a pipe: without SSH in between, which could only be slower.
    """
    program = shutil.which("sshfs")
    server = shutil.which("sftp-server", path=f"/usr/lib/openssh:{os.environ['PATH']}")
    if program is None or server is None:
        return []
    base.mkdir()
    copy(data, source)
    mountpoint, instead_of_ssh = base / "mount", base / "ssh"
    mountpoint.mkdir()
    instead_of_ssh.write_text(f"#!/bin/sh\nexec '{server}'\n", encoding="utf-8")
    instead_of_ssh.chmod(0o700)
    stack.callback(unmount_all, base)
    options = [f"ssh_command={instead_of_ssh}", *SSHFS_OPTIONS]
    mount = Program([program, "-f", f"nowhere:{source}", mountpoint, "-o", ",".join(options)], base / "mount.log")
    stack.callback(mount.close)
    mount.await_true(lambda: is_mounted(mountpoint), "sshfs mount")
    return [Place(name=SSHFS, path=mountpoint, source=source, pid=mount.pid)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
