"""`status --follow` tells what changes, when it does, and ends with the mount."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse


def test_changes_are_told_as_they_come(mount: Mount) -> None:
    words = [sys.executable, "-m", "vfs.cli", "status", str(mount.path), "--follow", "--json"]
    with subprocess.Popen(words, env=mount.environment, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            first = json.loads(following.stdout.readline())
            assert (first["mountpoint"], first["paused"]) == (str(mount.path), False)
            mount.command("pause", str(mount.path))
            while not json.loads(following.stdout.readline())["paused"]:
                continue
            mount.command("resume", str(mount.path))
            while json.loads(following.stdout.readline())["paused"]:
                continue
            assert mount.stop() == 0
            following.stdout.read()
            assert following.wait(DEADLINE_S) == 1  # the mount is gone
        finally:
            following.kill()
