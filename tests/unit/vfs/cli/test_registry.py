"""Records of running mounts."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from vfs.registry import Record, Registry, runtime_folder

if TYPE_CHECKING:
    from pathlib import Path


def _record(mountpoint: str, pid: int) -> Record:
    return Record(mountpoint=mountpoint, url="http://h", pid=pid, cache_dir="/c")


def test_a_record_is_found_until_it_is_removed(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add(_record("/m", os.getpid()))
    found = registry.find("/m")
    assert found is not None
    assert found.pid == os.getpid()
    assert [record.mountpoint for record in registry.all()] == ["/m"]
    registry.remove("/m")
    assert registry.find("/m") is None
    assert list(tmp_path.iterdir()) == []


def test_the_record_of_a_dead_process_is_no_mount(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    child = subprocess.Popen(["true"])
    child.wait()
    registry.add(_record("/m", child.pid))
    assert registry.find("/m") is None
    assert registry.all() == []
    assert registry.lost("/m")
    assert not registry.lost("/other")


def test_a_damaged_record_is_no_mount(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add(_record("/m", os.getpid()))
    next(tmp_path.glob("*.json")).write_bytes(b'{"mountpoint": 3')
    assert registry.find("/m") is None
    assert registry.all() == []


def test_the_runtime_folder_is_private_even_when_it_was_open(tmp_path: Path) -> None:
    (tmp_path / "anchorfs").mkdir(mode=0o755)
    folder = runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert folder == tmp_path / "anchorfs"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "anchorfs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
