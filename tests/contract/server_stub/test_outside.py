"""Changes made behind the server's back are found by a scan, and nothing but a finished listing deletes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.harness.server import ServerProcess
from tests.harness.waiting import until

from .conftest import LONG_POLL_S, Api

if TYPE_CHECKING:
    from pathlib import Path


def test_import_then_scan_sees_what_others_did(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "keep").write_text("k")
    (root / "d" / "edit").write_text("before")
    (root / "d" / "drop").write_text("x")
    (root / "link").symlink_to("d/keep")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"bad\xff")).write_text("x")
    with ServerProcess(tmp_path) as server, server.client() as client:
        api = Api(client)
        top = api.children(api.root()["item_id"])
        assert set(top) == {"d", "link"}
        inner = api.children(top["d"]["item_id"])
        anchor = api.anchor()
        (root / "d" / "edit").write_text("after!")
        (root / "d" / "drop").unlink()
        (root / "d" / "sub" / "deep").mkdir(parents=True)
        report = server.scan()
        assert (report["added"], report["changed"], report["removed"]) == (2, 1, 1)
        now = api.children(top["d"]["item_id"])
        assert now["keep"] | {"digest": None} == inner["keep"] | {"digest": None}  # computed by and by
        assert now["edit"]["item_id"] == inner["edit"]["item_id"]
        assert now["edit"]["content_version"] != inner["edit"]["content_version"]
        assert api.item(inner["drop"]["item_id"]).status_code == 410
        kinds = [change["type"] for change in api.changes(anchor)["changes"]]
        assert sorted(kinds) == ["changed", "changed", "changed", "deleted"]
        assert server.scan()["changed"] == 0


def test_a_timer_scans_by_itself(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, scan_interval_s=0.2) as server, server.client() as client:
        api = Api(client)
        anchor = api.anchor()
        (server.root / "new").write_text("x")
        page = api.changes(anchor, wait=LONG_POLL_S)
        assert [change["item"]["name"] for change in page["changes"]] == ["new"]


def test_an_emptied_mount_point_deletes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "precious").write_text("p")
    server = ServerProcess(tmp_path)
    with server:
        server.stop()
        shutil.move(root, tmp_path / "aside")
        root.mkdir()
        server.start()
        until(lambda: "scan refused" in server.log_tail(), "the scan to be refused")
        with server.client() as client:
            api = Api(client)
            root_id = api.root()["item_id"]
            precious = api.children(root_id)["precious"]
            for refused in (
                api.create(root_id, "folder"),
                api.write_new(root_id, "file", b"would lie below the mount"),
                api.overwrite(precious, b"x"),
                api.delete(precious),
                api.content(precious),
            ):
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
                assert "retry-after" in refused.headers
            assert set(api.children(root_id)) == {"precious"}
        assert list(root.iterdir()) == []
        server.stop()
        root.rmdir()
        shutil.move(tmp_path / "aside", root)
        server.start()
        with server.client() as client:
            api = Api(client)
            precious = api.children(api.root()["item_id"])["precious"]
            assert api.content(precious).content == b"p"
            assert api.overwrite(precious, b"new").status_code == 200


def test_state_inside_the_root_is_no_part_of_the_drive(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.state = server.root / "state"
    with server, server.client() as client:
        api = Api(client)
        api.create(api.root()["item_id"], "d")
        server.scan()
        assert set(api.children(api.root()["item_id"])) == {"d"}
