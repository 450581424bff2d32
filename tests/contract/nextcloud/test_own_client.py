"""The fake, as Nextcloud's own client sees it: a second witness that it behaves like a server."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sync.remotes.nextcloud import NextcloudRemote
from tests.contract.homes import content
from tests.fakes.nextcloud.server import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.nextcloud import FakeNextcloud

CLIENT = shutil.which("nextcloudcmd")
pytestmark = pytest.mark.skipif(CLIENT is None, reason="nextcloudcmd is not here: the package nextcloud-desktop-cmd")


def synchronise(server: FakeNextcloud, folder: Path, home: Path) -> None:
    environment = os.environ | {"HOME": str(home), "QT_QPA_PLATFORM": "offscreen", "XDG_CONFIG_HOME": str(home)}
    words = [CLIENT or "", "--non-interactive", "-s", "-u", "ada", "-p", PASSWORD, str(folder), server.http_url]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_both_see_what_the_other_sends(server: FakeNextcloud, tmp_path: Path) -> None:
    folder, home, large = tmp_path / "folder", tmp_path / "home", random.Random(1).randbytes(12_000_000)
    folder.mkdir()
    server.account.make_folder("theirs")
    server.account.write("theirs/a b%20ü.txt", b"from the server")
    (folder / "small").write_bytes(b"from the client")
    (folder / "large").write_bytes(large)
    synchronise(server, folder, home)
    assert (folder / "theirs" / "a b%20ü.txt").read_bytes() == b"from the server"
    remote = NextcloudRemote(server.http_url, "ada", PASSWORD)
    items = {each.name: each for each in (await remote.children((await remote.root()).item_id)).items}
    assert await content(remote, items["small"]) == b"from the client"
    assert await content(remote, items["large"]) == large
    await remote.aclose()
    (folder / "small").rename(folder / "theirs" / "renamed")
    (folder / "large").unlink()
    server.account.write("new", b"later")
    synchronise(server, folder, home)
    assert {each.path for each in server.account.walk(server.account.root) if not each.is_folder} == {
        "theirs/a b%20ü.txt", "theirs/renamed", "new"
    }  # fmt: skip
    assert server.account.at("theirs/renamed").file_id == int(items["small"].item_id)
    assert (folder / "new").read_bytes() == b"later"
