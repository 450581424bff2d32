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
