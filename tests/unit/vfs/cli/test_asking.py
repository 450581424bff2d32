"""Which mount is meant when none is named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vfs import mountpoint as table
from vfs.cli import asking
from vfs.failure import Failure
from vfs.registry import Record, Registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two running mounts, and we are in neither."""
    registry = Registry(tmp_path)
    places = [str(tmp_path / name) for name in ("one", "two")]
    for place in places:
        os.mkdir(place)  # noqa: PTH102 - a mount point is a text here
        registry.add(Record(mountpoint=place, url="http://h", pid=os.getpid(), cache_dir="/c"))
    entries = [table.MountEntry(path=place, fs_type=table.FS_TYPE, device="0:9") for place in places]
    monkeypatch.setattr(asking, "registry", lambda: registry)
    monkeypatch.setattr(table, "mounts", lambda: entries)
    monkeypatch.chdir(tmp_path)
    return places


def test_of_several_none_is_guessed(two: list[str]) -> None:
    with pytest.raises(Failure) as caught:
        asking.the_mount(None)
    assert (caught.value.told.kind, caught.value.told.exit_status) == ("which-mount", 2)
    assert all(place in caught.value.told.message for place in two)


def test_who_only_looks_is_shown_all(two: list[str]) -> None:
    assert asking.mounts_meant(None) == two
    assert asking.mounts_meant(two[0]) == [two[0]]


def test_the_one_that_we_are_in_is_meant(two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two[1])
    assert asking.the_mount(None) == two[1]
    assert asking.mounts_meant(None) == [two[1]]


def test_a_folder_that_is_gone_is_no_mount(two: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert asking.mounts_meant(None) == two
