"""One file at a time: how editors save, and what append, truncate, holes, locks of names and mappings do."""

from __future__ import annotations

import mmap
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute
from tests.harness.trees import pattern
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


def _save_as_editors_do(path: Path, content: bytes) -> None:
    """Write a new file beside it, sync it, rename it over the old one, sync the folder."""
    temporary = path.with_name(f".{path.name}.swp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def test_an_editors_save_is_a_new_version_of_the_same_item(one: Path, served: Path, drive: Drive) -> None:
    path, mount = one / "letter.txt", drive.mounts["one"]
    path.write_text("first")
    mount.settle()
    item_id, version = attribute(path, "item_id"), attribute(path, "content_version")
    for number in range(3):
        with mount.paused():
            _save_as_editors_do(path, f"draft {number}".encode())
        mount.settle()
        assert attribute(path, "item_id") == item_id
        assert attribute(path, "content_version") != version
        version = attribute(path, "content_version")
        assert (served / "letter.txt").read_text() == f"draft {number}"
    assert [each.name for each in served.iterdir()] == ["letter.txt"]


def test_saving_again_and_again_without_a_pause_makes_no_conflict(one: Path, served: Path, drive: Drive) -> None:
    path = one / "busy.txt"
    path.write_bytes(pattern(300_000))
    for number in range(60):
        _save_as_editors_do(path, pattern(200_000 + number, number))
    drive.mounts["one"].sync()
    assert [each.name for each in served.iterdir()] == ["busy.txt"]
    assert (served / "busy.txt").read_bytes() == pattern(200_059, 59)


def test_a_save_with_a_backup_keeps_both(one: Path, served: Path, drive: Drive) -> None:
    """Move the old one away, write the new one under its name: how vim with a backup and KeePassXC save."""
    path = one / "keys.kdbx"
    path.write_bytes(b"old")
    drive.mounts["one"].sync()
    path.rename(one / "keys.kdbx~")
    path.write_bytes(b"new")
    drive.mounts["one"].sync()
    assert {each.name: each.read_bytes() for each in served.iterdir()} == {"keys.kdbx": b"new", "keys.kdbx~": b"old"}


def test_append_truncate_and_holes_arrive_as_they_are(one: Path, served: Path, drive: Drive) -> None:
    path, mirror = one / "data", bytearray()
    with path.open("wb") as file:
        file.write(b"begin")
    mirror += b"begin"
    with path.open("ab") as file:
        file.write(b" appended")
    mirror += b" appended"
    os.truncate(path, 8)
    del mirror[8:]
    os.truncate(path, 5000)
    mirror += bytes(5000 - 8)
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"after a hole")
        file.flush()
        assert os.fstat(file.fileno()).st_size == 100_012
        file.truncate(100_005)
    mirror += bytes(95_000) + b"after"
    assert path.read_bytes() == mirror
    drive.mounts["one"].sync()
    assert (served / "data").read_bytes() == mirror
    assert path.stat().st_size == len(mirror)


def test_a_byte_that_was_truncated_away_does_not_come_back(one: Path) -> None:
    path = one / "file"
    path.write_bytes(b"x" * 10)
    os.truncate(path, 0)
    os.truncate(path, 10)
    assert path.read_bytes() == bytes(10)
    with path.open("r+b") as file:
        file.write(b"abc")
        file.flush()
        os.ftruncate(file.fileno(), 1)
        file.seek(5)
        file.write(b"z")
    assert path.read_bytes() == b"a\0\0\0\0z"


def test_a_sparse_file_costs_no_room(one: Path, served: Path, drive: Drive) -> None:
    path = one / "sparse"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"in the middle")
        file.flush()
        told = os.fstat(file.fileno())  # while it is open: nothing of it is sent yet
        assert told.st_size == 64 << 20
        assert told.st_blocks * 512 < 1 << 20
    drive.mounts["one"].sync()
    assert (served / "sparse").stat().st_size == 64 << 20
    with path.open("rb") as file:
        file.seek(32 << 20)
        assert file.read(20) == b"in the middle" + bytes(7)
    assert path.stat().st_blocks * 512 < 1 << 20  # nor after it was pushed
    assert os.getxattr(path, "user.anchorfs.state") == b"local"


@pytest.mark.parametrize("existing", [False, True])
def test_what_is_being_written_is_not_sent_as_soon_as_it_was_emptied(
    existing: bool, one: Path, served: Path, drive: Drive
) -> None:
    path = one / "growing"
    if existing:
        path.write_text("before")
        drive.mounts["one"].sync()
    with path.open("w") as file:  # O_TRUNC
        file.write("half of")
        file.flush()
        for name in ("first", "second"):
            (one / name).write_text("whole")
            until((served / name).exists, f"{name} is on the server")
        assert (served / "growing").exists() == existing
        assert not existing or (served / "growing").read_text() == "before"
        file.write(" it")
    until(lambda: (served / "growing").exists() and (served / "growing").read_text() == "half of it", "it is sent")


