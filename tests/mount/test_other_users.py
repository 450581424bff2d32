"""Another user of the machine sees nothing of a mount: not its tree, its cache, its logs, or its socket."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive
from tests.harness.trees import pattern
from vfs.registry import socket_address

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else"),
]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that nobody is kept out of: what is closed below it was closed by the program."""
    with tempfile.TemporaryDirectory(prefix="anchorfs-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def somebody_else() -> Iterator[None]:
    """This process is another user's meanwhile."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def had(places: list[Path]) -> set[Path]:
    """Those that can be listed, read, or asked."""
    found: set[Path] = set()
    for place in places:
        with suppress(OSError):
            if _answers(place):
                found.add(place)
    return found


def _answers(place: Path) -> bool:
    mode = place.lstat().st_mode
    if stat.S_ISDIR(mode):
        os.listdir(place)  # noqa: PTH208  # whether it may be asked is the question
    elif stat.S_ISLNK(mode):
        place.readlink()
    elif stat.S_ISSOCK(mode):
        with socket.socket(socket.AF_UNIX) as connection, socket_address(place) as address:
            connection.connect(address)
    else:
        place.read_bytes()
    return True


def test_another_user_can_list_read_and_ask_nothing(open_to_all: Path) -> None:
    with Drive(open_to_all / "drive") as drive:
        drive.folder.chmod(0o755)
        (drive.served / "folder").mkdir()
        (drive.served / "folder/file").write_bytes(pattern(10_000))
        drive.server.scan()
        mount = drive.mount("one", start=False)
        tops = [Path(mount.environment[name]) for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME")]
        for top in tops:
            top.chmod(0o755)
        mount.start()
        (mount.path / "new").write_bytes(pattern(5_000))
        mount.settle()
        assert (mount.path / "folder/file").read_bytes() == pattern(10_000)

        tree = [mount.path, *mount.path.rglob("*")]
        kept = [each for top in (*tops, mount.cache_dir) for each in (top, *top.rglob("*"))]
        assert had(tree + kept) == {*tree, *kept}
        assert any(each.is_socket() for each in kept)
        with somebody_else():
            assert had(tree) == set()
            assert had(kept) == set(tops), "those that the test has opened"
