"""The server lost its index, or was put back to an older state of everything: what was not sent is kept and arrives,
and nothing is deleted because nobody tells of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.trees import pattern, tree_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount
    from tests.harness.server import ServerProcess

pytestmark = pytest.mark.fuse
THERE = {name: pattern(10_000, number) for number, name in enumerate(("held", "seen", "edited", "moved", "saved"))}
EDITED, NEW, FORGOTTEN, SAVED = (pattern(size, size) for size in (9_000, 8_000, 7_000, 6_000))


def bodies(root: Path) -> list[bytes]:
    """Contents of all files."""
    return sorted(each.read_bytes() for each in root.rglob("*") if each.is_file())


def back_up(server: ServerProcess, folder: Path) -> None:
    """Copy all that a server has, as it stands."""
    for place in (server.root, server.state):
        shutil.copytree(place, folder / place.name)


def restore(server: ServerProcess, folder: Path) -> None:
    """Put it back."""
    for place in (server.root, server.state):
        shutil.rmtree(place)
    for place in (server.root, server.state):
        shutil.copytree(folder / place.name, place)


def lose_index(server: ServerProcess, _folder: Path) -> None:
    """The files stay."""
    for file in server.state.glob("drive.db*"):
        file.unlink()


def set_aside(mount: Mount) -> dict[str, bytes]:
    """What is kept of what lost, by its name."""
    return {each.name: each.read_bytes() for each in (mount.cache_dir / "set-aside").rglob("*") if each.is_file()}


def decided(mount: Mount, path: Path) -> list[str]:
    """What the record of activity says about a file."""
    lines = mount.command("activity", str(path), "--json").stdout.splitlines()
    return [str(json.loads(line)["what"]) for line in lines]


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
        back_up(server, tmp_path)
        server.start()
        (here / "forgotten").write_bytes(FORGOTTEN)
        (here / "saved").write_bytes(SAVED)
    mount.settle()
    with mount.paused():
        (here / "edited").write_bytes(EDITED)
        (here / "new").write_bytes(NEW)
        (here / "moved").rename(mount.path / "moved")
        server.stop()
        (restore if restored else lose_index)(server, tmp_path)
        server.start()
    until(lambda: NEW in bodies(lonely.served), "what was not sent to arrive")
    mount.settle()
    until(lambda: not (here / "forgotten").exists(), "the older state to be told")

    found = bodies(lonely.served)
    for data in (*(THERE[name] for name in ("held", "seen", "moved", "saved")), EDITED, NEW):
        assert found.count(data) == 1, (sorted(tree_of(lonely.served)), found.count(data))
    assert tree_of(mount.path) == tree_of(lonely.served)
    assert bodies(mount.path) == found
    if restored:  # what the server forgot is not lost, and nothing else is taken for it
        assert set_aside(mount) == {"forgotten": FORGOTTEN, "saved": SAVED}
        assert "set-aside" in decided(mount, here / "saved")
