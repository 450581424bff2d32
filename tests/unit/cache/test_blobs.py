"""The blob store on a real folder."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from cache import blobs as blobs_module
from cache.blobs import Blobs
from cache.model import ContentId

if TYPE_CHECKING:
    from pathlib import Path

ONE = ContentId(1)
TWO = ContentId(258)
MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def write(store: Blobs, content_id: ContentId, offset: int, data: bytes) -> None:
    fd = store.open(content_id, writable=True)
    try:
        os.pwrite(fd, data, offset)
        store.sync(fd)
    finally:
        os.close(fd)


def test_a_new_file_has_its_size_and_takes_no_room(store: Blobs) -> None:
    store.create(ONE, 10 * MIB)
    assert store.size(ONE) == 10 * MIB
    assert store.disk_bytes(ONE) == 0
    assert stat.S_IMODE(store.path(ONE).stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path(ONE).parent.stat().st_mode) == 0o700


def test_an_id_is_used_once(store: Blobs) -> None:
    store.create(ONE, 3)
    write(store, ONE, 0, b"abc")
    with pytest.raises(FileExistsError):
        store.create(ONE, 0)
    assert store.path(ONE).read_bytes() == b"abc"


def test_a_size_that_the_disk_cannot_hold_leaves_nothing(store: Blobs) -> None:
    with pytest.raises(OSError, match=r"File too large|Invalid argument"):
        store.create(ONE, (1 << 63) - 1)
    assert list(store.ids()) == []


def test_a_read_descriptor_cannot_write(store: Blobs) -> None:
    store.create(ONE, 3)
    fd = store.open(ONE, writable=False)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(fd, b"x", 0)
    finally:
        os.close(fd)


def test_a_missing_file_is_told(store: Blobs) -> None:
    for call in (store.size, store.disk_bytes):
        with pytest.raises(FileNotFoundError):
            call(ONE)
    with pytest.raises(FileNotFoundError):
        store.open(ONE, writable=False)


def test_delete_is_done_when_there_is_nothing(store: Blobs) -> None:
    store.create(ONE, 3)
    store.delete(ONE)
    store.delete(ONE)
    assert not store.path(ONE).exists()


def test_punch_frees_blocks_and_keeps_the_rest(store: Blobs) -> None:
    store.create(ONE, MIB)
    write(store, ONE, 0, b"x" * MIB)
    before = store.disk_bytes(ONE)
    try:
        store.punch(ONE, 4096, MIB - 4096)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        pytest.skip("this file system cannot punch holes")
    assert before - store.disk_bytes(ONE) >= MIB - 2 * 64 * 1024
    data = store.path(ONE).read_bytes()
    assert data == b"x" * 4096 + bytes(MIB - 8192) + b"x" * 4096


def test_an_empty_punch_does_nothing(store: Blobs) -> None:
    store.create(ONE, 4)
    write(store, ONE, 0, b"abcd")
    store.punch(ONE, 2, 2)
    assert store.path(ONE).read_bytes() == b"abcd"


def test_punch_tells_what_went_wrong(store: Blobs) -> None:
    store.create(ONE, 4)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        store.punch(ONE, -1, 2)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("way", ["whatever works", "no reflink", "plain"])
def test_copy_has_the_same_bytes_and_holes(store: Blobs, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "refused")

    if way != "whatever works":
        monkeypatch.setattr(blobs_module.fcntl, "ioctl", refuse)
    if way == "plain":
        monkeypatch.setattr(os, "copy_file_range", refuse)
    store.create(ONE, 8 * MIB)
    write(store, ONE, 4 * MIB, b"middle" * 1000)
    store.copy(ONE, TWO)
    assert store.path(TWO).read_bytes() == store.path(ONE).read_bytes()
    assert store.disk_bytes(TWO) < MIB
    write(store, TWO, 4 * MIB, b"changed")
    assert store.path(ONE).read_bytes()[4 * MIB : 4 * MIB + 6] == b"middle"


def test_a_copy_that_fails_leaves_nothing(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(blobs_module.fcntl, "ioctl", full)
    store.create(ONE, 10)
    with pytest.raises(OSError, match="full"):
        store.copy(ONE, TWO)
    assert list(store.ids()) == [ONE]


def test_copy_never_overwrites(store: Blobs) -> None:
    store.create(ONE, 1)
    store.create(TWO, 2)
    with pytest.raises(FileExistsError):
        store.copy(ONE, TWO)
    assert store.size(TWO) == 2


def test_ids_pass_over_what_is_not_ours(store: Blobs, tmp_path: Path) -> None:
    store.create(ONE, 1)
    store.create(TWO, 1)
    (tmp_path / "blobs" / "stray").write_text("x")
    (tmp_path / "blobs" / "01" / "notes.txt").write_text("x")
    (tmp_path / "blobs" / "01" / "2").write_text("in the wrong folder")
    assert sorted(store.ids()) == [ONE, TWO]


def test_the_name_can_be_made_durable(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(ONE, 1)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    store.sync_name(ONE)
    assert synced == [store.path(ONE).parent.stat().st_ino]


def test_a_creation_waits_for_no_disk(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for number in range(300):  # every folder of the store is used for the first time
        store.create(ContentId(number), 0)
    assert synced == []


def test_free_bytes_is_what_the_disk_has(store: Blobs, tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    assert 0 < store.free_bytes() <= room.f_blocks * room.f_frsize


def test_a_snapshot_where_there_are_no_nameless_files(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_whole(ONE, b"content")
    monkeypatch.setattr(blobs_module.os, "O_TMPFILE", os.O_CREAT | os.O_DIRECTORY)  # EINVAL, as where there are none
    fd = store.snapshot(ONE)
    try:
        assert os.pread(fd, 99, 0) == b"content"
        assert os.fstat(fd).st_nlink == 0
    finally:
        os.close(fd)
    assert list(store.ids()) == [ONE]


def test_a_full_disk_is_not_left_with_a_part_of_a_content(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        if len(data) < MIB:
            raise OSError(errno.ENOSPC, "no room")
        return os.pwrite(fd, data[:4096], 0)

    monkeypatch.setattr(blobs_module.os, "write", full)
    with pytest.raises(OSError, match="no room"):
        store.write_whole(ONE, b"x" * MIB)
    assert list(store.ids()) == []


def test_a_file_that_goes_while_they_are_counted_hides_no_other(store: Blobs) -> None:
    for number in (1, 257, 513):
        store.create(ContentId(number), 0)
    first, second, third = (ContentId(int(path.name)) for path in store.path(ONE).parent.iterdir())
    counted = store.census()
    assert next(counted)[0] == first
    store.delete(second)
    assert [content_id for content_id, _ in counted] == [third]
