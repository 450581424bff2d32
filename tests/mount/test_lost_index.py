"""The server lost its index, or was put back to an older state of everything: what was not sent is kept and arrives,
and nothing is deleted because nobody tells of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.trees import pattern, tree_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.drives import Drive

pytestmark = pytest.mark.fuse
THERE = {name: pattern(10_000, number) for number, name in enumerate(("held", "seen", "edited", "moved"))}
EDITED, NEW, FORGOTTEN = pattern(9_000, 11), pattern(8_000, 12), pattern(7_000, 13)


def bodies(root: Path) -> list[bytes]:
    """Contents of all files."""
    return sorted(each.read_bytes() for each in root.rglob("*") if each.is_file())


@pytest.mark.parametrize("restored", [False, True], ids=["index-lost", "restored-from-a-backup"])
def test_what_was_not_sent_arrives_and_nothing_is_deleted(lonely: Drive, tmp_path: Path, *, restored: bool) -> None:
    folder, server = lonely.served / "folder", lonely.server
    folder.mkdir()
    for name, data in THERE.items():
        (folder / name).write_bytes(data)
    server.scan()
    mount = lonely.mount("one")
    here = mount.path / "folder"
    assert [(here / name).read_bytes() for name in ("held", "edited")] == [THERE["held"], THERE["edited"]]
    if restored:
        server.stop()
        for place in (server.root, server.state):
            shutil.copytree(place, tmp_path / place.name)
        server.start()
        (here / "forgotten").write_bytes(FORGOTTEN)
    mount.settle()
    with mount.paused():
        (here / "edited").write_bytes(EDITED)
        (here / "new").write_bytes(NEW)
        (here / "moved").rename(mount.path / "moved")
        server.stop()
        if restored:
            for place in (server.root, server.state):
                shutil.rmtree(place)
                shutil.copytree(tmp_path / place.name, place)
        else:
            for file in server.state.glob("drive.db*"):
                file.unlink()
        server.start()
    until(lambda: NEW in bodies(lonely.served), "what was not sent to arrive")
    mount.settle()
    until(lambda: not (here / "forgotten").exists(), "the older state to be told")

    found = bodies(lonely.served)
    for data in (THERE["held"], THERE["seen"], THERE["moved"], EDITED, NEW):
        assert found.count(data) == 1, (sorted(tree_of(lonely.served)), found.count(data))
    assert tree_of(mount.path) == tree_of(lonely.served)
    assert bodies(mount.path) == found
    assert not restored or FORGOTTEN in bodies(mount.cache_dir), "what the server forgot is not lost"
