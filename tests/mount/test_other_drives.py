"""A cache directory is of one drive: what it holds is never taken for, nor sent to, another one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.mount import Mount, MountFailedError
from tests.harness.server import ServerProcess
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of this test alone, for everybody: another drive would have other tokens."""
    with ServerProcess(tmp_path / "server", auth=False) as running:
        yield running


@pytest.fixture
def left(server: ServerProcess, tmp_path: Path) -> Iterator[Mount]:
    """Mounted once, with one file that the server has and one that it has not; not mounted now."""
    with Mount(server.url, tmp_path) as mount:
        (mount.path / "sent").write_bytes(b"sent")
        mount.sync()
        assert mount.command("pause", str(mount.path)).returncode == 0
        (mount.path / "unsent").write_bytes(b"unsent")
        mount.kill()
        yield mount


def _refused(mount: Mount, word: str, there: Path) -> None:
    before = {each.name for each in there.iterdir()}
    mount.expect_warning("error|refused|ended")
    with pytest.raises(MountFailedError, match=word):
        _start_and_start_again(mount)
    assert {each.name for each in there.iterdir()} == before


def _start_and_start_again(mount: Mount) -> None:
    """A server that takes 3 s to answer is not waited for at the start."""
    for _ in range(10):
        mount.start()
        mount.kill()


def _goes_on(mount: Mount, there: Path) -> None:
    mount.start()
    assert (mount.path / "sent").read_bytes() == b"sent"
    mount.command("resume", str(mount.path))
    mount.sync()
    assert {each.name: each.read_bytes() for each in there.iterdir()} == {"sent": b"sent", "unsent": b"unsent"}


def test_another_address_is_refused(server: ServerProcess, left: Mount, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "other", auth=False) as other:
        (other.root / "theirs").write_bytes(b"theirs")
        left.url = other.url
        _refused(left, f"belongs to {server.url}", other.root)
    left.url = server.url
    _goes_on(left, server.root)


def test_another_drive_at_the_same_address_is_refused(server: ServerProcess, left: Mount, tmp_path: Path) -> None:
    """The server was set up anew, or another one answers there."""
    root = server.root
    server.stop()
    with _another(server, tmp_path):
        _refused(left, "another drive than before", server.root)
    server.start()
    _goes_on(left, root)


def test_another_drive_that_answers_a_mount_which_began_without_a_server_is_refused(
    server: ServerProcess, left: Mount, tmp_path: Path
) -> None:
    """[S2.8] It counts as away: what is here stays, nothing is sent there, and all goes on with the drive of before."""
    server.stop()
    left.start()
    left.command("resume", str(left.path))
    with _another(server, tmp_path):
        until(lambda: "another drive" in str(left.status()["last_error"]), "the mount to notice")
        assert {each.name: each.read_bytes() for each in left.path.iterdir()} == {"sent": b"sent", "unsent": b"unsent"}
        assert [each.name for each in server.root.iterdir()] == ["theirs"]
    server.start()
    left.sync()
    assert {each.name: each.read_bytes() for each in server.root.iterdir()} == {"sent": b"sent", "unsent": b"unsent"}


@contextmanager
def _another(server: ServerProcess, folder: Path) -> Iterator[None]:
    """A new drive answers at the address of a server that does not run, meanwhile."""
    root, state = server.root, server.state
    server.root, server.state = folder / "new root", folder / "new state"
    server.root.mkdir()
    (server.root / "theirs").write_bytes(b"theirs")
    server.start()
    yield
    server.stop()
    server.root, server.state = root, state
