"""What calls mean beyond one machine: exchanges, owners, pipes, and handles on what others change."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute, converge, seen
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse
_libc = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2


def _exchange(one: Path, other: Path) -> None:
    result = _libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE)
    assert result == 0, os.strerror(ctypes.get_errno())


def test_an_exchange_reaches_the_server_whole(one: Path, two: Path, drive: Drive) -> None:
    """[S11.3] Ids, inode numbers and bytes go with the names, also when a file and a folder swap."""
    (one / "a").write_bytes(b"a")
    (one / "b").mkdir()
    (one / "b" / "inside").write_bytes(b"inside")
    drive.mounts["one"].sync()
    before = {name: (attribute(one / name, "item_id"), (one / name).stat().st_ino) for name in "ab"}
    _exchange(one / "a", one / "b")
    assert (one / "b").read_bytes() == b"a"
    drive.mounts["one"].sync()
    after = {name: (attribute(one / name, "item_id"), (one / name).stat().st_ino) for name in "ab"}
    assert after == {"a": before["b"], "b": before["a"]}
    seen(two / "b", b"a")
    seen(two / "a" / "inside", b"inside")
    assert sorted(each.name for each in two.iterdir()) == ["a", "b"]


def test_pipes_and_sockets_stay_on_their_machine(one: Path, two: Path, drive: Drive) -> None:
    """[S11.2] The server never hears of them, and a folder that is removed elsewhere takes them with it."""
    (one / "folder").mkdir()
    os.mkfifo(one / "folder" / "pipe")
    os.mknod(one / "folder" / "socket", stat.S_IFSOCK | 0o600)
    (one / "after").touch()
    converge(drive.mounts["one"], drive.mounts["two"])
    assert list((two / "folder").iterdir()) == []
    (two / "folder").rmdir()
    until(lambda: not (one / "folder").exists(), "the folder to go")
    assert sorted(each.name for each in one.iterdir()) == ["after"]


def test_a_pipe_gives_way_to_what_the_server_has(one: Path, two: Path, drive: Drive) -> None:
    """[S11.2] When the server tells of an item of its name, it takes a conflict name."""
    os.mkfifo(one / "name")
    (two / "name").write_bytes(b"bytes")
    until((one / "name").is_file, "the file to take the name")
    seen(one / "name", b"bytes")
    (other,) = [each for each in one.iterdir() if each.name != "name"]
    assert other.is_fifo()
    other.unlink()
    os.mkfifo(one / "second")
    (one / "second").rename(one / "third")
    (two / "name").rename(two / "third")
    until((one / "third").is_file, "the file to take the name of the pipe")
    seen(one / "third", b"bytes")
    assert sorted(each.is_fifo() for each in one.iterdir()) == [False, True]
    converge(drive.mounts["one"], drive.mounts["two"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners_and_pipes_outlive_the_mount_and_news(lonely: Drive) -> None:
    """[S11.2, S11.6] Owners stay on this machine, also when the content comes from another."""
    one, two = lonely.mount("one"), lonely.mount("two")
    (one.path / "file").write_bytes(b"first")
    os.mkfifo(one.path / "pipe", 0o640)
    os.chown(one.path / "file", 12_345, 54_321)
    os.utime(one.path / "file", ns=(7, 8))
    converge(one, two)
    assert (two.path / "file").stat().st_uid == os.getuid()
    (two.path / "file").write_bytes(b"second")
    seen(one.path / "file", b"second")
    assert one.stop() == 0
    one.remount()
    told = (one.path / "file").stat()
    assert (told.st_uid, told.st_gid, told.st_atime_ns) == (12_345, 54_321, 7)
    assert stat.filemode((one.path / "pipe").stat().st_mode) == "prw-r-----"


def test_a_file_is_written_while_it_is_changed_elsewhere(one: Path, two: Path, drive: Drive) -> None:
    """A handle that has begun to write goes on; both states are there in the end."""
    (one / "log").write_bytes(b"start|")
    seen(two / "log", b"start|")
    with (one / "log").open("ab", buffering=0) as file:
        file.write(b"here 1|")
        (two / "log").write_bytes(b"elsewhere|")
        drive.mounts["two"].sync()
        file.write(b"here 2|")
        os.fsync(file.fileno())
        file.write(b"here 3|")
    converge(drive.mounts["one"], drive.mounts["two"])
    for folder in (one, two):
        assert sorted(each.read_bytes() for each in folder.iterdir()) == [b"elsewhere|", b"start|here 1|here 2|here 3|"]


BLOCKS, BLOCK_BYTES, WRITES = 64, 4096, 600


def test_what_is_uploaded_is_one_state_of_a_file_that_is_being_written(one: Path, served: Path, drive: Drive) -> None:
    """[S11.11] Write n fills block n modulo 64 with n: each version that the server has is one moment of that."""
    path, found = one / "file", set[bytes]()
    path.write_bytes(b"".join(_block(number) for number in range(BLOCKS)))
    drive.mounts["one"].sync()
    writer = threading.Thread(target=_write_blocks, args=(path,))
    writer.start()
    while writer.is_alive():
        drive.mounts["one"].command("sync", str(one), "--wait", "--timeout", "1")
        found.add((served / "file").read_bytes())
    writer.join()
    drive.mounts["one"].sync()
    found.add((served / "file").read_bytes())
    for content in found:
        numbers = [int.from_bytes(content[at : at + 8]) for at in range(0, len(content), BLOCK_BYTES)]
        latest = max(numbers)
        assert numbers == [latest - (latest - block) % BLOCKS for block in range(BLOCKS)]
        assert content == b"".join(map(_block, numbers))
    assert any(_block(WRITES - 1) in content for content in found)


def _block(number: int) -> bytes:
    return number.to_bytes(8) * (BLOCK_BYTES // 8)


def _write_blocks(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        for number in range(BLOCKS, WRITES):
            os.pwrite(file.fileno(), _block(number), number % BLOCKS * BLOCK_BYTES)
