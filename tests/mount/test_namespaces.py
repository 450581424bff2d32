"""Other mount namespaces: containers and services take copies of all mounts with them when they start."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.mount import Mount

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a mount namespace"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed (package util-linux)"),
]


@contextmanager
def container() -> Iterator[int]:
    """A process in a mount namespace that was copied from ours, and hears no more of it."""
    words = ["unshare", "--mount", "--propagation", "private", "sleep", "600"]
    with subprocess.Popen(words) as process:
        try:
            until(lambda: _name_of(process.pid) == "sleep", "the namespace to be made")
            yield process.pid
        finally:
            process.kill()


def test_a_copy_in_another_namespace_does_not_keep_the_mount_from_ending(mount: Mount) -> None:
    (mount.path / "file").write_text("here")
    with container() as pid:
        assert mount.stop() == 0, mount.log()
        assert not mount.path.is_mount()
        seen = subprocess.run(
            ["nsenter", "--mount", "--target", str(pid), "cat", str(mount.path / "file")],
            capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        )  # fmt: skip
        assert "not connected" in seen.stderr


def test_a_mount_that_lives_on_in_another_namespace_can_be_told_to_end(mount: Mount) -> None:
    """It was unmounted by other means than ours: the kernel tells its process nothing of it."""
    (mount.path / "file").write_text("here")
    with container():
        subprocess.run(["fusermount3", "-u", mount.path], check=True)
        assert not mount.path.is_mount()
        assert mount.process is not None
        assert mount.process.poll() is None
        done = mount.command("unmount", str(mount.path))
        assert (done.returncode, done.stderr) == (0, "")
        assert mount.process.wait(DEADLINE_S) == 0
    assert mount.command("unmount", str(mount.path)).returncode != 0


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
