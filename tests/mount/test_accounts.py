"""`login`, `logout`, `config show`, and mounts by their name, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.harness.mount import Mount
    from tests.harness.server import ServerProcess
    from tests.mount.conftest import NewMount

pytestmark = pytest.mark.fuse


def told(mount: Mount, *words: str, typed: str = "", status: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "vfs.cli", *words, "--json"],
        env=mount.environment, input=typed, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_log_in_once_and_mount_by_name(server: ServerProcess, new_mount: NewMount) -> None:
    mount = new_mount("named", start=False)
    assert mount.environment.pop("ANCHORFS_TOKEN") == server.token
    file = mount.path.parent / "config.toml"
    file.write_text(
        f'[mounts.drive]\nurl = "{server.url}"\nmountpoint = "{mount.path}"\n'
        f'cache_dir = "{mount.cache_dir}"\nlog_format = "json"\n'
    )
    mount.environment |= {"ANCHORFS_CONFIG": str(file), "ANCHORFS_CACHE_SIZE": "1G"}
    assert told(mount, "mount", "drive", "--daemon", status=77)["error"]["kind"] == "not-signed-in"
    asked = told(mount, "login", "drive", status=2)["error"]
    assert "--token-stdin" in asked["hint"]
    told(mount, "login", "drive", "--token-stdin", typed="wrong\n", status=77)
    kept = told(mount, "login", "drive", "--token-stdin", typed=f"{server.token}\n")
    assert (kept["url"], kept["kept_in"].endswith("credentials.json")) == (server.url, True)
    shown = told(mount, "config", "show", "drive")
    assert shown["token"] == "kept"
    assert server.token not in json.dumps(shown)
    settings = {row["name"]: (row["value"], row["from"]) for row in shown["settings"]}
    assert settings["cache_size_bytes"] == (1 << 30, "environment")
    assert settings["log_format"] == ("json", "mounts.drive")
    assert settings["push"] == ("auto", "built in")
    started = told(mount, "mount", "drive", "--daemon")
    try:
        (mount.path / "file").write_text("by name")
        lines = Path(started["log_file"]).read_text(encoding="utf-8").splitlines()
        assert all(json.loads(line)["level"] for line in lines)
    finally:
        told(mount, "unmount", "drive")
    assert (server.root / "file").read_text() == "by name"
    assert told(mount, "logout", "drive") == {"url": server.url, "forgotten": True}
    told(mount, "mount", "drive", "--daemon", status=77)
