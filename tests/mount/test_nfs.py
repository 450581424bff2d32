"""What is done through a real NFS server, which opens files by handle, is seen in a mounted client at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import QUICK, attribute, seen
from tests.harness.mount import Mount
from tests.harness.nfs import Nfs, missing
from tests.harness.server import ServerProcess
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.skipif(missing() is not None, reason=f"no NFS server: {missing()}")]


def test_create_edit_rename_move_delete(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", watch="fanotify") as server, server.client() as client:
        until(lambda: client.get("/healthz").json()["watch"] == "watching", "the watch to have caught up")
        mount = Mount(server.url, tmp_path, token=server.token, arguments=("-o", QUICK))
        with Nfs(tmp_path / "nfs", server.root) as nfs, mount:
            nfs.mkdir("folder")
            nfs.write("a", b"one")
            seen(mount.path / "a", b"one")
            item_id = attribute(mount.path / "a", "item_id")
            nfs.write("a", b"longer")
            seen(mount.path / "a", b"longer")
            nfs.rename("a", "folder/b")
            seen(mount.path / "folder" / "b", b"longer")
            assert attribute(mount.path / "folder" / "b", "item_id") == item_id
            nfs.unlink("folder/b")
            until(lambda: not (mount.path / "folder" / "b").exists(), "the file to go")
            assert client.get("/metrics").text.count("anchorfs_watch_scans 1.0") == 1  # that of the beginning
