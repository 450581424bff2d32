"""A mount as a service: what the unit file says, and what a service manager hears."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.conftest import NewMount

pytestmark = pytest.mark.fuse


def test_the_manager_hears_of_ready_of_life_and_of_the_end(new_mount: NewMount, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        mount = new_mount("watched", start=False)
        mount.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        heard: list[bytes] = []

        def listen() -> None:
            """A manager reads at all times: ten datagrams wait at most, and what comes then is told later."""
            while told := listening.recv(4096):
                heard.extend(told.splitlines())

        manager = threading.Thread(target=listen, daemon=True)
        manager.start()
        mount.start()
        until(lambda: b"READY=1" in heard, "READY=1")
        until(lambda: b"WATCHDOG=1" in heard, "WATCHDOG=1")
        assert b"STOPPING=1" not in heard
        assert mount.stop() == 0
        until(lambda: b"STOPPING=1" in heard, "STOPPING=1")
        listening.shutdown(socket.SHUT_RD)
        manager.join(DEADLINE_S)


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
