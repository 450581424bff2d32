"""Mounting as a container does: in a user and mount namespace of its own, without any right on the host."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.server import ServerProcess
    from tests.mount.conftest import NewMount

pytestmark = pytest.mark.fuse
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]


def can_unshare() -> bool:
    """Whether this kernel gives namespaces to whoever runs the tests."""
    return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="this machine gives no user namespaces (unshare(2))")
def test_a_job_in_a_user_namespace(server: ServerProcess, new_mount: NewMount, tmp_path: Path) -> None:
    (server.root / "input").write_text("1 2 3")
    server.scan()
    state = new_mount("job", start=False)
    words = [*NAMESPACES, sys.executable, "-m", "vfs.cli", "run", server.url, "--cache-dir", str(tmp_path / "cache")]
    job = ["--", "sh", "-c", "wc -w < input > output; exit 3"]
    done = subprocess.run(
        [*words, *job], env=state.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, (server.root / "output").read_text().strip()) == (3, "3"), done.stderr
    assert os.geteuid() == (server.root / "output").stat().st_uid


PASSED = """
import ctypes, os, subprocess, sys
place, *command = sys.argv[1:]
os.mkdir(place)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"anchorfs", place.encode(), b"fuse.anchorfs", 6, options.encode()):
    raise OSError(ctypes.get_errno(), "mount")
mount = [sys.executable, "-m", "vfs.cli", "mount", *command[:1], f"/dev/fd/{fd}", *command[1:]]
subprocess.run([*mount, "--daemon"], pass_fds=[fd], check=True)
os.close(fd)
status = subprocess.run([sys.executable, "-m", "vfs.cli", "status", place], check=True, capture_output=True, text=True)
with open(f"{place}/input") as told, open(f"{place}/output", "w") as said:
    said.write(told.read().upper())
subprocess.run([sys.executable, "-m", "vfs.cli", "unmount", place], check=True)
try:
    os.listdir(place)
except OSError as error:
    print(status.stdout.split()[0], error.strerror)
"""


@pytest.mark.skipif(not can_unshare(), reason="this machine gives no user namespaces (unshare(2))")
def test_a_device_that_somebody_else_has_mounted(server: ServerProcess, new_mount: NewMount, tmp_path: Path) -> None:
    """/dev/fd/N as the mount point, with no fusermount3 and no right to mount in between; its owner unmounts it."""
    (server.root / "input").write_text("a word")
    server.scan()
    state, place = new_mount("passed", start=False), tmp_path / "place"
    words = [*NAMESPACES, sys.executable, "-c", PASSED, str(place), server.url, "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(words, env=state.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1:] == [f"{place} Transport endpoint is not connected"], done.stdout + done.stderr
    assert (server.root / "output").read_text() == "A WORD"


def test_a_descriptor_that_is_none_is_told(server: ServerProcess, new_mount: NewMount) -> None:
    done = new_mount("none", start=False).command("mount", server.url, "/dev/fd/0", "--json")
    assert (done.returncode, "fuse-fd" in done.stdout) == (78, True), done.stderr