def test_an_unlinked_file_works_on_and_is_never_uploaded(one: Path, served: Path, drive: Drive) -> None:
    with (one / "gone").open("w+b") as file:
        file.write(b"before")
        file.flush()
        (one / "gone").unlink()
        file.write(b" and after")
        file.seek(0)
        assert file.read() == b"before and after"
        assert os.fstat(file.fileno()).st_nlink == 0
        drive.mounts["one"].sync()
        assert list(served.iterdir()) == []


def test_only_one_of_many_creates_exclusively(one: Path) -> None:
    descriptor = os.open(one / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.close(descriptor)
    with pytest.raises(FileExistsError):
        os.open(one / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_a_mapping_that_is_written_arrives(one: Path, served: Path, drive: Drive) -> None:
    path = one / "mapped"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8192) as mapping:
        mapping[4000:4005] = b"hello"
        mapping.flush()
    drive.mounts["one"].sync()
    assert (served / "mapped").read_bytes()[4000:4005] == b"hello"


def test_renames_keep_the_inode_number_and_the_bytes(one: Path, served: Path, drive: Drive) -> None:
    (one / "a").mkdir()
    (one / "b").mkdir()
    path = one / "a" / "file"
    path.write_bytes(b"content")
    ino = path.stat().st_ino
    with path.open("r+b") as file:
        path.rename(one / "b" / "moved")
        (one / "b").rename(one / "c")
        file.seek(7)
        file.write(b" and more")
    moved = one / "c" / "moved"
    assert moved.stat().st_ino == ino
    drive.mounts["one"].sync()
    assert (served / "c" / "moved").read_bytes() == b"content and more"
    assert not (served / "b").exists()


def test_times_and_modes_arrive(one: Path, served: Path, drive: Drive) -> None:
    path = one / "file"
    path.write_bytes(b"x")
    drive.mounts["one"].sync()
    os.utime(path, ns=(5, 1_600_000_000_000_000_007))
    path.chmod(0o751)
    drive.mounts["one"].sync()
    told = (served / "file").stat()
    assert (told.st_mtime_ns, told.st_mode & 0o777) == (1_600_000_000_000_000_007, 0o751)
    assert path.stat().st_mtime_ns == 1_600_000_000_000_000_007


def test_du_tells_what_is_really_here(one: Path, drive: Drive) -> None:
    path = one / "big"
    path.write_bytes(pattern(3_000_000))
    assert path.stat().st_blocks * 512 >= 3_000_000
    drive.mounts["one"].sync()
    assert drive.mounts["one"].command("evict", str(path)).returncode == 0
    until(lambda: path.stat().st_blocks == 0, "the placeholder to take no room")
    assert path.stat().st_size == 3_000_000
    assert path.read_bytes() == pattern(3_000_000)
    until(lambda: path.stat().st_blocks * 512 >= 3_000_000, "the bytes to be shown as held")


def test_set_user_id_bits_go_when_they_go_on_a_disk(one: Path, tmp_path: Path) -> None:
    def modes(path: Path) -> list[int]:
        found = []

        def note() -> None:
            found.append(path.stat().st_mode & 0o7777)
            path.chmod(0o6755)

        path.write_bytes(b"")
        path.chmod(0o6755)
        with path.open("r+b", buffering=0) as file:
            file.write(b"1")
            note()
            file.write(b"2")
            note()
            file.truncate(1)
            note()
            os.fchown(file.fileno(), os.getuid(), os.getgid())
            note()
        os.truncate(path, 0)
        note()
        path.open("wb").close()
        note()
        return found

    assert modes(one / "file") == modes(tmp_path / "file")


def test_a_write_by_somebody_without_privileges_takes_the_set_user_id_bits(drive: Drive) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can write as somebody else; the test above has written as one")
    mount = drive.mount("open to all", "-o", "allow_other")
    path = mount.path / "for all"
    for change in ("printf x >> 'for all'", "truncate --size=0 'for all'", ": > 'for all'"):
        path.write_bytes(b"content")
        path.chmod(0o6777)
        assert path.stat().st_mode & 0o7777 == 0o6777
        subprocess.run(["/bin/sh", "-c", change], cwd=mount.path, user=65534, group=65534, extra_groups=[], check=True)
        assert path.stat().st_mode & 0o7777 == 0o777, change
