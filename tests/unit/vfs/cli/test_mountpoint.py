"""The mount table and what is read from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.waiting import DEADLINE_S
from vfs import mountpoint as table

if TYPE_CHECKING:
    import pytest

TABLE = """\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
90 22 0:52 / /home/me/My\\040Drive rw,nosuid,nodev shared:5 - fuse.anchorfs anchorfs rw,user_id=1000
91 22 0:53 / /home/me/My\\040Drive/inner rw - fuse.anchorfs anchorfs rw
92 22 0:54 / /srv/other rw - fuse.rclone remote: rw
93 22 0:55 / /home/me/My\\040Drive rw master:7 propagate_from:2 - fuse.anchorfs anchorfs rw
"""


def _ours() -> list[table.MountEntry]:
    return [entry for entry in table.parse_mountinfo(TABLE) if entry.fs_type == table.FS_TYPE]


def test_escapes_and_optional_fields_are_read() -> None:
    entries = table.parse_mountinfo(TABLE)
    assert [entry.fs_type for entry in entries].count("fuse.anchorfs") == 3
    assert entries[1].path == "/home/me/My Drive"
    assert str(entries[1].connection) == "/sys/fs/fuse/connections/52"


def test_a_broken_line_is_no_entry() -> None:
    assert table.parse_mountinfo("nonsense\n1 2 3 - fuse.anchorfs x rw\n\n") == []


def test_the_topmost_of_two_mounts_on_one_folder_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "mounts", _ours)
    found = table.mounted_at("/home/me/My Drive")
    assert found is not None
    assert found.device == "0:55"


def test_a_path_belongs_to_the_innermost_mount_and_to_none_by_a_common_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "mounts", _ours)
    inner = table.containing("/home/me/My Drive/inner/a/b")
    outer = table.containing("/home/me/My Drive/a/../b")
    assert inner is not None
    assert inner.path == "/home/me/My Drive/inner"
    assert outer is not None
    assert outer.path == "/home/me/My Drive"
    assert table.containing("/home/me/My Drive 2/file") is None


def test_a_living_folder_is_alive() -> None:
    assert table.probe("/", DEADLINE_S) is table.Health.ALIVE


def test_who_closes_a_file_while_we_look_is_still_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One descriptor that is gone says nothing of the others."""
    path = tmp_path / "held"
    path.write_bytes(b"")
    readlink = Path.readlink

    def only_the_held_one(link: Path) -> Path:
        target = readlink(link)
        if target != path:
            raise FileNotFoundError(str(link))
        return target

    monkeypatch.setattr(Path, "readlink", only_the_held_one)
    with path.open("rb"):
        users = list(table.users_of(str(tmp_path)))
    assert [user for user in users if f"({os.getpid()})" in user]
