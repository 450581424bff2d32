"""`ls`, `stat`, `stats` and `top` tell how files and mounts stand, and fetch nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse


def test_ls_and_stat_tell_the_state_and_fetch_nothing(drive: Drive, first: Mount, one: Path, served: Path) -> None:
    (served / "far").write_bytes(b"x" * 10_000)
    (served / "sub").mkdir()
    (served / "sub" / "deep").write_bytes(b"y")
    drive.server.scan()
    until((one / "sub" / "deep").exists, "the files")
    (one / "here").write_bytes(b"z" * 5000)
    first.sync()
    done = first.command("ls", "-R", str(one), "--json")
    entries = {entry["path"].removeprefix(f"{one}/"): entry for entry in json.loads(done.stdout)["entries"]}
    assert list(entries) == ["far", "here", "sub", "sub/deep"]
    assert (entries["far"]["state"], entries["far"]["size"], entries["far"]["on_disk_bytes"]) == (
        "online-only", 10_000, 0,
    )  # fmt: skip
    assert (entries["here"]["state"], entries["here"]["on_disk_bytes"] >= 5000) == ("local", True)
    facts = json.loads(first.command("stat", str(one / "far"), "--json").stdout)
    assert facts == entries["far"] | {"path": str(one / "far")}
    assert facts["inode"] == (one / "far").stat().st_ino
    plain = first.command("ls", str(one)).stdout
    assert "online-only" in plain
    assert f"{one}/sub/" in plain
    outside = first.command("ls", str(served), "--json")
    assert (outside.returncode, json.loads(outside.stdout)["error"]["kind"]) == (1, "not-mounted")


def test_stats_are_numbers_that_prometheus_reads(first: Mount, one: Path) -> None:
    (one / "sent").write_bytes(b"z" * 5000)
    first.sync()
    text = first.command("stats", "--prometheus").stdout
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    label = f'{{mountpoint="{first.path}"}}'
    assert samples[f"anchorfs_mount_up{label}"] == "1.0"
    assert samples[f"anchorfs_mount_online{label}"] == "1.0"
    assert float(samples[f"anchorfs_mount_sent_bytes_total{label}"]) >= 5000
    told = json.loads(first.command("stats", "--json").stdout)
    assert [mount["mountpoint"] for mount in told["mounts"]] == [str(first.path)]


def test_top_shows_the_mount_and_leaves_by_q(first: Mount, one: Path) -> None:
    (one / "sent").write_bytes(b"z")
    first.sync()
    once = first.command("top", "--once").stdout
    assert str(first.path) in once
    assert f"{one.name}/sent" in once
    keyboard, screen = pty.openpty()
    words = [sys.executable, "-m", "vfs.cli", "top", "--interval", "0.1"]
    wide = {**first.environment, "COLUMNS": "500", "LINES": "50"}  # the mount point fits, wherever the tests are run
    with subprocess.Popen(words, stdin=screen, stdout=screen, stderr=screen, env=wide) as top:
        try:
            os.close(screen)
            shown, deadline = b"", time.monotonic() + DEADLINE_S
            while str(first.path).encode() not in shown:
                assert time.monotonic() < deadline, shown
                shown += os.read(keyboard, 65536)
            os.write(keyboard, b"q")
            while top.poll() is None and time.monotonic() < deadline:
                try:
                    os.read(keyboard, 65536)
                except OSError:  # EIO: the other side is closed
                    break
            assert top.wait(DEADLINE_S) == 0
        finally:
            top.kill()
            os.close(keyboard)
