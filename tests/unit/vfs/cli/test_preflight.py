"""Checks before a mount: each failure names the thing and has its own kind and status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vfs import mountpoint as table
from vfs.cli import preflight
from vfs.config import MountConfig
from vfs.failure import Failure
from vfs.registry import Record, Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with FUSE and without mounts, whatever this one is like."""
    device = tmp_path / "fuse"
    device.touch(mode=0o600)
    monkeypatch.setattr(preflight, "FUSE_DEVICE", device)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(table, "mounts", list)


def _config(mountpoint: Path, cache_dir: str = "/elsewhere") -> MountConfig:
    return MountConfig(url="http://h", mountpoint=str(mountpoint), cache_dir=cache_dir)


def _entry(path: Path) -> table.MountEntry:
    return table.MountEntry(path=str(path), fs_type=table.FS_TYPE, device="0:99")


def _missing(path: Path) -> Path:
    return path / "missing"


def _file(path: Path) -> Path:
    (path / "file").touch()
    return path / "file"


def _full(path: Path) -> Path:
    (path / "full").mkdir()
    (path / "full" / "x").touch()
    return path / "full"


@pytest.mark.parametrize(
    ("make", "kind"),
    [(_missing, "mountpoint-missing"), (_file, "mountpoint-no-folder"), (_full, "mountpoint-not-empty")],
)
def test_a_mount_point_that_cannot_be_one_is_named(tmp_path: Path, make: Callable[[Path], Path], kind: str) -> None:
    folder = make(tmp_path)
    with pytest.raises(Failure) as caught:
        preflight.check(_config(folder), Registry(tmp_path))
    told = caught.value.told
    assert (told.kind, told.exit_status) == (kind, 78)
    assert str(folder) in told.message
    assert told.hint


def test_an_empty_folder_is_fine_and_nothing_is_cleaned(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    assert preflight.check(_config(tmp_path / "mnt"), Registry(tmp_path)) == []


def test_a_cache_inside_the_mount_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mnt"
    folder.mkdir()
    with pytest.raises(Failure) as caught:
        preflight.check(_config(folder, str(folder / "cache")), Registry(tmp_path))
    assert caught.value.told.kind == "cache-inside-mount"


def test_a_cache_in_another_drive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, drive = tmp_path / "mnt", tmp_path / "drive"
    folder.mkdir()
    monkeypatch.setattr(table, "mounts", lambda: [_entry(drive)])
    with pytest.raises(Failure) as caught:
        preflight.check(_config(folder, str(drive / "cache")), Registry(tmp_path))
    assert caught.value.told.kind == "cache-inside-mount"
    assert str(drive) in caught.value.told.message


def test_a_cache_that_cannot_be_made_is_told_before_anything_is_tried(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    with pytest.raises(Failure) as caught:
        preflight.check(_config(tmp_path / "mnt", str(_file(tmp_path) / "cache")), Registry(tmp_path))
    assert (caught.value.told.kind, caught.value.told.exit_status) == ("cache-unusable", 78)
    assert "--cache-dir" in caught.value.told.hint


def test_a_missing_device_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "FUSE_DEVICE", tmp_path / "none")
    with pytest.raises(Failure) as caught:
        preflight.check(_config(tmp_path), Registry(tmp_path))
    assert (caught.value.told.kind, caught.value.told.exit_status) == ("fuse-missing", 78)
    assert "modprobe" in caught.value.told.hint


def test_a_living_mount_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mnt"
    folder.mkdir()
    registry = Registry(tmp_path)
    registry.add(Record(mountpoint=str(folder), url="http://h", pid=os.getpid(), cache_dir="/c"))
    monkeypatch.setattr(table, "mounts", lambda: [_entry(folder)])
    monkeypatch.setattr(table, "clear_dead", lambda _entry: pytest.fail("it was taken away"))
    with pytest.raises(Failure) as caught:
        preflight.check(_config(folder), registry)
    assert caught.value.told.kind == "already-mounted"
    assert str(os.getpid()) in caught.value.told.message


@pytest.mark.parametrize("health", [table.Health.ALIVE, table.Health.HUNG])
def test_a_mount_of_an_unknown_process_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, health: table.Health
) -> None:
    folder = tmp_path / "mnt"
    folder.mkdir()
    monkeypatch.setattr(table, "mounts", lambda: [_entry(folder)])
    monkeypatch.setattr(table, "probe", lambda _path: health)
    monkeypatch.setattr(table, "clear_dead", lambda _entry: pytest.fail("it was taken away"))
    with pytest.raises(Failure) as caught:
        preflight.check(_config(folder), Registry(tmp_path))
    assert caught.value.told.kind == "already-mounted"


def test_a_dead_mount_is_cleaned_up_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mnt"
    folder.mkdir()
    there = [_entry(folder)]

    def clear(entry: table.MountEntry) -> None:
        there.remove(entry)

    monkeypatch.setattr(table, "mounts", lambda: list(there))
    monkeypatch.setattr(table, "probe", lambda _path: table.Health.DEAD)
    monkeypatch.setattr(table, "clear_dead", clear)
    cleaned = preflight.check(_config(folder), Registry(tmp_path))
    assert there == []
    assert len(cleaned) == 1
    assert str(folder) in cleaned[0]
