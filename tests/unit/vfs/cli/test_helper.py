"""What mount(8) says, as words of `anchorfs`."""

from __future__ import annotations

import pytest

from vfs.cli.helper import HelperUsageError, translate


def test_a_line_of_fstab_becomes_a_daemon() -> None:
    words = translate(["http://h", "/mnt", "-n", "-sv", "-o", "rw,_netdev,token_file=/t"])
    assert words == ["mount", "http://h", "/mnt", "--daemon", "-o", "rw,_netdev,token_file=/t"]


def test_read_only_by_flag_and_namespaces_and_types_are_understood() -> None:
    words = translate(["-r", "-N", "/proc/1/ns/mnt", "-t", "fuse.anchorfs", "http://h", "/mnt"])
    assert words == ["mount", "http://h", "/mnt", "--daemon", "--read-only"]


def test_a_rehearsal_mounts_nothing() -> None:
    assert translate(["http://h", "/mnt", "-f"]) is None


@pytest.mark.parametrize(
    "arguments", [[], ["http://h"], ["a", "b", "c"], ["http://h", "/mnt", "-x"], ["a", "b", "--y"]]
)
def test_other_words_are_refused(arguments: list[str]) -> None:
    with pytest.raises(HelperUsageError):
        translate(arguments)
