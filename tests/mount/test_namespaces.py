"""Other mount namespaces: containers and services take copies of all mounts with them when they start."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.mount import Mount

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a mount namespace"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed (package util-linux)"),
]


def test_a_copy_in_another_namespace_does_not_keep_the_mount_from_ending(mount: Mount) -> None:
    (mount.path / "file").write_text("here")
    words = ["unshare", "--mount", "--propagation", "private", "sleep", "60"]
    with subprocess.Popen(words) as container:
        try:
            until(lambda: _name_of(container.pid) == "sleep", "the namespace to be made")
            assert mount.stop() == 0, mount.log()
            assert not mount.path.is_mount()
            seen = subprocess.run(
                ["nsenter", "--mount", "--target", str(container.pid), "cat", str(mount.path / "file")],
                capture_output=True, text=True, check=False, timeout=20,
            )  # fmt: skip
            assert "not connected" in seen.stderr
        finally:
            container.kill()


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
