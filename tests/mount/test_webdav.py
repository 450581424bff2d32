"""A folder of Apache's mod_dav that asks for a password, mounted. The conflict table: test_second_writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.davs import Apache
from tests.harness.mount import Mount
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


def test_a_password_that_is_not_accepted_any_more_pauses_the_queue_and_says_so(tmp_path: Path) -> None:
    missing = Apache.missing()
    if missing is not None:
        pytest.skip(missing)
    server = Apache()
    server.let_in("me", "open sesame: ü")
    with server:
        options = ("-o", "write_back_delay=0.05,poll_interval=0.5")
        secret = {"ANCHORFS_PASSWORD": "open sesame: ü"}
        url = f"dav+{server.url}".replace("//", "//me@", 1)
        with Mount(url, tmp_path, arguments=options, environment=secret) as mount:
            (mount.path / "before").write_bytes(b"1")
            mount.settle()
            server.let_in("me", "changed")
            (mount.path / "after").write_bytes(b"2")
            until(lambda: mount.status()["connection"] == "signed-out", "the mount to notice")
            assert mount.status()["queue_pending"] == 1
            assert "anchorfs login" in mount.command("doctor").stdout
            assert not (server.root / "after").exists()
            server.let_in("me", "open sesame: ü")
            mount.settle()
            assert (server.root / "after").read_bytes() == b"2"
            assert "sesame" not in mount.log()
