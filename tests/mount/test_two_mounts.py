"""Two mounts of one drive: what is done on one is seen through the other's kernel, without being asked for."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute, seen
from tests.harness.trees import pattern
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


def test_new_files_and_folders_appear_where_their_absence_was_known(one: Path, two: Path) -> None:
    assert not (two / "file").exists()  # the kernel remembers that
    assert not (two / "folder").exists()
    assert list(two.iterdir()) == []
    (one / "file").write_bytes(b"hello")
    (one / "folder" / "deep").mkdir(parents=True)
    (one / "folder" / "deep" / "file").write_bytes(b"deep")
    (one / "link").symlink_to("file")
    seen(two / "file", b"hello")
    seen(two / "folder" / "deep" / "file", b"deep")
    until(lambda: (two / "link").readlink().name == "file", "the symlink to appear")
    assert sorted(each.name for each in two.iterdir()) == ["file", "folder", "link"]


def test_edits_are_seen_in_size_time_and_bytes(one: Path, two: Path) -> None:
    (one / "file").write_bytes(b"first")
    seen(two / "file", b"first")
    ino = (two / "file").stat().st_ino
    for content in (b"longer than before", b"short", b"", pattern(2_000_000)):
        (one / "file").write_bytes(content)
        size = len(content)
        until(lambda size=size: (two / "file").stat().st_size == size, "the size, before anybody opens the file")
        seen(two / "file", content)
        told = (two / "file").stat()
        assert (told.st_size, told.st_ino) == (len(content), ino)
        assert told.st_mtime_ns == (one / "file").stat().st_mtime_ns


def test_edits_go_both_ways_in_turn(one: Path, two: Path) -> None:
    (one / "ball").write_bytes(b"0")
    for number in range(6):
        source, target = (one, two) if number % 2 == 0 else (two, one)
        seen(source / "ball", str(number).encode())
        seen(target / "ball", str(number).encode())
        (target / "ball").write_bytes(str(number + 1).encode())
    seen(one / "ball", b"6")
    assert [each.name for each in one.iterdir()] == ["ball"]


def test_renames_and_moves_are_seen_and_keep_inode_and_bytes(one: Path, two: Path) -> None:
    (one / "a").mkdir()
    (one / "b").mkdir()
    (one / "a" / "file").write_bytes(b"content")
    seen(two / "a" / "file", b"content")
    ino, item_id = (two / "a" / "file").stat().st_ino, attribute(two / "a" / "file", "item_id")
    (one / "a" / "file").rename(one / "b" / "moved")
    seen(two / "b" / "moved", b"content")
    until(lambda: not (two / "a" / "file").exists(), "the old name to go")
    (one / "b").rename(one / "c")
    seen(two / "c" / "moved", b"content")
    until(lambda: not (two / "b").exists(), "the old folder to go")
    assert (two / "c" / "moved").stat().st_ino == ino
    assert attribute(two / "c" / "moved", "item_id") == item_id
    assert attribute(two / "c" / "moved", "state") == "local"


def test_a_rename_over_a_file_is_seen(one: Path, two: Path) -> None:
    for name in ("old", "new"):
        (one / name).write_bytes(name.encode())
        seen(two / name, name.encode())
    (one / "new").rename(one / "old")
    seen(two / "old", b"new")
    until(lambda: not (two / "new").exists(), "the moved name to go")


def test_deletions_are_seen(one: Path, two: Path) -> None:
    (one / "folder").mkdir()
    (one / "folder" / "file").write_bytes(b"x")
    (one / "file").write_bytes(b"x")
    seen(two / "folder" / "file", b"x")
    seen(two / "file", b"x")
    (one / "file").unlink()
    (one / "folder" / "file").unlink()
    (one / "folder").rmdir()
    until(lambda: list(two.iterdir()) == [], "everything to go")
    # A listing comes from the drive itself; what the kernel remembers of a name is taken back a moment later.
    until(lambda: not any((two / name).exists() for name in ("file", "folder")), "the names to be unknown")


def test_modes_and_times_are_seen(one: Path, two: Path) -> None:
    (one / "file").write_bytes(b"x")
    seen(two / "file", b"x")
    (one / "file").chmod(0o640)
    os.utime(one / "file", ns=(1, 1_500_000_000_000_000_003))
    until(lambda: (two / "file").stat().st_mode & 0o777 == 0o640, "the mode")
    until(lambda: (two / "file").stat().st_mtime_ns == 1_500_000_000_000_000_003, "the time")


def test_what_is_done_to_the_served_folder_is_seen_after_a_scan(one: Path, served: Path, drive: Drive) -> None:
    assert not (one / "outside").exists()
    (served / "outside").write_bytes(b"by another program")
    drive.server.scan()
    seen(one / "outside", b"by another program")
    (served / "outside").write_bytes(b"again")
    drive.server.scan()
    seen(one / "outside", b"again")
    (served / "outside").unlink()
    drive.server.scan()
    until(lambda: not (one / "outside").exists(), "the name to go")


def test_what_others_move_in_the_served_folder_keeps_its_inode(
    one: Path, two: Path, served: Path, drive: Drive
) -> None:
    (one / "a" / "deep").mkdir(parents=True)
    (one / "a" / "deep" / "file").write_bytes(b"content")
    seen(two / "a" / "deep" / "file", b"content")
    inos = [(two / "a" / part).stat().st_ino for part in ("deep", "deep/file")]
    item_id = attribute(two / "a" / "deep" / "file", "item_id")
    (served / "a" / "deep").rename(served / "b")
    (served / "b" / "file").rename(served / "b" / "renamed")
    drive.server.scan()
    seen(two / "b" / "renamed", b"content")
    assert [(two / "b").stat().st_ino, (two / "b" / "renamed").stat().st_ino] == inos
    assert attribute(two / "b" / "renamed", "item_id") == item_id
    until(lambda: not (two / "a" / "deep").exists(), "the old name to go")


def test_an_open_handle_keeps_its_version_and_new_opens_get_the_new(one: Path, two: Path) -> None:
    old, new = pattern(3_000_000, 1), pattern(3_500_000, 2)
    (one / "file").write_bytes(old)
    seen(two / "file", old)
    with (two / "file").open("rb", buffering=0) as held:
        assert held.read(1000) == old[:1000]
        (one / "file").write_bytes(new)
        seen(two / "file", new)
        position = 1000
        while chunk := held.read(1 << 16):
            assert chunk == old[position : position + len(chunk)]
            position += len(chunk)
        assert position == len(old)
    assert (two / "file").read_bytes() == new


def test_an_open_right_after_the_older_reader_left_reads_the_whole_newer_version(
    one: Path, two: Path, drive: Drive
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        (one / name).write_bytes(b"old")
        drive.mounts["one"].sync()
        seen(two / name, b"old")
        with (two / name).open("rb", buffering=0) as older:
            (one / name).write_bytes(b"much newer")
            seen(two / name, b"much newer")
            assert older.read() == b"old"
        assert (two / name).read_bytes() == b"much newer"  # not as much of it as the older one was long


def test_an_open_handle_of_a_placeholder_reads_on_in_the_old_version(one: Path, two: Path, drive: Drive) -> None:
    """Not one byte of the old version was here when it was overwritten: the server still has it."""
    old, new = pattern(30_000_000, 3), pattern(30_000_000, 4)
    (one / "file").write_bytes(old)
    drive.mounts["one"].sync()
    until(lambda: (two / "file").stat().st_size == len(old), "the placeholder")
    with (two / "file").open("rb", buffering=0) as held:
        (one / "file").write_bytes(new)
        drive.mounts["one"].sync()
        drive.mounts["two"].sync()
        for start in (29_000_000, 0, 12_345_678):
            assert os.pread(held.fileno(), 5000, start) == old[start : start + 5000]
    assert (two / "file").read_bytes() == new


def test_a_mapping_of_an_unchanged_inode_sees_the_new_bytes_on_a_new_open(one: Path, two: Path) -> None:
    (one / "file").write_bytes(b"a" * 8192)
    seen(two / "file", b"a" * 8192)
    with (two / "file").open("rb") as file, mmap.mmap(file.fileno(), 8192, prot=mmap.PROT_READ) as mapping:
        assert mapping[:4] == b"aaaa"
        (one / "file").write_bytes(b"b" * 8192)
        seen(two / "file", b"b" * 8192)
        assert set(mapping[:]) in ({ord("a")}, {ord("b")})  # one version or the other, never both
    with (two / "file").open("rb") as file, mmap.mmap(file.fileno(), 8192, prot=mmap.PROT_READ) as mapping:
        assert set(mapping[:]) == {ord("b")}


def test_a_listing_under_way_survives_changes(one: Path, two: Path) -> None:
    for number in range(400):
        (one / f"stays {number}").touch()
    until(lambda: len(list(two.iterdir())) == 400, "all to appear")
    with os.scandir(two) as listing:
        names = [next(listing).name for _ in range(10)]
        for number in range(100):
            (one / f"new {number}").touch()
        (one / "new 99").rename(one / "last")
        until((two / "last").exists, "the news to arrive")
        names += [entry.name for entry in listing]
    assert len(names) == len(set(names))
    assert {f"stays {number}" for number in range(400)} <= set(names)
