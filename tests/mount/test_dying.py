"""A mount whose program breaks is dead for everybody who looks, and never an empty folder that passes for its data."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.mount import STOP_TIMEOUT_S, Mount

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.server import ServerProcess

pytestmark = pytest.mark.fuse

# One of its tasks fails, once a file says so.
PROGRAM = """
import os, runpy, trio, vfs.mounting

async def break_down(*_):
    while not os.path.exists(os.environ["BREAK_DOWN"]):
        await trio.sleep(0.02)
    raise RuntimeError("a mistake in the program")

vfs.mounting.watch_sleep = break_down
runpy.run_module("vfs.cli", run_name="__main__")
"""


class Fragile(Mount):
    """Breaks when asked to."""

    def _program(self) -> list[str]:
        return [sys.executable, "-c", PROGRAM]


def test_a_drive_that_breaks_leaves_a_dead_mount(server: ServerProcess, tmp_path: Path) -> None:
    """[S5.6] `ENOTCONN` when the client has died; never an empty folder."""
    broken = tmp_path / "break down"
    mount = Fragile(server.url, tmp_path, token=server.token, environment={"BREAK_DOWN": str(broken)})
    try:
        mount.start()
        (mount.path / "file").write_bytes(b"accepted")
        broken.touch()
        assert mount.process is not None
        assert mount.process.wait(STOP_TIMEOUT_S) != 0
        with pytest.raises(OSError, match="not connected") as refused:
            os.listdir(mount.path)  # noqa: PTH208
        assert refused.value.errno == errno.ENOTCONN
        broken.unlink()
        mount.remount()
        assert (mount.path / "file").read_bytes() == b"accepted"
    finally:
        mount.close()
