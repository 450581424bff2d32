"""A mount as a service: what the unit file says, and what a service manager hears."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.conftest import NewMount

pytestmark = pytest.mark.fuse


def test_the_manager_hears_of_ready_of_life_and_of_the_end(new_mount: NewMount, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        mount = new_mount("watched", start=False)
        mount.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        mount.start()
        heard: set[bytes] = set()

        def hears(line: bytes) -> bool:
            heard.update(listening.recv(4096).splitlines())
            return line in heard

        until(lambda: hears(b"READY=1"), "READY=1")
        until(lambda: hears(b"WATCHDOG=1"), "WATCHDOG=1")
        assert b"STOPPING=1" not in heard
        assert mount.stop() == 0
        until(lambda: hears(b"STOPPING=1"), "STOPPING=1")


def test_the_unit_file_is_installed_and_well_formed(new_mount: NewMount, tmp_path: Path) -> None:
    mount = new_mount("unit", start=False)
    mount.environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    (tmp_path / "config/anchorfs").mkdir(parents=True)
    file = tmp_path / "config/anchorfs/config.toml"
    file.write_text(
        f'[mounts.drive]\nurl = "http://h"\nmountpoint = "{mount.path}"\n[mounts.nowhere]\nurl="http://h"\n'
    )
    told = json.loads(mount.command("service", "install", "drive", "--json").stdout)
    unit = tmp_path / "config/systemd/user/anchorfs@.service"
    assert told["path"] == str(unit)
    assert told["commands"][-1] == "systemctl --user enable --now anchorfs@drive"
    assert unit.read_text() == mount.command("service", "print").stdout
    assert "Type=notify" in unit.read_text()
    refused = mount.command("service", "install", "nowhere", "--json")
    assert refused.returncode == 78
    if shutil.which("systemd-analyze") is not None:
        named = unit.with_name("anchorfs@drive.service")
        unit.rename(named)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", named], capture_output=True, text=True, check=False
        )
        assert str(unit.parent) not in done.stderr, done.stderr
