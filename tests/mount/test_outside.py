"""What others do in the exported directory shows in a mount of a server that was told nothing about watching."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import QUICK, attribute, seen
from tests.harness.mount import Mount
from tests.harness.server import ServerProcess
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


def test_a_shell_on_the_server_is_seen_in_a_mount_and_a_mount_by_the_shell(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path / "server", watch=None) as server,
        server.client() as client,
        Mount(server.url, tmp_path, token=server.token, arguments=("-o", QUICK)) as mount,
    ):
        until(lambda: client.get("/healthz").json()["watch"] == "watching", "the watch to have caught up")
        (server.root / "folder").mkdir()
        (server.root / "folder" / "file").write_bytes(b"from the server")
        seen(mount.path / "folder" / "file", b"from the server")
        item_id = attribute(mount.path / "folder" / "file", "item_id")
        (server.root / "folder" / "file").rename(server.root / "moved")
        until(lambda: not (mount.path / "folder" / "file").exists(), "the old name to go")
        seen(mount.path / "moved", b"from the server")
        assert attribute(mount.path / "moved", "item_id") == item_id
        (mount.path / "moved").write_bytes(b"from the mount")
        seen(server.root / "moved", b"from the mount")
        (server.root / "moved").write_bytes(b"from the server again")
        seen(mount.path / "moved", b"from the server again")
        assert attribute(mount.path / "moved", "item_id") == item_id
    assert sorted(each.name for each in server.root.iterdir()) == ["folder", "moved"]
