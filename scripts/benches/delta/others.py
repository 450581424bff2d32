"""Ways to find out what changed that look at everything, or ask the server folder by folder: on the same tree.

Each returns when it knows; how long that took is measured by who calls.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from scripts.benches import links, places
from scripts.benches.running import BenchFailedError, Program, is_mounted, unmount_all
from tests.harness import samba

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

SCAN_WITHIN_S = 1800.0


def find_newer(folder: Path, stamp: Path) -> int:
    """`find -newer` over a mount; how many files it found."""
    words = ["find", str(folder), "-type", "f", "-newer", str(stamp)]
    return len(_output(words).splitlines())


class Rclone:
    """rclone's own WebDAV server over the tree, and rclone as its client."""

    def __init__(self, stack: ExitStack, base: Path, root: Path, program: Path) -> None:
        base.mkdir(exist_ok=True)
        self._words = [str(program), "--config", str(base / "none")]
        self._root = root
        self.url = places.served_by_rclone(stack, base, root, program)

    def list_all(self, url: str = "") -> int:
        """`rclone lsf -R` with times and sizes, as a comparison needs them; how many lines."""
        words = [*self._words, "lsf", "-R", "--format", "pst", self._remote(url)]
        return _output(words).count("\n")

    def check(self) -> None:
        """`rclone check --size-only` of the tree against what the server tells."""
        _output([*self._words, "check", "--size-only", str(self._root), self._remote("")])

    def _remote(self, url: str) -> str:
        return f":webdav,vendor=rclone,url='{url or self.url}':"


class SmbMount:
    """A real smbd over the tree, and rclone's mount of the share through a slow way: SMB through FUSE.

    The kernel's own client is not to be had everywhere; what both have in common is that every folder is asked for.
    """

    def __init__(self, stack: ExitStack, base: Path, root: Path, program: Path, round_trip_ms: float) -> None:
        smbd = stack.enter_context(samba.Samba(base / "samba", root))
        port = smbd.words()[smbd.words().index("--port") + 1]
        link = _longer_way(stack, base, f"127.0.0.1:{port}", round_trip_ms)
        host, _, far_port = link.rpartition(":")
        obscured = subprocess.run(
            [str(program), "obscure", "-"], input=samba.PASSWORD, capture_output=True, text=True, check=True
        ).stdout.strip()
        environment = {
            "RCLONE_SMB_HOST": host, "RCLONE_SMB_PORT": far_port, "RCLONE_SMB_USER": samba.USER,
            "RCLONE_SMB_PASS": obscured,
        }  # fmt: skip
        self.path = base / "smb"
        self.path.mkdir()
        stack.callback(unmount_all, self.path)
        words = [program, "--config", base / "none", "mount", ":smb:drive", self.path, "--read-only"]
        words += ["--dir-cache-time", "1s", "--attr-timeout", "1s"]
        mount = Program(words, base / "smb.log", environment=environment)
        stack.callback(mount.close)
        mount.await_true(lambda: is_mounted(self.path), "SMB mount")


def _longer_way(stack: ExitStack, base: Path, address: str, round_trip_ms: float) -> str:
    """Host and port of a longer way to an address."""
    folder = base / "smb-link"
    folder.mkdir()
    return links.counted(stack, folder, f"{links.PREFIX}{address}", round_trip_ms).url.removeprefix(links.PREFIX)


def _output(words: list[str]) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=SCAN_WITHIN_S, env={**os.environ, "LC_ALL": "C"}, check=False
    )
    if done.returncode != 0:
        raise BenchFailedError(f"{' '.join(words[:6])}: {done.stderr[-1000:]}")
    return done.stdout
